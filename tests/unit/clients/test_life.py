"""A client's life on its node, stage by stage, and what may come in between."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from typing import cast

import pytest

from hypha_cluster.clients import handover
from hypha_cluster.clients.admission import Move
from hypha_cluster.clients.life import SUPERSEDED
from hypha_cluster.errors import HubError, RedisUnavailable, StillOnline, TooMany
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.envelope import Seal, pack
from hypha_cluster.relay.bus import OnNotTaken
from hypha_cluster.relay.connection import Connection, Stage
from hypha_cluster.relay.events import read_unseen
from hypha_cluster.relay.pending import PendingCall
from hypha_cluster.relay.tail import Room, Tail
from tests.fakes import FakeSocket
from tests.unit.clients.rig import ME, Cluster, Node, closed, note, sent

LIMIT = 10.0  # seconds
LIVE, SET_ASIDE, CLOSING, GONE = Stage.LIVE, Stage.SET_ASIDE, Stage.CLOSING, Stage.GONE


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    cluster = Cluster()
    async with asyncio.timeout(LIMIT):
        yield cluster
        await cluster.stop()


@pytest.fixture
async def node(cluster: Cluster) -> Node:
    return cluster.node("here")


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
    await node.life.set_aside(mine)
    assert (mine.stage, state(cluster)) == (SET_ASIDE, "suspended")

    await node.life.detach(mine, code)

    assert state(cluster) is None


async def test_who_was_told_to_go_is_suspended_whatever_it_answers(
    cluster: Cluster, node: Node
) -> None:
    mine = await node.attach()
    await node.life.set_aside(mine)
    mine.close(1012, "going away")  # which this client answers with the same code
    await node.life.stop()

    assert state(cluster) == "suspended"
    second = await node.attach(program="p")
    assert second.stage is LIVE
    second.enter(CLOSING)
    await node.life.detach(second, 1000)
    assert state(cluster) == "suspended"


async def test_what_was_on_its_way_waits_in_the_mailbox(cluster: Cluster, node: Node) -> None:
    mine = await node.attach()
    suspending = cluster.gate("suspend")

    detaching = asyncio.create_task(node.life.detach(mine, 1006))
    await asyncio.sleep(0)
    cluster.node("there").delivery.send(ME, note(1))
    node.delivery.send(ME, note(2))
    await suspending.reached.wait()
    suspending.opened.set()
    await detaching

    assert sent(mine) == []
    assert sorted(cluster.bus.mail[ME]) == [note(1), note(2)]


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


async def test_who_has_its_answer_in_its_mailbox_waits_for_it_no_more(
    cluster: Cluster, node: Node
) -> None:
    mine = await node.attach(program="p")
    node.pending.add("ann/you", PendingCall(ME, "s", "s.reject", 0.0))
    mine.enter(CLOSING)
    answer = Seal("ann/you", {}).call(rpc.call_envelope(ME, "s.resolve"), b"\x80")
    node.delivery.receive(ME, answer)
    await node.life.detach(mine, 1006)

    there = cluster.node("there")
    again = await there.attach(program="p")

    assert sent(again) == [answer]
    assert len(there.pending) == 0


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


async def test_what_is_set_aside_late_does_not_deafen_a_newer_connection(
    cluster: Cluster, node: Node
) -> None:
    older = await node.attach(program="p")
    noted = cluster.gate("noted")
    attaching = asyncio.create_task(node.attach(program="p"))
    await noted.reached.wait()  # it has the place, and is about to go live

    setting_aside = asyncio.create_task(node.life.set_aside(older))
    await asyncio.sleep(0)
    noted.opened.set()
    newer = await attaching
    await setting_aside

    cluster.node("there").delivery.send(ME, note())
    await cluster.bus.settled()
    assert newer.stage is LIVE
    assert state(cluster) == "online"
    assert sent(newer) == [note()]
    assert node.counts.set_aside == 0


async def test_who_goes_while_it_is_set_aside_is_waited_for(cluster: Cluster, node: Node) -> None:
    mine = await node.attach()
    suspending = cluster.gate("suspend")
    setting_aside = asyncio.create_task(node.life.set_aside(mine))
    await suspending.reached.wait()

    detaching = asyncio.create_task(node.life.detach(mine, 1000))
    await asyncio.sleep(0)
    assert mine.stage is GONE
    suspending.opened.set()
    await asyncio.gather(setting_aside, detaching)

    assert state(cluster) is None


# A page of an app in the place of another one, whose runner stops.

MOVE = Move(LIMIT, "tool")


def call(session: str) -> bytes:
    body = pack({"args": [], "promise": rpc.promise("ann/you", session)})
    return Seal("ann/you", {}).call(rpc.call_envelope(ME, "services.tool.run", session), body)


@pytest.fixture(params=["here", "there"])
async def place(request: pytest.FixtureRequest, cluster: Cluster, node: Node) -> Node:
    """Where the next page comes in."""
    return node if request.param == "here" else cluster.node(request.param)


async def page_at_work(node: Node) -> Connection:
    """A page that has got a call, and has not answered it."""
    page = await node.attach_page()
    page.announce({"tool": "{}"}, {"tool": "{}"})
    node.delivery.send(ME, call("s1"))
    assert sent(page) == [call("s1")]
    return page


async def is_set_aside(node: Node) -> None:
    """Wait until what comes for the page goes to the mailbox."""
    while node.listener.takes(ME):  # noqa: ASYNC110
        await asyncio.sleep(0)


async def test_the_next_page_comes_when_the_one_before_has_answered(
    cluster: Cluster, node: Node, place: Node
) -> None:
    old = await page_at_work(node)

    coming = asyncio.create_task(place.attach_page(MOVE))
    await is_set_aside(node)
    place.delivery.send(ME, call("s2"))
    await cluster.bus.settled()
    assert not coming.done()
    assert old.stage is SET_ASIDE  # it is heard
    node.ledger.answered(ME, "ann/you", "s1.resolve")
    new = await coming

    assert (sent(old), sent(new)) == ([call("s1")], [])
    new.announce({"tool": "{}"}, {"tool": "{}"})
    assert sent(new) == [call("s2")]
    assert node.hub.left == place.hub.left == []  # nobody is told that there will be no answer
    assert old.is_ending


async def test_who_waits_for_a_page_that_does_not_answer_is_told(
    cluster: Cluster, node: Node, place: Node
) -> None:
    old = await page_at_work(node)

    coming = asyncio.create_task(place.attach_page(MOVE))
    await is_set_aside(node)
    await cluster.clock.sleep(LIMIT + 1)
    await coming
    await cluster.bus.settled()

    assert node.hub.left == [ME]
    assert old.is_ending


async def test_who_waits_for_a_page_that_is_lost_is_told(
    cluster: Cluster, node: Node, place: Node
) -> None:
    old = await page_at_work(node)
    await node.life.detach(old, 1006)

    await place.attach_page(MOVE)
    await cluster.bus.settled()

    assert node.hub.left == [ME]


async def test_a_page_whose_node_has_not_heard_of_the_move_is_cut_off_too(
    cluster: Cluster, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, place = await page_at_work(node), cluster.node("there")
    publish, lost = place.publisher.publish_to_node, list[bytes]()

    def lose_the_first(to: str, event: bytes, on_not_taken: OnNotTaken | None = None) -> None:
        if lost:
            publish(to, event, on_not_taken)
        lost.append(event)

    monkeypatch.setattr(handover, "HANDOVER", 0.5)
    monkeypatch.setattr(place.publisher, "publish_to_node", lose_the_first)

    await place.attach_page(Move(0.01, "tool"))

    assert old.is_ending
    assert not node.listener.takes(ME)


async def test_what_a_page_owes_is_forgotten_with_it(node: Node) -> None:
    old = await page_at_work(node)
    assert node.ledger.owes(ME)

    await node.life.detach(old, 1000)

    assert not node.ledger.owes(ME)
    assert not node.owed.are_watched


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
    await node.life.set_aside(mine)

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


# What a stream may have lost.


def said(connection: Connection, *numbers: int) -> None:
    """It is sent some frames by a stream, which keeps them."""
    tail = cast(FakeSocket, connection.socket).tail = Tail(None, Room())
    for number in numbers:
        tail.add(note(number))


def kept(frames: Sequence[bytes]) -> list[tuple[int, bytes]]:
    found = [read_unseen(frame) for frame in frames]
    return [(each.number, each.frame) for each in found if each is not None]


async def test_what_a_stream_may_have_lost_is_kept_before_the_later_mail(
    cluster: Cluster, node: Node
) -> None:
    mine = await node.attach(program="p")
    said(mine, 1, 2)

    await node.life.detach(mine, 1006)
    node.delivery.send(ME, note(3))
    await cluster.bus.settled()

    mail = cluster.bus.mail[ME]
    assert kept(mail) == [(1, note(1)), (2, note(2))]
    assert mail[2:] == [note(3)]


async def test_another_connection_at_the_same_gateway_gets_it_at_once(
    cluster: Cluster, node: Node
) -> None:
    old = await node.attach(program="p")
    said(old, 1, 2)

    new = await node.attach(program="p", seen=1)

    assert sent(new) == [note(2)]
    await node.life.stop()
    assert cluster.bus.mail == {}


async def test_another_connection_that_comes_to_nothing_leaves_it_in_the_mailbox(
    cluster: Cluster, node: Node
) -> None:
    old = await node.attach(program="p")
    said(old, 1, 2)

    async def gone() -> None:
        raise RedisUnavailable("Redis is away.")

    with pytest.raises(RedisUnavailable):
        await node.attach(program="p", seen=1, accept=gone)

    assert kept(cluster.bus.mail[ME]) == [(1, note(1)), (2, note(2))]


async def test_what_waits_for_a_connection_that_was_told_to_go_comes_by_the_next_one(
    cluster: Cluster, node: Node
) -> None:
    old = await node.attach(program="p")
    said(old, 1)
    old.enter(CLOSING)  # its end is not noticed yet
    cluster.node("there").delivery.send(ME, note(2))
    await cluster.bus.settled()
    assert old.waiting_from_bus == [note(2)]

    new = await node.attach(program="p", seen=0)

    assert sent(new) == [note(1), note(2)]
    await node.life.stop()
    assert cluster.bus.mail == {}


async def test_who_is_said_goodbye_to_keeps_no_room_for_it(cluster: Cluster, node: Node) -> None:
    mine, room = await node.attach(program="p"), Room()
    tail = cast(FakeSocket, mine.socket).tail = Tail(None, room)
    tail.add(note(1))

    await node.life.detach(mine, 1000)

    assert ME not in cluster.bus.mail
    assert room.free == Room().free


async def test_it_counts_as_what_its_client_puts_into_mailboxes(
    cluster: Cluster, node: Node
) -> None:
    mine = await node.attach(program="p")
    said(mine, 1)
    mine.mail = purse = Purse()
    await node.life.detach(mine, 1006)
    assert purse.sizes == list(map(len, cluster.bus.mail.pop(ME)))

    back = await node.attach(program="p")
    said(back, 2)
    back.mail = Purse(TooMany("It is too much."))
    await node.life.detach(back, 1006)

    assert ME not in cluster.bus.mail
    assert node.counts.lost_frames == {"mailbox_full": 1}


class Purse:
    """What a client may put into mailboxes."""

    spent: Collection[str] = ()

    def __init__(self, error: HubError | None = None) -> None:
        self.sizes: list[int] = []
        self._error = error

    def refusal(self) -> HubError | None:
        return self._error

    def spend(self, size: int) -> None:
        self.sizes.append(size)
