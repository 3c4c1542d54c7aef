"""How a node sends its clients away, each in its own time; no time passes but by the fake clock."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest

from hypha_cluster.clients.drain import PATIENCE, Drain, Work
from hypha_cluster.clients.life import GOING_AWAY
from hypha_cluster.hub.answering import HubClient
from hypha_cluster.hub.calling import HubCalls
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.envelope import Seal
from hypha_cluster.protocol.limits import BUSY_PATIENCE, QUIET_PATIENCE, YOUNGEST
from hypha_cluster.relay.connection import Connection, Stage
from hypha_cluster.relay.sockets import Verdict
from tests.unit.clients.rig import ME, ClientSocket, Cluster, Node, closed

LIMIT = 10.0  # seconds


class Poster:
    """Where a client posts what it sends."""

    def put(
        self, key: str, frame: bytes, settle: Callable[[Verdict], None], *, is_kept: bool = False
    ) -> None:
        raise AssertionError("it posts nothing")


SPREAD = 30.0


class Rig:
    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.clock = cluster.clock
        self.node: Node = cluster.node("here")
        hub = self.node.hub
        work = Work(self.node.pending, self.node.owed, cast(HubClient, hub), cast(HubCalls, hub))
        self.drain = Drain(
            self.node.life, self.node.places, self.node.connections, work, self.node.supervisor
        )

    async def attach(self, age: float = YOUNGEST) -> Connection:
        connection = await self.node.attach(program="p")
        connection.attached_at -= age
        connection.heard_at -= age
        return connection

    async def empty(self) -> float:
        """Send everybody away; say how many seconds that took."""
        began = self.clock.now
        self.drain.begin()
        await self.drain.empty(SPREAD)
        await self.node.life.stop()
        return self.clock.now - began


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    cluster = Cluster()
    async with asyncio.timeout(LIMIT):
        yield Rig(cluster)
        await cluster.stop()


async def test_a_node_without_clients_is_empty_at_once(rig: Rig) -> None:
    before = rig.drain.is_on

    assert await rig.empty() == 0.0

    assert (before, rig.drain.is_on) == (False, True)
    assert rig.drain.seconds() == 0.0


async def test_a_client_at_rest_is_sent_away_soon(rig: Rig) -> None:
    mine = await rig.attach()

    assert await rig.empty() < 1.0

    assert closed(mine) == [GOING_AWAY]
    assert rig.cluster.registry.states[ME] == "suspended"
    assert rig.node.counts.set_aside == 1


async def test_a_client_that_posts_is_told_to_go_without_being_set_aside_before(rig: Rig) -> None:
    """What it posts meanwhile is kept for it, wherever it is then."""
    mine = await rig.attach()
    cast(ClientSocket, mine.socket).postbox = Poster()

    assert await rig.empty() < 1.0

    assert closed(mine) == [GOING_AWAY]
    assert rig.cluster.registry.states[ME] == "suspended"
    assert rig.node.counts.set_aside == 0


async def test_a_client_is_not_sent_away_before_its_time(rig: Rig) -> None:
    await rig.attach(age=1.0)

    assert YOUNGEST - 1.0 <= await rig.empty() < YOUNGEST


async def test_frames_for_a_client_wait_until_it_comes_back(rig: Rig) -> None:
    mine = await rig.attach()
    stages = []

    async def ask(address: str) -> bool:
        stages.append(mine.stage)
        return True

    rig.node.hub.alive = ask
    await rig.empty()

    assert stages == [Stage.LIVE]  # it is asked first, as it would not hear it later
    assert mine.stage is Stage.GONE


async def test_what_the_hub_does_for_a_client_may_end(rig: Rig) -> None:
    await rig.attach()
    rig.node.hub.serving.add(ME)

    assert BUSY_PATIENCE + QUIET_PATIENCE <= await rig.empty() < PATIENCE


async def test_a_client_may_answer_what_it_was_asked(rig: Rig) -> None:
    mine = await rig.attach()
    rig.drain.begin()
    call = Seal("ann/you", {}).call(rpc.call_envelope(ME, "services.tool.run", "s"), b"")
    rig.node.delivery.send(ME, call)

    assert QUIET_PATIENCE <= await rig.empty() < 2 * QUIET_PATIENCE
    assert closed(mine) == [GOING_AWAY]


async def test_a_client_that_has_answered_is_not_waited_for(rig: Rig) -> None:
    await rig.attach()
    rig.drain.begin()
    call = Seal("ann/you", {}).call(rpc.call_envelope(ME, "services.tool.run", "s"), b"")
    rig.node.delivery.send(ME, call)
    rig.node.ledger.answered(ME, "ann/you", "s.resolve")

    assert await rig.empty() < 1.0


async def test_a_client_that_goes_on_sending_is_sent_away_in_the_end(rig: Rig) -> None:
    mine = await rig.attach()
    sleep = rig.clock.sleep

    async def talking(seconds: float) -> None:
        mine.heard_at = rig.clock.now
        await sleep(seconds)

    rig.drain._sleep = talking

    assert await rig.empty() < PATIENCE
    assert closed(mine) == [GOING_AWAY]


async def test_a_client_that_leaves_by_itself_has_left(rig: Rig) -> None:
    mine = await rig.attach()
    rig.node.hub.serving.add(ME)  # so that it is still here when it does
    draining = asyncio.create_task(rig.empty())
    await asyncio.sleep(0)

    assert isinstance(mine.socket, ClientSocket)
    mine.socket.end(1000)
    await draining

    assert ME not in rig.cluster.registry.states
    assert closed(mine) == []


async def test_who_comes_late_is_sent_away_too(rig: Rig) -> None:
    first = await rig.attach()
    rig.node.hub.serving.add(ME)
    draining = asyncio.create_task(rig.empty())
    await asyncio.sleep(0)

    second = await rig.attach()
    rig.node.hub.serving.clear()
    await draining

    assert closed(first) == [1000]  # the second one has its place
    assert closed(second) == [GOING_AWAY]


async def test_a_client_that_does_not_go_is_cut_off_when_all_had_their_time(rig: Rig) -> None:
    mine = await rig.attach()
    assert isinstance(mine.socket, ClientSocket)
    mine.socket.is_prompt = False

    took = await rig.empty()

    assert closed(mine) == [GOING_AWAY, "aborted"]
    assert rig.node.counts.cut_off == 1
    assert SPREAD + PATIENCE <= took < SPREAD + PATIENCE + 1.0


async def test_clients_at_rest_stay_where_there_is_nobody_else(rig: Rig) -> None:
    mine = await rig.attach()
    rig.drain.begin()

    await rig.drain.settle()

    assert mine.stage is Stage.SET_ASIDE
    assert closed(mine) == []
    assert rig.cluster.registry.states[ME] == "suspended"
