"""The clients of a node, and how much may wait for one that is slow."""

import pytest

from hypha_cluster.relay.connections import Connections
from tests.fakes import FakeSocket
from tests.unit.relay.test_connection import connection


@pytest.fixture
def connections() -> Connections:
    return Connections(outbox_size=100, send_timeout=10.0)


async def test_a_connection_is_found_by_its_address(connections: Connections) -> None:
    mine = connection(FakeSocket())
    assert connections.attach(mine) is None

    assert connections.get("ann/me") is mine
    assert connections.get("ann/you") is None
    assert list(connections) == [mine]
    assert len(connections) == 1


async def test_a_newer_connection_keeps_its_place_when_the_older_one_goes(
    connections: Connections,
) -> None:
    older, newer = connection(FakeSocket()), connection(FakeSocket(), holder="node#2")
    connections.attach(older)
    assert connections.attach(newer) is older

    assert not connections.detach(older)
    assert connections.get("ann/me") is newer
    assert connections.detach(newer)
    assert not connections.detach(newer)
    assert len(connections) == 0


async def test_a_client_that_takes_its_frames_gets_all(connections: Connections) -> None:
    socket = FakeSocket()
    mine = connection(socket)
    connections.attach(mine)

    assert all(connections.offer(mine, bytes(90)) for _ in range(50))
    assert len(socket.sent) == 50
    assert connections.waiting() == 0


async def test_a_slow_client_is_offered_no_more_than_it_may_have_waiting(
    connections: Connections,
) -> None:
    socket = FakeSocket(stuck=True)
    mine = connection(socket)
    connections.attach(mine)

    taken = [connections.offer(mine, bytes(60)) for _ in range(4)]

    assert taken == [True, True, False, False]
    assert connections.waiting() == 120
    socket.taken = 60
    assert connections.offer(mine, b"x")


async def test_a_client_is_dropped_when_too_much_is_forced_on_it(connections: Connections) -> None:
    socket = FakeSocket(stuck=True)
    mine = connection(socket)
    connections.attach(mine)

    for _ in range(5):
        connections.force(mine, bytes(60))

    assert socket.closed[:2] == [1013, "aborted"]
    assert sum(map(len, socket.sent)) <= 260


def waiting_for(connections: Connections, client: str, *, taken: int) -> FakeSocket:
    """A client for which 120 bytes wait but for those that it has taken."""
    socket = FakeSocket(stuck=True)
    mine = connection(socket, client)
    connections.attach(mine)
    assert connections.offer(mine, bytes(60))
    assert connections.offer(mine, bytes(60))
    socket.taken = taken
    return socket


async def test_a_client_that_takes_nothing_is_dropped() -> None:
    connections = Connections(outbox_size=100, send_timeout=0.0)
    stuck, slow, quick = (waiting_for(connections, name, taken=1) for name in "abc")
    connections.drop_stalled()
    assert not any(socket.closed for socket in (stuck, slow, quick))

    slow.taken, quick.taken = 60, 120
    connections.drop_stalled()

    assert stuck.closed == [1013, "aborted"]
    assert not slow.closed
    assert not quick.closed


async def test_those_for_whom_most_waits_are_dropped_when_too_much_waits_in_all(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By however many connections that read nothing, nobody has all the memory."""
    monkeypatch.setattr("hypha_cluster.relay.connections.OUTBOXES", 200)
    most, less, little = (
        waiting_for(connections, name, taken=taken)
        for name, taken in zip("abc", (0, 40, 80), strict=True)
    )

    connections.drop_stalled()

    assert most.closed == [1013, "aborted"]
    assert not less.closed
    assert not little.closed


async def test_a_client_is_given_time_for_its_first_frames(connections: Connections) -> None:
    socket = waiting_for(connections, "new", taken=0)

    connections.drop_stalled()

    assert not socket.closed
