"""Something befalls a cluster while everybody goes on calling everybody."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from tests.cluster.history import History, median_and_worst
from tests.cluster.load import LONGEST_CALL, OLD, Load, now

BEFORE = 3.0  # seconds of calls before it happens, and after all should be well again
AFTER = 5.0  # seconds of calls until all should be well again


class Ordeal(NamedTuple):
    """What came of it: calls, when it began, and when all should have been well again."""

    load: Load
    began: float
    at_the_end: float

    @property
    def history(self) -> History:
        return self.load.history

    def figures(self) -> dict[str, Any]:
        """What the page says of it."""
        history = self.history
        middle, worst = median_and_worst(history.good_after(self.began).values())
        return {
            "calls": len(history.begun),
            "calls_failed": len(history.failures()),
            "errors": listed(history),
            "clients_lost": len(self._lost()),
            "clients_in_an_endless_loop_of_their_own": len(history.caught),
            "seconds_to_the_first_good_call_median": middle,
            "seconds_to_the_first_good_call_worst": worst,
            "seconds_in_which_calls_failed": history.failing_after(self.began),
            "longest_call_in_seconds": history.longest_wait(),
        }

    def check(self, healed_within: float, *, broken: bool = False) -> None:
        """Raise AssertionError if the hub has not kept its promises, or clients did not go on.

        broken: connections of clients broke, too.
        """
        until = self.began + healed_within
        disorderly = self.load.programs_of(OLD) if broken else set[str]()
        self.history.check(disorderly, between=(self.began - 1, until))
        assert not self._lost()
        assert self.history.failing_after(self.began) < healed_within
        assert max(self.history.good_after(self.began).values()) < healed_within
        assert self.history.longest_wait() < LONGEST_CALL

    def _lost(self) -> set[str]:
        return {caller for caller, _ in self.load.lost(self.at_the_end)}


async def undergo(
    load: Load, event: Callable[[], Awaitable[float]], seconds: float = AFTER
) -> Ordeal:
    """Let it happen, and go on for so long afterwards; the event says at what time it struck."""
    async with load:
        await load.run(BEFORE)
        began = await event()
        await load.run(seconds)
        at_the_end = now()
        await load.run(BEFORE)
    return Ordeal(load, began, at_the_end)


def listed(history: History) -> str:
    return ", ".join(f"{count} × {text}" for text, count in history.errors().items()) or "none"
