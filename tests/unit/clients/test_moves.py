"""The page of an app in the place of another one, whose runner stops."""

import asyncio

import pytest

from hypha_cluster.clients import handover
from hypha_cluster.clients.admission import Move
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.envelope import Seal, pack
from hypha_cluster.relay.bus import OnNotTaken
from hypha_cluster.relay.connection import Connection, Stage
from tests.unit.clients.rig import ME, Cluster, Node, sent

LIMIT = 10.0  # seconds
SET_ASIDE = Stage.SET_ASIDE

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
