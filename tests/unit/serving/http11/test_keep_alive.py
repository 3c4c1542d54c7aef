"""WebSockets are pinged one interval after they were last seen to, with one timer for all."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from hypha_cluster.serving.http11.keep_alive import SWEEPS, KeepAlive
from hypha_cluster.serving.http11.websocket_connection import DirectWebSocket

INTERVAL = 20.0


class FakeLoop:
    """A time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> "Timer":
        self.timers.append(Timer(self, when, call))
        return self.timers[-1]

    def run_until(self, end: float) -> None:
        while self.timers and min(self.timers, key=lambda each: each.when).when <= end:
            first = min(self.timers, key=lambda each: each.when)
            self.timers.remove(first)
            self.now = max(self.now, first.when)
            first.call()
        self.now = end


class Timer:
    def __init__(self, loop: FakeLoop, when: float, call: Callable[[], None]) -> None:
        self.loop, self.when, self.call = loop, when, call

    def cancel(self) -> None:
        self.loop.timers.remove(self)


class Peer:
    """Notes when it was pinged, or ends the moment it is."""

    def __init__(self, keep_alive: KeepAlive | None = None) -> None:
        self.pinged: list[float] = []
        self._keep_alive = keep_alive

    def check_alive(self, now: float) -> None:
        self.pinged.append(now)
        if self._keep_alive is not None:
            self._keep_alive.discard(cast(DirectWebSocket, self))


@pytest.fixture
async def loop() -> FakeLoop:
    return FakeLoop()


@pytest.fixture
async def keep_alive(loop: FakeLoop) -> KeepAlive:
    made = KeepAlive(INTERVAL)
    made._loop = cast(Any, loop)
    return made


def add(keep_alive: KeepAlive, peer: Peer) -> Peer:
    keep_alive.add(cast(DirectWebSocket, peer))
    return peer


async def test_each_is_pinged_once_an_interval(keep_alive: KeepAlive, loop: FakeLoop) -> None:
    start = loop.now
    peer = add(keep_alive, Peer())

    loop.run_until(start + INTERVAL - 0.1)
    assert peer.pinged == []
    loop.run_until(start + 3.5 * INTERVAL)

    assert peer.pinged == [start + INTERVAL, start + 2 * INTERVAL, start + 3 * INTERVAL]


async def test_many_have_one_timer_that_fires_so_often_at_most(
    keep_alive: KeepAlive, loop: FakeLoop
) -> None:
    start, peers = loop.now, list[Peer]()
    for number in range(100):
        loop.run_until(start + number * INTERVAL / 100)
        peers.append(add(keep_alive, Peer()))
        assert len(loop.timers) == 1

    loop.run_until(start + 2 * INTERVAL)

    moments = {moment for peer in peers for moment in peer.pinged}
    assert len(moments) <= SWEEPS + 1
    assert all(len(peer.pinged) == 1 for peer in peers[1:])


async def test_nobody_is_waited_for_when_nobody_is_there(
    keep_alive: KeepAlive, loop: FakeLoop
) -> None:
    peer = add(keep_alive, Peer())

    keep_alive.discard(cast(DirectWebSocket, peer))
    keep_alive.discard(cast(DirectWebSocket, peer))

    assert loop.timers == []
    loop.run_until(loop.now + 2 * INTERVAL)
    assert peer.pinged == []


async def test_a_peer_may_end_as_it_is_pinged(keep_alive: KeepAlive, loop: FakeLoop) -> None:
    ending = add(keep_alive, Peer(keep_alive))
    other = add(keep_alive, Peer())

    loop.run_until(loop.now + 2.5 * INTERVAL)

    assert (len(ending.pinged), len(other.pinged)) == (1, 2)
    assert len(loop.timers) == 1
