"""What is noted of calls on their way, until they are answered."""

from typing import Any

import pytest

from hypha_cluster.metrics import Histogram
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.envelope import Frame, FrameReader, Seal, pack
from hypha_cluster.protocol.message import Carried
from hypha_cluster.relay.events import Note
from hypha_cluster.relay.ledger import Ledger
from hypha_cluster.relay.pending import OwedAnswers, PendingCall, PendingCalls
from hypha_cluster.relay.tracing import NullTracer
from tests.fakes import FakeSocket
from tests.unit.relay.test_connection import connection

CALLER, TARGET = "ann/me", "ann/you"
READER = FrameReader(10_000)


def frame(session: str | None = "s", *, to: str = TARGET, promise: bool = True) -> Frame:
    """A call as a client sends it."""
    envelope = rpc.call_envelope(to, "services.tool.run", session)
    body: dict[str, Any] = {"args": []}
    if promise:
        body["promise"] = rpc.promise(CALLER, session or "s")
    return READER.read(pack(envelope) + pack(body))


class Rig:
    """A ledger with what it writes to."""

    def __init__(self) -> None:
        self.pending = PendingCalls(Histogram())
        self.owed = OwedAnswers(READER)
        self.ledger = Ledger(self.pending, self.owed, NullTracer())
        self.caller = connection(FakeSocket())

    def call(self, read: Frame) -> PendingCall | None:
        sealed, call = self.ledger.called(self.caller, TARGET, read, b"sealed")
        assert sealed == b"sealed"
        return call


@pytest.fixture
async def rig() -> Rig:
    return Rig()


async def test_a_call_is_waited_for_until_it_is_answered(rig: Rig) -> None:
    call = rig.call(frame())

    assert call is not None
    assert (call.caller, call.session, call.reject) == (CALLER, "s", "s.reject")
    assert rig.pending.is_waiting(TARGET, CALLER, "s")
    rig.ledger.answered(TARGET, CALLER, "s.resolve")
    assert len(rig.pending) == 0


@pytest.mark.parametrize(
    "read", [frame(promise=False), frame(None)], ids=["no promise", "no session"]
)
async def test_nobody_waits_for_a_call_that_cannot_be_rejected(rig: Rig, read: Frame) -> None:
    assert rig.call(read) is None
    assert len(rig.pending) == 0


async def test_an_answer_that_comes_over_the_bus_settles_its_call(rig: Rig) -> None:
    rig.call(frame())
    sealed = Seal(TARGET, {}).call(rpc.call_envelope(CALLER, "s.resolve"), b"")

    assert rig.ledger.arrived(CALLER, READER.read_envelope(sealed), sealed) == sealed

    assert len(rig.pending) == 0


async def test_who_answers_the_hub_owes_it_nothing_more(rig: Rig) -> None:
    rig.ledger.follow(TARGET)
    rig.owed.owes(TARGET, "s")

    rig.ledger.told_hub(TARGET, "services.default.echo")  # a call of its own
    assert rig.ledger.owes(TARGET)

    rig.ledger.told_hub(TARGET, "s.resolve")
    assert not rig.ledger.owes(TARGET)


async def test_what_is_delivered_is_owed_an_answer_once_that_is_watched(rig: Rig) -> None:
    sealed = Seal(CALLER, {}).call(rpc.call_envelope(TARGET, "services.tool.run", "s"), b"")
    assert not rig.owed.are_watched

    rig.owed.watch()
    rig.owed.note(TARGET, sealed)

    assert rig.owed.is_awaited(TARGET)
    rig.ledger.answered(TARGET, CALLER, "s.reject")
    assert not rig.owed.is_awaited(TARGET)


async def test_an_answer_owes_no_answer(rig: Rig) -> None:
    rig.owed.watch()
    answer = Seal(CALLER, {}).call(rpc.call_envelope(TARGET, "s.resolve", "s"), b"")

    rig.owed.note(TARGET, answer)

    assert not rig.owed.is_awaited(TARGET)


async def test_who_goes_takes_along_what_it_waits_for(rig: Rig) -> None:
    call = rig.call(frame())
    assert call is not None

    assert rig.ledger.forget(CALLER) == [(TARGET, call)]

    assert len(rig.pending) == 0
    rig.ledger.inherit(TARGET, call)
    assert list(rig.ledger.take_all(TARGET)) == [call]


async def test_a_call_is_taken_once(rig: Rig) -> None:
    call = rig.call(frame())
    assert call is not None

    assert rig.ledger.stop_waiting(TARGET, call)
    assert not rig.ledger.stop_waiting(TARGET, call)


# Messages in chunks.


async def test_a_call_in_chunks_is_waited_for_too(rig: Rig) -> None:
    carried = Carried("services.tool.run", "s", "s.reject")

    call = rig.ledger.called_in_chunks(rig.caller, TARGET, carried)

    assert call is not None
    assert rig.pending.is_waiting(TARGET, CALLER, "s")
    rig.ledger.came(CALLER, Note(TARGET, "s.resolve", ""))
    assert len(rig.pending) == 0


@pytest.mark.parametrize("carried", [Carried("f", None, "s.reject"), Carried("f", "s", None)])
async def test_nobody_waits_for_one_that_cannot_be_rejected(rig: Rig, carried: Carried) -> None:
    assert rig.ledger.called_in_chunks(rig.caller, TARGET, carried) is None
    assert len(rig.pending) == 0


async def test_whoever_gets_a_call_in_chunks_owes_an_answer_too(rig: Rig) -> None:
    rig.ledger.came(TARGET, Note(CALLER, "services.tool.run", "s"))
    assert not rig.owed.is_awaited(TARGET)

    rig.owed.watch()
    rig.ledger.came(TARGET, Note(CALLER, "services.tool.run", "s"))
    rig.ledger.came(TARGET, Note(CALLER, "services.tool.tell", ""))

    assert rig.owed.is_awaited(TARGET)
    rig.ledger.answered(TARGET, CALLER, "s.resolve")
    assert not rig.owed.is_awaited(TARGET)
