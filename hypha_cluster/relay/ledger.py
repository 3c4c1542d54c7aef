"""Notes each call on its way: who waits for it, who owes an answer, and its trace."""

from collections.abc import Iterator
from typing import Any

from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.envelope import Frame
from hypha_cluster.protocol.message import Carried
from hypha_cluster.relay.connection import Connection, Stage
from hypha_cluster.relay.events import Note
from hypha_cluster.relay.pending import OwedAnswers, PendingCall, PendingCalls
from hypha_cluster.relay.tracing import Tracer


class Ledger:
    """Follows calls of and to the clients of this node, until they are answered."""

    def __init__(self, pending: PendingCalls, owed: OwedAnswers, tracer: Tracer) -> None:
        self._pending = pending
        self._owed = owed
        self._tracer = tracer

    def called(
        self, connection: Connection, target: str, frame: Frame, sealed: bytes
    ) -> tuple[bytes, PendingCall | None]:
        """A client of this node calls; return its frame as it travels on, and the call as noted.

        The call is None when its caller waits for no answer.
        """
        call = _waiting(connection, frame)
        if call is None:
            return self._tracer.take(frame, connection.address, sealed, waits=False), None
        noted = self._pending.add(target, call)
        return self._tracer.take(frame, connection.address, sealed, waits=True), noted

    def relayed(self, target: str, sealed: bytes) -> bytes:
        """A frame goes over the bus; return it as it travels on."""
        return self._tracer.relay(sealed, target)

    def arrived(self, target: str, envelope: dict[str, Any], sealed: bytes) -> bytes:
        """A frame came over the bus for a client of this node; return it as the client gets it."""
        method = envelope.get("method", "")
        if rpc.is_answer(method):
            self.answered(envelope["from"], target, method)
        return self._tracer.deliver(envelope, target, sealed)

    def called_in_chunks(
        self, connection: Connection, target: str, call: Carried
    ) -> PendingCall | None:
        """The same for a call that a client of this node has sent in chunks."""
        if call.session is None or call.reject is None or connection.stage is Stage.GONE:
            return None
        pending = PendingCall(connection.address, call.session, call.reject, connection.heard_at)
        return self._pending.add(target, pending)

    def came(self, target: str, note: Note) -> None:
        """A client of this node gets a message in chunks."""
        if rpc.is_answer(note.method):
            self.answered(note.source, target, note.method)
        elif note.session:
            self._owed.owes(target, note.session)

    def answered(self, callee: str, caller: str, method: str) -> None:
        """A call has its answer, from its callee or from the hub in its place."""
        session = method.rpartition(".")[0]
        self._pending.settle(callee, caller, session)
        if self._owed.are_watched:
            self._owed.answered(callee, session)
        self._tracer.answered(callee, caller, method)

    def told_hub(self, callee: str, method: str) -> None:
        """A client of this node calls the hub, or answers it; the hub knows its own calls."""
        if self._owed.are_watched and rpc.is_answer(method):
            self._owed.answered(callee, method.rpartition(".")[0])

    # What somebody owes, whose place another one is to take.

    def follow(self, callee: str) -> None:
        """It is noted from now on which calls a client of this node has to answer."""
        self._owed.follow(callee)

    def unfollow(self, callee: str) -> None:
        """A client that was followed has gone."""
        self._owed.forget(callee)

    def owes(self, callee: str) -> bool:
        """Whether a client that is followed has to answer any."""
        return self._owed.is_awaited(callee)

    # What comes to nothing, and what goes elsewhere.

    def stop_waiting(self, target: str, call: PendingCall) -> bool:
        """A call is to be rejected; say whether its caller still waits for it.

        True also for a call that is not noted, of which nothing is known.
        """
        return self._pending.settle(target, call.caller, call.session) or not call.is_noted

    def settle(self, target: str, caller: str, session: str) -> None:
        """A call is rejected: nobody waits for it any more."""
        self._pending.settle(target, caller, session)

    def take_all(self, target: str) -> Iterator[PendingCall]:
        """All calls that wait for a target are to be rejected."""
        return self._pending.take_target(target)

    def targets_at(self, node: str) -> list[str]:
        """The addresses of a node itself at which calls wait."""
        return self._pending.targets_at(node)

    def forget(self, caller: str) -> list[tuple[str, PendingCall]]:
        """A client is not here any more; return the calls that it waits for, with their targets."""
        self._tracer.forget(caller)
        return self._pending.take_caller(caller)

    def inherit(self, target: str, call: PendingCall) -> PendingCall:
        """Note a call that a client made at another node, and waits for here from now on."""
        return self._pending.add(target, call)


def _waiting(connection: Connection, frame: Frame) -> PendingCall | None:
    envelope, body = frame.envelope, frame.body
    if envelope["type"] != "method" or "session" not in envelope or "promise" not in body:
        return None
    promise = body["promise"]  # which the guard has checked
    if "reject" not in promise or connection.stage is Stage.GONE:  # gone while the frame waited
        return None
    reject = promise["reject"]["_rmethod"]
    return PendingCall(connection.address, envelope["session"], reject, connection.heard_at)
