"""Pings WebSockets that nothing has been heard from."""

import asyncio
from itertools import takewhile
from typing import Final

from hypha_cluster.serving.http11.websocket_connection import DirectWebSocket

SWEEPS: Final = 20  # the timer fires at most so often per interval


class KeepAlive:
    """Pings connections one interval after the other, with one timer for all of them."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._due: dict[DirectWebSocket, float] = {}  # soonest first, for all wait equally long
        self._timer: asyncio.TimerHandle | None = None

    def add(self, socket: DirectWebSocket) -> None:
        self._due[socket] = self._loop.time() + self._interval
        if self._timer is None:
            self._arm()

    def discard(self, socket: DirectWebSocket) -> None:
        self._due.pop(socket, None)
        if not self._due and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        soonest = next(iter(self._due.values()))
        earliest = self._loop.time() + self._interval / SWEEPS
        self._timer = self._loop.call_at(max(soonest, earliest), self._sweep)

    def _sweep(self) -> None:
        now = self._loop.time()
        self._timer = None
        for socket, _ in list(takewhile(lambda entry: entry[1] <= now, self._due.items())):
            del self._due[socket]
            self.add(socket)
            socket.check_alive(now)
        if self._due and self._timer is None:
            self._arm()
