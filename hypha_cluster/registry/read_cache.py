"""What was read from Redis less than a second ago, for what may be that old."""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, Generic, NamedTuple, TypeVar

from hypha_cluster.protocol.limits import READ_CACHE

LIFETIME: Final = 1.0  # seconds; for so long, rights that were taken away may still hold
_CHANGES: Final = 10_000  # groups that are known to have changed; others are up to LIFETIME old
_OVERHEAD: Final = 500  # bytes that an entry takes beside its texts

T = TypeVar("T")


class _Entry(NamedTuple, Generic[T]):
    """What was read, when that began, and what it takes, in bytes."""

    value: T
    began: float
    size: int


class ReadCache(Generic[T]):
    """Keeps what was found, by group and key; that nothing was found is not kept.

    No cache of cachetools: each of its look-ups asks the clock and costs three calls of Python
    functions, and a call over HTTP takes three look-ups.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # In both, the oldest comes first.
        self._entries: OrderedDict[tuple[str, str], _Entry[T]] = OrderedDict()
        self._changed: OrderedDict[str, float] = OrderedDict()
        self._size = 0

    async def get(self, group: str, key: str, read: Callable[[], Awaitable[T]]) -> T:
        """What `read` returns, or returned a moment ago."""
        began, kept = self._clock(), self._entries.get((group, key))
        if kept is not None and self._holds(kept, group, began):
            return kept.value
        value = await read()
        size = _OVERHEAD + len(group) + len(key) + len(repr(value))
        if value and size <= READ_CACHE:
            self._keep((group, key), _Entry(value, began, size))
        return value

    def peek(self, group: str, key: str) -> T | None:
        """The same, if it was read a moment ago."""
        kept = self._entries.get((group, key))
        return kept.value if kept and self._holds(kept, group, self._clock()) else None

    def _holds(self, entry: _Entry[T], group: str, now: float) -> bool:
        is_young = now - entry.began < LIFETIME
        return is_young and (group not in self._changed or entry.began > self._changed[group])

    def _keep(self, name: tuple[str, str], entry: _Entry[T]) -> None:
        if (before := self._entries.pop(name, None)) is not None:
            self._size -= before.size
        self._entries[name] = entry
        self._size += entry.size
        self._clear()

    def _clear(self) -> None:
        """Drop what is too old, and what there is no room for."""
        oldest = self._clock() - LIFETIME
        while self._entries:
            entry = next(iter(self._entries.values()))
            if entry.began > oldest and self._size <= READ_CACHE:
                return
            self._entries.popitem(last=False)
            self._size -= entry.size

    def forget(self, group: str) -> None:
        """Something in a group has changed: what was read of it counts no longer."""
        self._changed[group] = self._clock()
        self._changed.move_to_end(group)
        if len(self._changed) > _CHANGES:
            self._changed.popitem(last=False)

    def size(self) -> int:
        """Bytes that it takes."""
        self._clear()
        return self._size
