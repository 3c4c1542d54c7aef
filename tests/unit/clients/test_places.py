"""How connections leave their addresses, and what waits in mailboxes then."""

import asyncio
from collections.abc import Collection, Sequence
from typing import cast

import pytest

from hypha_cluster.errors import HubError, RedisUnavailable, TooMany
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.envelope import Seal
from hypha_cluster.protocol.limits import TAILS
from hypha_cluster.protocol.room import Room
from hypha_cluster.relay.connection import Connection, Stage
from hypha_cluster.relay.events import read_unseen
from hypha_cluster.relay.pending import PendingCall
from hypha_cluster.relay.tail import Tail
from tests.fakes import FakeSocket
from tests.unit.clients.rig import ME, Cluster, Node, note, sent

LIVE, CLOSING, GONE = Stage.LIVE, Stage.CLOSING, Stage.GONE


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


async def test_what_is_set_aside_late_does_not_deafen_a_newer_connection(
    cluster: Cluster, node: Node
) -> None:
    older = await node.attach(program="p")
    noted = cluster.gate("noted")
    attaching = asyncio.create_task(node.attach(program="p"))
    await noted.reached.wait()  # it has the place, and is about to go live

    setting_aside = asyncio.create_task(node.places.set_aside(older))
    await asyncio.sleep(0)
    noted.opened.set()
    newer = await attaching
    await setting_aside

    cluster.node("there").delivery.send(ME, note())
    await cluster.bus.settled()
    assert newer.stage is LIVE
    assert cluster.registry.states.get(ME) == "online"
    assert sent(newer) == [note()]
    assert node.counts.set_aside == 0


async def test_who_goes_while_it_is_set_aside_is_waited_for(cluster: Cluster, node: Node) -> None:
    mine = await node.attach()
    suspending = cluster.gate("suspend")
    setting_aside = asyncio.create_task(node.places.set_aside(mine))
    await suspending.reached.wait()

    detaching = asyncio.create_task(node.life.detach(mine, 1000))
    await asyncio.sleep(0)
    assert mine.stage is GONE
    suspending.opened.set()
    await asyncio.gather(setting_aside, detaching)

    assert cluster.registry.states.get(ME) is None


# What a stream may have lost.


def said(connection: Connection, *numbers: int) -> None:
    """It is sent some frames by a stream, which keeps them."""
    tail = cast(FakeSocket, connection.socket).tail = Tail(None, Room(TAILS))
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
    mine, room = await node.attach(program="p"), Room(TAILS)
    tail = cast(FakeSocket, mine.socket).tail = Tail(None, room)
    tail.add(note(1))

    await node.life.detach(mine, 1000)

    assert ME not in cluster.bus.mail
    assert room.free == Room(TAILS).free


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
