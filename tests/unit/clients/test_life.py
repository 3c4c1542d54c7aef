"""A client's life on its node, stage by stage, and what may come in between."""

import asyncio

import pytest

from hypha_cluster.clients.life import SUPERSEDED
from hypha_cluster.errors import RedisUnavailable, StillOnline
from hypha_cluster.relay.connection import Stage
from tests.unit.clients.rig import ME, Cluster, Node, closed, note, sent

LIVE, SET_ASIDE, CLOSING, GONE = Stage.LIVE, Stage.SET_ASIDE, Stage.CLOSING, Stage.GONE


def state(cluster: Cluster) -> str | None:
    return cluster.registry.states.get(ME)


# Coming.


async def test_who_arrives_is_live_and_heard(cluster: Cluster, node: Node) -> None:
    mine = await node.attach()
    cluster.node("there").delivery.send(ME, note())
    await cluster.bus.settled()

    assert mine.stage is LIVE
    assert state(cluster) == "online"
    assert sent(mine) == [note()]


async def test_mail_comes_before_what_comes_while_a_client_arrives(
    cluster: Cluster, node: Node
) -> None:
    first = await node.attach(program="p")
    await node.life.detach(first, 1006)
    node.delivery.send(ME, note(1))
    await cluster.bus.settled()
    noted = cluster.gate("noted")

    attaching = asyncio.create_task(node.attach(program="p"))
    await noted.reached.wait()
    node.delivery.send(ME, note(3))  # from here
    cluster.node("there").delivery.send(ME, note(2))  # by the bus
    await cluster.bus.settled()
    noted.opened.set()

    assert sent(await attaching) == [note(1), note(2), note(3)]


async def test_who_is_refused_leaves_nothing_behind(cluster: Cluster, node: Node) -> None:
    mine = await node.attach()

    with pytest.raises(StillOnline):
        await node.attach()

    assert list(node.connections) == [mine]
    assert mine.stage is LIVE
    assert node.connections.known() == 1


@pytest.mark.parametrize("command", ["noted", "claimed"])
async def test_who_cannot_be_attached_is_suspended(
    cluster: Cluster, node: Node, command: str
) -> None:
    gate = cluster.gate(command)

    attaching = asyncio.create_task(node.attach())
    await gate.reached.wait()
    attaching.cancel()
    await asyncio.wait([attaching])

    await node.presence.tell_again()
    assert state(cluster) == "suspended"
    assert len(node.connections) == node.connections.known() == 0


# Going.


@pytest.mark.parametrize(
    ("code", "after"), [(1000, None), (1001, None), (1006, "suspended"), (1012, "suspended")]
)
async def test_who_says_goodbye_has_left_and_who_does_not_is_suspended(
    cluster: Cluster, node: Node, code: int, after: str | None
) -> None:
    mine = await node.attach()

    await node.life.detach(mine, code)

    assert mine.stage is GONE
    assert state(cluster) == after
    assert len(node.connections) == node.connections.known() == 0


@pytest.mark.parametrize("code", [1000, 1001])
async def test_who_says_goodbye_while_set_aside_has_left(
    cluster: Cluster, node: Node, code: int
) -> None:
    mine = await node.attach()
    await node.places.set_aside(mine)
    assert (mine.stage, state(cluster)) == (SET_ASIDE, "suspended")

    await node.life.detach(mine, code)

    assert state(cluster) is None


async def test_who_was_told_to_go_is_suspended_whatever_it_answers(
    cluster: Cluster, node: Node
) -> None:
    mine = await node.attach()
    await node.places.set_aside(mine)
    mine.close(1012, "going away")  # which this client answers with the same code
    await node.life.stop()

    assert state(cluster) == "suspended"
    second = await node.attach(program="p")
    assert second.stage is LIVE
    second.enter(CLOSING)
    await node.life.detach(second, 1000)
    assert state(cluster) == "suspended"


async def test_nobody_has_gone_before_all_that_it_sent_is_routed(
    cluster: Cluster, node: Node
) -> None:
    mine = await node.attach(program="p")
    mine.hold_back()  # one of its frames waits for the registry
    mine.waiting_to_route = [b"behind it"]

    ending = asyncio.create_task(node.life.detach(mine, 1006))
    returning = asyncio.create_task(cluster.node("there").attach(program="p"))
    while mine.stage is LIVE:
        await cluster.bus.settled()
    node.delivery.send(ME, note())  # nobody hears it any more: it belongs to the mailbox
    await cluster.bus.settled()
    was_gone = mine.stage is GONE
    routed = [*mine.let_go(), mine.stage]
    mine.routed.set()
    again = await returning
    await ending

    assert not was_gone
    assert routed == [b"behind it", CLOSING]
    assert mine.stage is GONE
    assert sent(again) == [note()]


