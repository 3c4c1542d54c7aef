"""What waits for clients: collected by those that are here, put back by those that go."""

import pytest

from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.envelope import FrameReader, Seal, pack
from hypha_cluster.registry.mailboxes import CALL, OTHER, Marked
from hypha_cluster.relay.connection import Connection, Stage
from hypha_cluster.relay.events import Unseen, write_calls, write_unseen
from tests.fakes import FakeSocket
from tests.unit.clients.rig import ME, Cluster, Node, note, sent
from tests.unit.relay.test_connection import arriving

YOU = "ann/you"
READER = FrameReader(10_000)


def call(session: str = "s") -> bytes:
    """A sealed call of YOU at ME, for whose answer YOU waits."""
    body = {"args": [], "promise": rpc.promise(YOU, session)}
    return Seal(YOU, {}).call(rpc.call_envelope(ME, "services.tool.run", session), pack(body))


@pytest.fixture
async def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
async def node(cluster: Cluster) -> Node:
    return Node(cluster, "here")


def caller(node: Node) -> Connection:
    """The client that waits for the answer."""
    waiting = arriving(FakeSocket(), "you", "node#2")
    node.connections.attach(waiting)
    waiting.enter(Stage.LIVE)
    return waiting


def answers(waiting: Connection) -> list[tuple[str, str]]:
    """By which callbacks it was answered, and what was said."""
    read = [READER.read(frame) for frame in sent(waiting)]
    return [(each.envelope["method"], str(each.body["args"][0])) for each in read]


async def test_only_a_client_that_is_here_collects_what_it_missed(
    cluster: Cluster, node: Node
) -> None:
    cluster.bus.mail[ME] = [note()]
    assert await node.mail.collect_missed(ME) == []
    mine = arriving(FakeSocket())
    node.connections.attach(mine)
    assert await node.mail.collect_missed(ME) == []

    mine.enter(Stage.LIVE)

    assert await node.mail.collect_missed(ME) == [note()]


async def test_what_is_put_back_comes_before_the_mail(cluster: Cluster, node: Node) -> None:
    cluster.bus.known.add(ME)
    cluster.bus.mail[ME] = [note(3)]

    await node.mail.put_back(ME, [note(1), note(2)])

    assert await node.mail.collect(ME) == [note(1), note(2), note(3)]


async def test_a_call_for_a_client_that_is_gone_is_rejected(node: Node) -> None:
    waiting = caller(node)

    await node.mail.put_back(ME, [call(), note()])

    ((method, text),) = answers(waiting)
    assert method == "s.reject"
    assert "Client not found: me" in text
    assert node.counts.lost_frames == {"nobody": 1}


async def test_a_call_that_cannot_be_kept_is_rejected(node: Node) -> None:
    node.mailboxes.is_away = True
    waiting = caller(node)

    await node.mail.put_back(ME, [call(), note()])

    ((method, text),) = answers(waiting)
    assert method == "s.reject"
    assert "Redis is away" in text
    assert node.counts.lost_frames == {"unavailable": 1}


@pytest.mark.parametrize(("is_away", "outcome"), [(False, "nobody"), (True, "unavailable")])
async def test_what_a_stream_may_have_lost_and_cannot_be_kept_is_counted(
    node: Node, *, is_away: bool, outcome: str
) -> None:
    """A call in it may have come and be under way, so it is not rejected here."""
    node.mailboxes.is_away = is_away
    waiting = caller(node)
    unseen = [write_unseen(Unseen("p", number, call())) for number in (1, 2)]

    await node.mail.put_back(ME, [*unseen, write_calls([]), note()])

    assert sent(waiting) == []
    assert node.counts.lost_frames == {outcome: 3}


async def test_calls_to_who_stays_away_are_given_up(node: Node) -> None:
    node.mailboxes.given_up = [(ME, [call("a"), call("b")])]
    waiting = caller(node)

    await node.mail.give_up_calls()

    assert [method for method, _ in answers(waiting)] == ["a.reject", "b.reject"]
    assert all("is away" in text for _, text in answers(waiting))


async def test_what_is_no_frame_is_given_up_without_a_word(node: Node) -> None:
    node.mailboxes.given_up = [(ME, [b"\xc1", b"\x81", pack({"a": 1})])]

    await node.mail.give_up_calls()

    assert node.counts.rejects == 0


async def test_calls_that_were_taken_in_vain_and_are_for_nobody_are_rejected(node: Node) -> None:
    node.mailboxes.recovered = [(ME, [Marked(CALL, call()), Marked(OTHER, note())])]
    waiting = caller(node)

    await node.mail.recover()

    ((method, text),) = answers(waiting)
    assert method == "s.reject"
    assert "Client not found: me" in text
