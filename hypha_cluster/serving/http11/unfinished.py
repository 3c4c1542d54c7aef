"""Memory for messages of which only a part has come, of all connections of a server."""

from typing import Protocol


class Holder(Protocol):
    """A connection with such a message."""

    def give_up(self) -> None:
        """Drop the message, and the peer that does not end it."""


class Unfinished:
    """Keeps what has come within `most` bytes: the message that was begun first gives way.

    An honest peer ends a message soon after it was begun; so whoever holds others' memory goes
    first. One that is alone may have any size.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._sizes: dict[Holder, int] = {}  # the first that was begun comes first
        self._all = 0

    def hold(self, holder: Holder, size: int) -> None:
        """Note that so many bytes of a message have come by now."""
        self._all += size - self._sizes.get(holder, 0)
        self._sizes[holder] = size
        while self._all > self._most and len(self._sizes) > 1:
            first = next(iter(self._sizes))
            self.let_go(first)
            first.give_up()

    def let_go(self, holder: Holder) -> None:
        """Forget a message that is whole, or that nobody waits for."""
        self._all -= self._sizes.pop(holder, 0)
