"""What was read from Redis less than a second ago, for what may be that old."""

import time
from collections.abc import Awaitable, Callable
from typing import Final, Generic, NamedTuple, TypeVar

import cachetools

from hypha_cluster.protocol.limits import READ_CACHE

LIFETIME: Final = 1.0  # seconds; rights that were taken away hold no longer than this
_CHANGES: Final = 10_000  # groups; of one more, what was read may be as old as LIFETIME
_OVERHEAD: Final = 500  # bytes that an entry takes beside its texts

T = TypeVar("T")


class _Entry(NamedTuple, Generic[T]):
    """What was read, when that began, and what it takes, in bytes."""

    value: T
    began: float
    size: int


class ReadCache(Generic[T]):
    """Keeps what was found, by group and key; that nothing was found is not kept."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read: cachetools.TTLCache[tuple[str, str], _Entry[T]] = cachetools.TTLCache(
            READ_CACHE, LIFETIME, timer=clock, getsizeof=lambda entry: entry.size
        )
        self._changed: cachetools.TTLCache[str, float] = cachetools.TTLCache(
            _CHANGES, LIFETIME, timer=clock
        )

    async def get(self, group: str, key: str, read: Callable[[], Awaitable[T]]) -> T:
        """The answer of `read`, or what it was a moment ago."""
        began, kept = self._clock(), self._read.get((group, key))
        if kept is not None and self._holds(kept, group, began):
            return kept.value
        value = await read()
        size = _OVERHEAD + len(group) + len(key) + len(repr(value))
        if value and size <= READ_CACHE:
            self._read[group, key] = _Entry(value, began, size)
        return value

    def peek(self, group: str, key: str) -> T | None:
        """The same, if it was read a moment ago."""
        kept = self._read.get((group, key))
        return kept.value if kept and self._holds(kept, group, self._clock()) else None

    def _holds(self, entry: _Entry[T], group: str, now: float) -> bool:
        is_young = now - entry.began < LIFETIME
        return is_young and entry.began > self._changed.get(group, float("-inf"))

    def forget(self, group: str) -> None:
        """Something in it has changed."""
        self._changed[group] = self._clock()

    def size(self) -> float:
        """Bytes that it takes."""
        return self._read.currsize