async def test_who_cannot_be_told_to_have_gone_is_told_later(cluster: Cluster, node: Node) -> None:
    mine = await node.attach()
    cluster.registry.is_away = node.mailboxes.is_away = True

    await node.life.detach(mine, 1000)
    assert state(cluster) == "online"
    cluster.registry.is_away = False
    await node.presence.tell_again()

    assert state(cluster) is None


async def test_who_is_expelled_has_left_at_once(cluster: Cluster, node: Node) -> None:
    mine = await node.attach()

    await node.life.expel(mine)

    assert state(cluster) is None
    assert closed(mine)[0] == SUPERSEDED


# Coming while going.


async def test_a_newer_connection_takes_the_place(cluster: Cluster, node: Node) -> None:
    older = await node.attach(program="p")

    newer = await node.attach(program="p")

    assert closed(older) == [SUPERSEDED]
    assert node.connections.get(ME) is newer
    await node.life.stop()
    assert older.stage is GONE
    assert state(cluster) == "online"
    assert node.connections.known() == 1


# Saying again who is here.


async def test_redis_is_told_again_who_is_here(cluster: Cluster, node: Node) -> None:
    mine = await node.attach()
    mine.announce({"tool": "{}"})
    cluster.registry.records.clear()

    await node.life.reassert()

    assert state(cluster) == "online"
    assert cluster.registry.services[ME] == {"tool": "{}"}


async def test_nobody_is_said_to_be_here_who_goes_meanwhile(cluster: Cluster, node: Node) -> None:
    mine = await node.attach()
    asserting = cluster.gate("claim assert")
    reasserting = asyncio.create_task(node.life.reassert())
    await asserting.reached.wait()

    detaching = asyncio.create_task(node.life.detach(mine, 1000))
    for _ in range(20):  # turns of the loop, more than it takes if it does not have to wait
        await asyncio.sleep(0)
    asserting.opened.set()
    await asyncio.gather(reasserting, detaching)

    assert state(cluster) is None
    assert ME not in cluster.registry.records


async def test_nobody_is_said_to_be_here_who_has_gone_before_their_turn(
    cluster: Cluster, node: Node
) -> None:
    mine = await node.attach()
    leaving = cluster.gate("leave")
    detaching = asyncio.create_task(node.life.detach(mine, 1000))
    await leaving.reached.wait()

    reasserting = asyncio.create_task(node.life.reassert())
    await asyncio.sleep(0)
    leaving.opened.set()
    await asyncio.gather(reasserting, detaching)

    assert ME not in cluster.registry.records


async def test_who_is_set_aside_is_not_said_to_be_online(cluster: Cluster, node: Node) -> None:
    mine = await node.attach()
    await node.places.set_aside(mine)

    await node.life.reassert()

    assert state(cluster) == "suspended"


async def test_what_a_client_registers_meanwhile_is_not_overwritten(
    cluster: Cluster, node: Node
) -> None:
    mine = await node.attach()
    mine.announce({"old": "{}"})
    registering = cluster.gate("register")
    reasserting = asyncio.create_task(node.life.reassert())
    await registering.reached.wait()

    async def register() -> None:  # as the manager does
        async with mine.registering:
            await cluster.registry.register(mine.attachment, {"old": '{"is": "new"}'})
            mine.announce({"old": '{"is": "new"}'})

    changing = asyncio.create_task(register())
    await asyncio.sleep(0)
    registering.opened.set()
    await asyncio.gather(reasserting, changing)

    assert cluster.registry.services[ME] == {"old": '{"is": "new"}'}


async def test_who_is_attached_elsewhere_by_now_yields(cluster: Cluster, node: Node) -> None:
    mine = await node.attach()
    holder = cluster.registry.records[ME]
    cluster.registry.records[ME] = holder._replace(holder="there#1", node="there")

    await node.life.reassert()

    assert closed(mine) == [SUPERSEDED]
    assert node.connections.get(ME) is None
    assert state(cluster) == "online"


