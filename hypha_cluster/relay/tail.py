"""What was sent lately by an event stream: should it break, its client says what it has got.

A browser names the last event that it has got when it comes back, wherever that is. So all that is
kept goes there by the mailbox, before what has come since, and what the client has got is left out.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from hypha_cluster.protocol.limits import TAIL_BYTES, TAIL_FRAMES, TAIL_PATIENCE
from hypha_cluster.protocol.room import Room


class _Sent(NamedTuple):
    number: int
    at: float
    frame: bytes


class Tail:
    """The frames that one stream has sent last, numbered as its client counts them.

    seen: the number of the last that the client had got when it came; None if it does not say.
    room: what all streams of a gateway may keep. whose: those of one user count as one there.
    """

    def __init__(
        self,
        seen: int | None,
        room: Room,
        whose: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seen = seen
        self._number = seen or 0
        self._room = room
        self._whose = whose
        self._clock = clock
        self._size = 0
        self._sent: deque[_Sent] = deque()

    def add(self, frame: bytes) -> None:
        """A frame is sent; the oldest are given up when they are too many, or too large."""
        self._number += 1
        self._sent.append(_Sent(self._number, self._clock(), frame))
        self._grow(len(frame))
        while self._sent and self._is_too_long():
            self._give_up()

    def give_up_old(self) -> None:
        """Give up frames that were sent long ago; to be called now and then.

        By then they have come, or the connection was given up: its host acknowledged nothing.
        """
        since = self._clock() - TAIL_PATIENCE
        while self._sent and self._sent[0].at < since:
            self._give_up()

    def take(self) -> list[tuple[int, bytes]]:
        """All that is kept, oldest first, with its numbers; then it is kept no more."""
        taken = [(number, frame) for number, _, frame in self._sent]
        self._sent.clear()
        self._grow(-self._size)
        return taken

    def _is_too_long(self) -> bool:
        is_large = self._size > TAIL_BYTES or self._room.is_exceeded_by(self._whose)
        return is_large or len(self._sent) > TAIL_FRAMES

    def _give_up(self) -> None:
        self._grow(-len(self._sent.popleft().frame))

    def _grow(self, size: int) -> None:
        self._size += size
        self._room.take(self._whose, size)
