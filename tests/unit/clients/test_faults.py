"""What fails though nobody expects it to: it costs nobody else anything, and nobody their place."""

import contextlib
from typing import Any, cast

import pytest

from hypha_cluster.clients.drain import QUIET, SLOWNESS, Drain, Work
from hypha_cluster.clients.handover import Request
from hypha_cluster.errors import RedisUnavailable, Replaced, StillOnline
from hypha_cluster.hub.answering import HubClient
from hypha_cluster.hub.calling import HubCalls
from hypha_cluster.registry.clients import ClaimMode
from hypha_cluster.relay.connection import Connection, Stage
from hypha_cluster.relay.pending import PendingCall
from tests.unit.clients.rig import ME, Cluster, Node, note, sent

LIMIT = 10.0  # seconds
FAULT = KeyError("nobody expects this")
AWAY = RedisUnavailable("Redis is away.")


def fail(owner: Any, method: str, error: Exception = FAULT, times: int = 1) -> None:
    """Make a method fail the next times, before it does anything."""
    sound, left = getattr(owner, method), times

    async def flawed(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        if left:
            left -= 1
            raise error
        return await sound(*args, **kwargs)

    setattr(owner, method, flawed)


# Attaching.


@pytest.mark.parametrize("error", [FAULT, AWAY])
@pytest.mark.parametrize("step", ["claim", "noted", "join", "take", "echoed"])
async def test_a_return_that_fails_leaves_the_place_as_it_was(
    cluster: Cluster, node: Node, step: str, error: Exception
) -> None:
    mine = await node.attach(program="p")
    await node.life.detach(mine, 1006)
    node.delivery.send(ME, note())
    await cluster.bus.settled()
    owners = {"join": node.listener, "echoed": node.listener, "take": node.mailboxes}
    fail(owners.get(step, cluster.registry), step, error)

    with pytest.raises(type(error)):
        await node.attach(program="p")
    await node.presence.tell_again()

    assert cluster.registry.states[ME] == "suspended"
    assert len(node.connections) == node.connections.known() == 0
    again = await node.attach(program="p")
    assert again.stage is Stage.LIVE
    assert sent(again) == [note()]


async def test_a_claim_whose_second_attempt_is_lost_is_undone(cluster: Cluster, node: Node) -> None:
    """The first meets a connection that does not answer; the reply to the second never comes."""
    await node.attach()

    async def no_answer(address: str) -> bool:
        return False

    async def claim(attachment: Any, mode: ClaimMode) -> Any:
        if mode is ClaimMode.TAKE:
            cluster.registry.records[ME] = attachment
            raise AWAY
        raise StillOnline("It is connected already.")

    node.hub.alive = no_answer
    cluster.registry.claim = claim  # type: ignore[method-assign]

    with pytest.raises(RedisUnavailable):
        await node.attach()
    await node.presence.tell_again()

    assert cluster.registry.states[ME] == "suspended"


async def test_who_was_replaced_is_refused_though_the_other_one_does_not_answer(
    cluster: Cluster, node: Node
) -> None:
    asked = []

    async def no_answer(address: str) -> bool:
        asked.append(address)
        return False

    node.hub.alive = no_answer
    fail(cluster.registry, "claim", Replaced("Another program has it."))

    with pytest.raises(Replaced):
        await node.attach(program="p")

    assert asked == []


# Going.


@pytest.mark.parametrize("code", [1000, 1006])
@pytest.mark.parametrize("step", ["leave", "put_back"])
async def test_the_end_of_a_connection_is_told_whatever_fails(
    cluster: Cluster, node: Node, step: str, code: int
) -> None:
    mine = await node.attach()
    fail(node.listener if step == "leave" else node.mailboxes, step)
    mine.waiting_from_bus.append(b"\x80")  # so that there is something to be put back

    node.life.detach_soon(mine, code)
    await node.life.stop()

    assert cluster.registry.states.get(ME) == (None if code == 1000 else "suspended")
    assert len(node.connections) == node.connections.known() == 0
    assert node.supervisor.failures == {"detach": 1}


async def test_one_address_that_cannot_be_handed_over_keeps_no_other(
    cluster: Cluster, node: Node
) -> None:
    there = cluster.node("there")
    await node.attach(program="p")
    fail(node.listener, "leave")

    first = await there.attach(program="p")
    assert first.stage is Stage.LIVE
    node.handover.take_request(Request("ann/nobody", "here#nobody", "there"))
    second = await node.attach(program="p")

    assert second.stage is Stage.LIVE
    assert node.supervisor.failures == {"hand over": 1}


async def test_one_that_cannot_be_told_of_does_not_keep_others_from_being_told_of(
    cluster: Cluster, node: Node
) -> None:
    mine = await node.attach()
    others = [mine.attachment._replace(address=f"ann/{name}", holder=name) for name in "abc"]
    for each in others:
        cluster.registry.records[each.address] = each
        node.presence.suspend_later(each)
    sound = cluster.registry.suspend

    async def suspend(address: str, **more: Any) -> bool:
        if address == "ann/a":
            raise FAULT
        return await sound(address, **more)

    cluster.registry.suspend = suspend  # type: ignore[method-assign]
    for _ in range(3):  # as the reaper does, which starts again when it fails
        with contextlib.suppress(KeyError):
            await node.presence.tell_again()

    told = [name for name in "abc" if cluster.registry.states.get(f"ann/{name}") == "suspended"]
    assert told == ["b", "c"]


# The drain.


class Ending:
    """A drain of one node."""

    def __init__(self, node: Node) -> None:
        self.node = node
        hub = node.hub
        work = Work(node.pending, node.owed, cast(HubClient, hub), cast(HubCalls, hub))
        self.drain = Drain(node.life, node.places, node.connections, work, node.supervisor)

    async def attach(self, refresh_after: float = 0.0) -> Connection:
        """Attach a client that has been here for long."""
        connection = await self.node.attach(program="p", refresh_after=refresh_after)
        connection.attached_at -= 60.0
        connection.heard_at -= 60.0
        return connection

    async def seconds(self, step: Any) -> float:
        began = self.node.clock.now
        self.drain.begin()
        await step
        await self.node.life.stop()
        return self.node.clock.now - began


@pytest.fixture
async def ending(node: Node) -> Ending:
    return Ending(node)


async def test_a_client_whose_departure_fails_is_told_to_go_all_the_same(ending: Ending) -> None:
    mine = await ending.attach()
    fail(ending.node.listener, "leave")

    assert await ending.seconds(ending.drain.empty(30.0)) < 1.0

    assert mine.stage is Stage.GONE
    assert ending.node.supervisor.failures == {"departure": 1}


async def test_a_client_that_gets_no_processor_is_given_more_time(ending: Ending) -> None:
    await ending.attach()
    clock = ending.node.clock

    async def slow(address: str) -> bool:
        ending.node.connections.get(ME).heard_at = clock.now  # type: ignore[union-attr]
        await clock.sleep(0.5)
        return True

    ending.node.hub.alive = slow

    took = await ending.seconds(ending.drain.empty(30.0))

    assert SLOWNESS * 0.5 <= took < SLOWNESS * 0.5 + 1.0


async def test_a_page_is_not_told_to_go_while_it_may_ask_for_its_connection_info(
    ending: Ending,
) -> None:
    page = await ending.attach(refresh_after=10.0)
    page.refreshed_at -= 7.5  # it is to ask in half a second

    assert 1.4 < await ending.seconds(ending.drain.empty(30.0)) < 2.0


@pytest.mark.parametrize(("takes", "expected"), [(2.0, 2.0), (60.0, 5.0)])
async def test_calls_that_are_under_way_get_some_time_where_there_is_nobody_else(
    ending: Ending, takes: float, expected: float
) -> None:
    await ending.attach()
    node, ends = ending.node, ending.node.clock.now + takes
    node.pending.add(ME, PendingCall("ann/you", "s", "s.reject", 0.0))
    sleep = node.clock.sleep

    async def working(seconds: float) -> None:
        await sleep(seconds)
        if node.clock.now >= ends:
            node.pending.settle(ME, "ann/you", "s")

    ending.drain._sleep = working

    took = await ending.seconds(ending.drain.settle())

    assert expected <= took < expected + QUIET + 0.2