# From node to node.


async def test_a_client_takes_its_frames_along_in_their_order(cluster: Cluster, node: Node) -> None:
    there, sender = cluster.node("there"), cluster.node("sender")
    mine = await node.attach(program="p")
    number = 0
    moving = asyncio.create_task(there.attach(program="p"))
    while not moving.done():
        sender.delivery.send(ME, note(number))
        number += 1
        await asyncio.sleep(0)
    newer = await moving
    await node.life.stop()
    await cluster.bus.settled()

    assert number > 5
    assert sent(mine) + sent(newer) == [note(each) for each in range(number)]
    assert closed(mine) == [SUPERSEDED]
    assert len(node.connections) == node.connections.known() == 0
    assert state(cluster) == "online"


async def test_who_is_overtaken_while_it_arrives_gives_way(cluster: Cluster, node: Node) -> None:
    there = cluster.node("there")
    claimed = cluster.gate("claimed")
    slow = asyncio.create_task(node.attach(program="p"))
    await claimed.reached.wait()  # it has the address, and does not know it yet

    newer = await there.attach(program="p")
    claimed.opened.set()
    older = await slow
    await node.life.stop()

    assert closed(older) == [SUPERSEDED]
    assert newer.stage is LIVE
    assert (len(node.connections), len(there.connections)) == (0, 1)
    assert node.connections.known() == 0
    assert state(cluster) == "online"


@pytest.mark.parametrize("is_elsewhere", [True, False])
async def test_who_is_overtaken_has_the_one_before_give_way_all_the_same(
    cluster: Cluster, node: Node, is_elsewhere: bool
) -> None:
    before = cluster.node("before") if is_elsewhere else node
    after = cluster.node("after")
    first = await before.attach(program="p")
    claimed = cluster.gate("claimed")
    slow = asyncio.create_task(node.attach(program="p"))
    await claimed.reached.wait()

    newest = await after.attach(program="p")
    claimed.opened.set()
    await slow
    await asyncio.gather(*(each.life.stop() for each in (before, node)))
    before.delivery.send(ME, note())
    await cluster.bus.settled()

    assert closed(first) == [SUPERSEDED]
    assert sent(newest) == [note()]
    assert (len(before.connections), len(node.connections)) == (0, 0)


async def test_nobody_waits_for_a_connection_whose_place_the_next_one_here_has(
    cluster: Cluster, node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    """A client opens one here, one there, and one here again, before the first one is live."""
    there = cluster.node("there")
    noted = cluster.gate("noted")
    opening = [asyncio.create_task(node.attach(program="p"))]
    await noted.reached.wait()  # it has its place

    opening += [asyncio.create_task(each.attach(program="p")) for each in (there, node)]
    await cluster.bus.settled()
    noted.opened.set()
    first, second, third = await asyncio.gather(*opening)
    await asyncio.gather(node.life.stop(), there.life.stop())

    assert closed(first) == closed(second) == [SUPERSEDED]
    assert third.stage is LIVE
    assert (len(there.connections), there.connections.known()) == (0, 0)
    assert node.connections.known() == 1
    assert "does not answer" not in caplog.text


async def test_who_goes_while_its_address_is_asked_for_keeps_its_frames(
    cluster: Cluster, node: Node
) -> None:
    there = cluster.node("there")
    mine = await node.attach(program="p")
    suspending = cluster.gate("suspend")
    detaching = asyncio.create_task(node.life.detach(mine, 1006))
    await asyncio.sleep(0)
    there.delivery.send(ME, note(1))
    await suspending.reached.wait()

    moving = asyncio.create_task(there.attach(program="p"))
    await asyncio.sleep(0)
    suspending.opened.set()
    newer = await moving
    await detaching

    assert sent(newer) == [note(1)]
    assert state(cluster) == "online"


async def test_a_client_that_does_not_answer_loses_its_place(cluster: Cluster, node: Node) -> None:
    older = await node.attach()

    async def no_answer(address: str) -> bool:
        return False

    node.hub.alive = no_answer
    newer = await node.attach()

    assert closed(older) == [SUPERSEDED]
    assert newer.stage is LIVE


async def test_redis_that_is_away_is_said(cluster: Cluster, node: Node) -> None:
    cluster.registry.is_away = True

    with pytest.raises(RedisUnavailable):
        await node.attach()

    assert node.connections.known() == 0
