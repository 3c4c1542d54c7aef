"""What was read from Redis less than a second ago, for what may be that old."""

import time
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

LIFETIME: Final = 1.0  # seconds; rights that were taken away hold no longer than this
_MANY_GROUPS: Final = 1_000
_MANY_KEYS: Final = 100  # of one group

T = TypeVar("T")


class ReadCache(Generic[T]):
    """Keeps what was found, by group and key; that nothing was found is not kept."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # group → key → until when it counts, and what was read
        self._groups: dict[str, dict[str, tuple[float, T]]] = {}

    async def get(self, group: str, key: str, read: Callable[[], Awaitable[T]]) -> T:
        """The answer of `read`, or what it was a moment ago."""
        now = self._clock()
        kept = self._groups.get(group, {}).get(key)
        if kept is not None and now < kept[0]:
            return kept[1]
        found = await read()
        if found:
            self._keep(group, key, (now + LIFETIME, found))
        return found

    def _keep(self, group: str, key: str, entry: tuple[float, T]) -> None:
        if group not in self._groups and len(self._groups) >= _MANY_GROUPS:
            del self._groups[next(iter(self._groups))]
        keys = self._groups.setdefault(group, {})
        if key not in keys and len(keys) >= _MANY_KEYS:
            del keys[next(iter(keys))]
        keys[key] = entry

    def forget(self, group: str) -> None:
        """Something in it has changed."""
        self._groups.pop(group, None)
