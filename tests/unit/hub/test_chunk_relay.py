"""A message in chunks: each goes on as a call of the hub's, and what fails is cleared away."""

from collections.abc import AsyncIterator
from typing import Any, Final, cast

import pytest

from hypha_cluster.errors import HubError
from hypha_cluster.hub import replies
from hypha_cluster.hub.chunk_relay import ChunkRelay
from hypha_cluster.hub.replies import Replies
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.envelope import Frame, FrameReader, pack
from hypha_cluster.protocol.guard import CACHE
from hypha_cluster.relay.connection import Connection
from hypha_cluster.relay.delivery import Delivery
from hypha_cluster.relay.pending import PendingCall
from tests.fakes import FakeSocket
from tests.unit.hub.peers import FakeHub
from tests.unit.relay.test_connection import connection

READER: Final = FrameReader(100_000)
ME, YOU = "ann/me", "ann/you"


class Rejections:
    """What the relay would have told callers."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, str, str]] = []
        self.unsent: list[PendingCall] = []

    def reject_answer(self, callee: str, caller: str, method: str, error: HubError) -> None:
        self.answers.append((callee, caller, method))


class Rig:
    """A sender, a target, and the hub between them."""

    def __init__(self) -> None:
        self.hub = FakeHub()
        self.me, self.you = self.hub.connect(ME), self.hub.connect(YOU)
        self.told = Rejections()
        delivery = cast(Any, self.hub)
        delivery.rejects, delivery.unsent = self.told, lambda _, call: self.told.unsent.append(call)
        self.replies = Replies(cast(Delivery, delivery), self.hub.supervisor)
        self.relay = ChunkRelay(cast(Delivery, delivery), self.hub.calls, self.replies)
        self.connection: Connection = connection(FakeSocket())

    def send(self, action: str, *args: Any, call: PendingCall | None = None) -> str:
        """One call of the target's cache; answer the session in which it is answered."""
        session = f"{action}{len(self.me.received)}"
        envelope = rpc.call_envelope(YOU, f"{CACHE}{action}", session)
        body = {"args": list(args), "promise": rpc.promise(ME, session)}
        frame = READER.read(pack(envelope) + pack(body))
        step = self.connection.chunks.check(frame, YOU)
        self.relay.relay_chunk(self.connection, frame, YOU, step, call)
        return session

    def answers(self, value: object) -> None:
        """The target answers each call of its cache from now on."""

        def answer(call: Frame) -> None:
            if "promise" in call.body:
                self.you.resolve(call, value)

        self.you.on_call = answer

    def actions(self) -> list[str]:
        """What the target's cache was asked to do."""
        return [each.envelope["method"].removeprefix(CACHE) for each in self.you.received]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    yield rig
    await rig.replies.stop()


async def test_a_chunk_goes_on_under_another_key_and_its_answer_comes_back(rig: Rig) -> None:
    rig.answers("done")

    session = rig.send("create", "key", False)

    (answer,) = await rig.me.has(1)
    assert answer.envelope["method"] == f"{session}.resolve"
    assert answer.envelope["from"] == YOU
    assert answer.body["args"] == ["done"]
    (chunk,) = [each for each in rig.you.received if "promise" in each.body]
    assert chunk.envelope["from"] == ME
    assert chunk.body["args"][0] != "key"  # nobody but the hub knows where it is put together
    assert not rig.replies.is_serving(ME)


async def test_a_client_is_at_work_while_its_chunk_is_on_its_way(rig: Rig) -> None:
    rig.send("create", "key", False)
    await rig.you.has(1)

    assert rig.replies.is_serving(ME)


async def test_a_message_for_which_there_is_no_room_is_refused_and_cleared_away(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HUB_CALLS", "FEW_HUB_CALLS"):
        monkeypatch.setattr(replies, name, 3)
    for number in range(3):
        rig.send("create", f"key{number}", False)
    await rig.you.has(3)

    session = rig.send("create", "key3", False)

    (refused,) = await rig.me.has(1)
    assert refused.envelope["method"] == f"{session}.reject"
    assert "at work on 3 calls of yours" in str(refused.body)
    assert len(rig.connection.chunks) == 3


async def test_a_message_that_cannot_go_on_is_cleared_away(rig: Rig) -> None:
    rig.answers(None)
    rig.send("create", "key", False)
    await rig.me.has(1)
    del rig.hub.clients[YOU]
    waits = PendingCall(ME, "s", "s.reject", 0.0)

    session = rig.send("append", "key", b"\x81", False, call=waits)

    answers = await rig.me.has(2)
    assert answers[1].envelope["method"] == f"{session}.reject"
    assert "Client not found" in rpc.error_text(answers[1].body["args"][0])
    assert rig.told.unsent == [waits]
    assert not len(rig.connection.chunks)


async def test_what_a_client_has_begun_goes_with_it(rig: Rig) -> None:
    rig.answers(None)
    rig.send("create", "key", False)
    await rig.me.has(1)

    rig.relay.forget(rig.connection)
    await rig.you.has(2)

    assert rig.actions()[-2:] == ["create", "remove"]
    assert not len(rig.connection.chunks)


async def test_of_who_has_sent_no_chunks_nothing_is_cleared_away(rig: Rig) -> None:
    rig.relay.forget(rig.connection)

    assert not rig.connection.has_sent_chunks
    assert not rig.actions()
