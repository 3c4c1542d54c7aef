"""How fast each user and address uses something, over all gateways.

A gateway counts by itself. When somebody has used a hundredth there of what they may use at once,
the gateway and the others tell each other through Redis. So ordinary programs cost no command.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.links.client import RedisClient, Reply
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import Script

_WORTH_TELLING: Final = 0.01  # part of what may be used at once; less is not told
_FORGOTTEN: Final = 10.0  # seconds after which what was not told is forgotten


class Rate(NamedTuple):
    """How much may be used in a second; ahead: for how many seconds at once. 0 is no limit."""

    name: str
    per_second: float
    ahead: float


@dataclass(slots=True)
class _Use:
    """What one subject has used of one rate.

    due: when all of it is paid off, by the clock. untold: the amount that the other gateways do not
    know of. at: when the subject last used some.
    """

    due: float
    untold: float
    at: float


class Rates:
    """Counts what is used, and says when more may be used."""

    def __init__(
        self, redis: RedisClient, keys: Keys, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._spend = Script(redis, "spend")
        self._used: dict[tuple[Rate, str], _Use] = {}

    def ask(self, rate: Rate, subject: str, amount: float = 1.0) -> float:
        """Use an amount and return 0; or use none, and return the seconds until it may be used.

        An amount that is larger than what may be used at once passes when nothing is in use.
        """
        use, now = self._use(rate, subject)
        needed = min(amount / rate.per_second, rate.ahead)
        wait = max(use.due, now) + needed - now - rate.ahead
        return wait if wait > 0 else self._note(use, rate, amount, now)

    def charge(self, rate: Rate, subject: str, amount: float) -> float:
        """Note what was used; return for how many seconds it was too much."""
        use, now = self._use(rate, subject)
        self._note(use, rate, amount, now)
        return max(use.due - now - rate.ahead, 0.0)

    async def take(self, rate: Rate, subject: str, amount: float = 1.0) -> float:
        """As `ask`, but decided in Redis: for what is used seldom, and costs much."""
        taken, ahead = await self._tell(rate, subject, amount, only_if_left=True)
        return 0.0 if taken else ahead / 1000 + amount / rate.per_second - rate.ahead

    def _use(self, rate: Rate, subject: str) -> tuple[_Use, float]:
        now = self._clock()
        use = self._used.get((rate, subject))
        if use is None:
            use = self._used[rate, subject] = _Use(now, 0.0, now)
        return use, now

    def _note(self, use: _Use, rate: Rate, amount: float, now: float) -> float:
        use.due = max(use.due, now) + amount / rate.per_second
        use.untold += amount
        use.at = now
        return 0.0

    def _tell(
        self, rate: Rate, subject: str, amount: float, *, only_if_left: bool
    ) -> Reply[tuple[int, int]]:
        cost, most = amount / rate.per_second * 1000, rate.ahead * 1000
        return self._spend(
            keys=[self._keys.used(rate.name, subject)],
            args=[f"{cost:.0f}", f"{most:.0f}", int(only_if_left)],
        )

    async def exchange(self) -> None:
        """Tell the others what was used here, learn what was used there; forget what is old."""
        told = []
        for (rate, subject), use in list(self._used.items()):
            if use.untold >= _WORTH_TELLING * rate.per_second * rate.ahead:
                told.append((rate, use, self._tell(rate, subject, use.untold, only_if_left=False)))
                use.untold = 0.0
            elif self._is_over(use):
                del self._used[rate, subject]
        for rate, use, reply in told:
            with contextlib.suppress(RedisUnavailable):  # then each gateway counts for itself
                _, ahead = await reply
                since = use.untold / rate.per_second
                use.due = max(use.due, self._clock() + ahead / 1000 + since)

    def _is_over(self, use: _Use) -> bool:
        now = self._clock()
        return use.due <= now and (not use.untold or use.at < now - _FORGOTTEN)

    def __len__(self) -> int:
        """How many subjects are counted."""
        return len(self._used)
