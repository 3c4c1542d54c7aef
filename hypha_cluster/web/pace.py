"""How fast a connection is read: others want their turn too."""

import asyncio
import time
from collections.abc import Callable, Sequence

from hypha_cluster.protocol.limits import (
    LONGEST_PAUSE,
    PACE,
    PACED_BYTES,
    PACED_FRAMES,
)
from hypha_cluster.relay.sockets import Socket

Spend = Callable[[int, int], float]  # frames and bytes that came → seconds to wait
# The users and addresses that sent them, frames, bytes → seconds to wait
Charge = Callable[[Sequence[str], int, int], float]


class Pace:
    """Slows down a client that sends without end, so that others, and Redis, keep up."""

    __slots__ = (
        "_bytes",
        "_charge",
        "_clock",
        "_frames",
        "_socket",
        "_subjects",
        "_timer",
        "_until",
    )

    def __init__(
        self,
        socket: Socket,
        charge: Charge,
        subjects: Sequence[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._socket = socket
        self._charge = charge
        self._subjects = subjects
        self._clock = clock
        self._frames = self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0  # when all that it has sent so far is paid off

    def count(self, size: int) -> None:
        """A frame of so many bytes has come."""
        self._frames += 1
        self._bytes += size
        if self._frames == PACED_FRAMES or self._bytes > PACED_BYTES:
            self._end_turn()

    def _end_turn(self) -> None:
        due, now = self._frames / PACE, self._clock()
        wait = self._charge(self._subjects, self._frames, self._bytes)
        self._frames = self._bytes = 0
        self._until = max(self._until, now - due) + due
        wait = max(min(wait, LONGEST_PAUSE), self._until - now)
        if wait > 0:
            self._socket.pause()
            self._resume_in(wait)

    def _resume_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._socket.resume)
