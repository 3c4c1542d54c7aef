"""How fast a connection is read: others want their turn too."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from hypha_cluster.protocol.limits import PACE
from hypha_cluster.relay.connections import Socket

TURN: Final = 500  # frames after which it is looked at


class Pace:
    """Slows down a client that sends without end: others want their turn, and Redis to keep up."""

    __slots__ = ("_clock", "_frames", "_socket", "_timer", "_until")

    def __init__(self, socket: Socket, clock: Callable[[], float] = time.monotonic) -> None:
        self._socket = socket
        self._clock = clock
        self._frames = 0
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0  # when what it has sent so far would be due

    def count(self) -> None:
        self._frames += 1
        if self._frames == TURN:
            self._end_turn()

    def _end_turn(self) -> None:
        self._frames = 0
        now = self._clock()
        self._until = max(self._until, now - TURN / PACE) + TURN / PACE
        if self._until > now:
            self._socket.pause()
            self._resume_in(self._until - now)

    def _resume_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._socket.resume)
