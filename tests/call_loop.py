"""A caller that calls all the time, and remembers what became of each call."""

import asyncio
import time
from collections import Counter
from typing import NamedTuple, Self

from tests.gateways import SECOND
from tests.raw_client import RawClient, Rejected

PAUSE = 0.01  # seconds between two calls
SLOW = 0.3  # seconds; a call that takes longer was in trouble
NO_ANSWER = "no answer"


class Call(NamedTuple):
    """One call, with its times; error "" when the result was right."""

    number: int
    begun: float
    ended: float
    error: str


class CallLoop:
    """Calls `echo` of a service with ever new numbers, answered or not, while the context lasts."""

    def __init__(self, caller: RawClient, provider: RawClient, service: str) -> None:
        self._caller = caller
        self._provider = provider
        self._method = f"services.{service}.echo"
        self._task: asyncio.Task[None] | None = None
        self._begun = 0
        self._calls: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Condition()
        self.calls: list[Call] = []

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self._task
        self._task.cancel()
        if kind is not None:
            for call in self._calls:
                call.cancel()
        await asyncio.gather(self._task, *self._calls, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            call = asyncio.create_task(self._call(self._begun))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
            self._begun += 1
            await asyncio.sleep(PAUSE)

    async def _call(self, number: int) -> None:
        begun = time.monotonic()
        error = await self._error_of(number)
        self.calls.append(Call(number, begun, time.monotonic(), error))
        async with self._ended:
            self._ended.notify_all()

    async def _error_of(self, number: int) -> str:
        try:
            result = await self._caller.call(self._provider.address, self._method, number)
        except Rejected as error:
            return str(error) or "rejected"
        except TimeoutError:
            return NO_ANSWER
        return "" if result == number else f"answered {result!r}"

    async def goes_on(self, count: int = 20, limit: float = 30 * SECOND) -> None:
        """Wait for a row of calls that succeed at once, all begun after this moment."""
        since = time.monotonic()
        async with asyncio.timeout(limit), self._ended:
            await self._ended.wait_for(lambda: self._row(since, count))

    def _row(self, since: float, count: int) -> bool:
        last = [call for call in self.calls if call.begun > since][-count:]
        return len(last) == count and not any(call.error or _is_slow(call) for call in last)

    def healed_after(self, moment: float) -> float:
        """Return the seconds from a moment until calls succeeded at once again."""
        failed = [call.begun for call in self.calls if call.error and call.ended > moment]
        slow = [call.ended for call in self.calls if _is_slow(call) and not call.error]
        return max([*failed, *slow, moment]) - moment

    def failures(self) -> str:
        """Return how many calls failed, and how."""
        errors = Counter(call.error.partition(";")[0] for call in self.calls if call.error)
        return f"{errors.total()} of {len(self.calls)} {dict(errors)}"

    def executed_twice(self) -> set[int]:
        """Return the numbers that the provider was called with more than once."""
        frames = [each for each in self._provider.received if each.method == self._method]
        numbers = [frame.args[0] for frame in frames]
        return {number for number in numbers if numbers.count(number) > 1}

    def executed_after_failing(self) -> set[int]:
        """Return the numbers that the provider was called with though the caller was refused."""
        refused = {call.number for call in self.calls if call.error not in ("", NO_ANSWER)}
        return refused & {
            each.args[0] for each in self._provider.received if each.method == self._method
        }


def _is_slow(call: Call) -> bool:
    return call.ended - call.begun > SLOW
