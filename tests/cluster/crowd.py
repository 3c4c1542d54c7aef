"""Many clients in one process, each of which comes back as the published ones do."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Self, TypeVar

from websockets.exceptions import InvalidHandshake

from tests.gateways import SECOND
from tests.raw_client import RawClient

T = TypeVar("T")

AT_ONCE = 50  # connections that are being opened


class _Client(RawClient):
    async def ended(self) -> None:
        """Wait for the end of the connection, however long it lasts."""
        await asyncio.wait([self._reader])


class Attendant:
    """A client that connects again at once when its connection breaks, with its token."""

    def __init__(self, url: str, number: int) -> None:
        self._url = url
        self._number = number
        self._leaving = False
        self.refusals: list[str] = []
        self.returns: list[float] = []  # seconds that each took
        self.client: _Client

    async def start(self) -> None:
        self.client = await _Client.connect(self._url, f"attendant-{self._number}")
        self._coming_back = asyncio.create_task(self._come_back())

    async def _come_back(self) -> None:
        while True:
            await self.client.ended()
            if self._leaving:
                return
            started = time.monotonic()
            try:
                self.client = await self._return(self.client)
            except (InvalidHandshake, OSError, TimeoutError) as error:
                self.refusals.append(repr(error))
                return
            self.returns.append(time.monotonic() - started)

    async def _return(self, before: _Client) -> _Client:
        token, workspace = before.info["reconnection_token"], before.workspace
        query = {"workspace": workspace, "reconnection_token": token}
        return await _Client.connect(self._url, before.client_id, **query)

    async def leave(self) -> None:
        self._leaving = True
        await self.client.close()
        await self._coming_back


class Crowd:
    """Attendants, who come, stay and go together."""

    def __init__(self, url: str, count: int) -> None:
        self.attendants = [Attendant(url, number) for number in range(count)]

    async def __aenter__(self) -> Self:
        await few_at_once([attendant.start for attendant in self.attendants])
        return self

    async def __aexit__(self, *_: object) -> None:
        await few_at_once([attendant.leave for attendant in self.attendants])

    @property
    def refusals(self) -> list[str]:
        return [text for attendant in self.attendants for text in attendant.refusals]

    @property
    def returns(self) -> list[float]:
        return [took for attendant in self.attendants for took in attendant.returns]

    async def answer(self) -> int:
        """How many of them the hub answers."""
        answers = [attendant.client.manager for attendant in self.attendants]
        return sum(await few_at_once([partial(ask, "echo", 1) for ask in answers]))


async def few_at_once(steps: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Take all steps, some of them side by side; a slow machine has time for more."""
    places = asyncio.Semaphore(AT_ONCE)

    async def take(step: Callable[[], Awaitable[T]]) -> T:
        async with places:
            return await step()

    async with asyncio.timeout(len(steps) * 0.5 * SECOND + 30 * SECOND):
        return await asyncio.gather(*map(take, steps))
