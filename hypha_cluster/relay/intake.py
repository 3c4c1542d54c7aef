"""What comes in: each frame of a client is read, checked, sealed with who sent it, and sent on."""

import logging
from collections.abc import Callable, Set
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from hypha_cluster.errors import BadFrame, HubError
from hypha_cluster.metrics import Counts
from hypha_cluster.protocol import guard, rpc
from hypha_cluster.protocol.address import MANAGER, absolute, node_of
from hypha_cluster.protocol.chunks import Step
from hypha_cluster.protocol.envelope import Frame, FrameReader, pack
from hypha_cluster.protocol.limits import ADDRESS, CLIENT_FRAME
from hypha_cluster.protocol.references import Reference
from hypha_cluster.relay.connections import Connection
from hypha_cluster.relay.delivery import Delivery
from hypha_cluster.relay.events import Note
from hypha_cluster.relay.holding import Holding
from hypha_cluster.relay.ledger import Ledger
from hypha_cluster.relay.pending import PendingCall

_log = logging.getLogger(__name__)


class Hub(Protocol):
    """The hub as a peer of its clients, as the relay sees it."""

    def receive(self, frame: Frame, source: str, target: str) -> None:
        """Take a checked frame from `source` to `target`, an address of the hub's."""

    def relay_chunk(
        self,
        connection: Connection,
        frame: Frame,
        target: str,
        step: Step,
        call: PendingCall | None,
    ) -> None:
        """Pass on one call of the message cache of another client, which was checked.

        call: what its client waits for from now on, if this makes a message whole.
        """

    def clear_away(self, connection: Connection) -> None:
        """Remove what is left in message caches of messages that do not go on."""


@dataclass(frozen=True, slots=True)
class Onward:
    """Where frames go on."""

    hub: Hub
    delivery: Delivery
    ledger: Ledger


class Intake:
    """Takes the frames of this node's clients; whatever is wrong with one harms nobody else."""

    def __init__(
        self,
        node: str,
        onward: Onward,
        counts: Counts,
        reader: FrameReader,
        holding: Holding,
    ) -> None:
        self._own = (f"/{MANAGER}", f"/~{node}")
        self._hub = onward.hub
        self._delivery = onward.delivery
        self._ledger = onward.ledger
        self._counts = counts
        self._reader = reader
        self._holding = holding

    def route(self, connection: Connection, frame: bytes) -> None:
        """Forward one frame that a client sent, in its turn."""
        connection.heard_at = connection.clock()
        if connection.unread is not None:
            connection.unread.append(frame)
            connection.socket.pause()  # which it may be no longer, if it was slowed down before
            return
        try:
            read = self._reader.read(frame)
        except BadFrame as error:
            self._ignore(connection, frame, error)
            return
        target = _target(connection, read)
        if target is None:
            return
        try:
            self._pass(connection, read, target)
        except BadFrame as error:
            self._refuse(connection, read, target, error)

    def receive_own(self, frame: bytes) -> None:
        """Take a sealed frame that came over the bus for this node itself."""
        try:
            read = self._reader.read(frame)
            source, target = read.envelope.get("from"), read.envelope.get("to")
            if type(source) is not str or type(target) is not str:
                raise BadFrame("A frame of another node says from whom and to whom it is, as text.")
            guard.check_call(read, source, target)
            self._hub.receive(read, source, target)
        except BadFrame as error:  # another node let it pass, perhaps one of another release
            self._counts.dropped_messages["frame"] += 1
            _log.error("A frame from another node was dropped: %s", error)

    def _ignore(self, connection: Connection, frame: bytes, error: BadFrame) -> None:
        """Forward nothing; tell who waits, if the frame says where."""
        self._counts.frames_ignored += 1
        _tell(connection, "ignored", error)
        read = self._reader.salvage(frame) if len(frame) <= CLIENT_FRAME else None
        if read is not None and (target := _target(connection, read)) is not None:
            self._answer_for(connection, read, target, error)

    def _refuse(self, connection: Connection, read: Frame, target: str, error: HubError) -> None:
        self._counts.frames_refused += 1
        _tell(connection, "refused", error)
        self._answer_for(connection, read, target, error)

    def _answer_for(
        self, connection: Connection, read: Frame, target: str, error: HubError
    ) -> None:
        """Tell who waits for an answer that it does not come: the caller, or who was called."""
        if "promise" in read.body:
            self._delivery.reject(read, connection.address, target, error)
        elif read.envelope.get("type") == "method":
            self._refuse_answer(connection, read, target, error)

    def _refuse_answer(
        self, connection: Connection, read: Frame, target: str, error: HubError
    ) -> None:
        """Have a call rejected whose answer may not pass, as its callee could have done."""
        reject = rpc.reject_instead_of(read.envelope.get("method"))
        if reject is None:
            return
        text = f"The answer of {connection.address} was refused: {error}"
        body = {"args": [rpc.error(text)]}
        refusal = Frame(rpc.call_envelope(target, reject), body, pack(body), b"")
        if target.endswith(self._own):
            self._tell_hub(connection, refusal, target)
        else:
            frame = connection.seal.call(refusal.envelope, refusal.body_bytes)
            self._forward(connection, refusal, target, frame)

    def _pass(self, connection: Connection, read: Frame, target: str) -> None:
        """Check a frame, and let it go on."""
        envelope = read.envelope
        if connection.is_barred and not target.endswith(self._own):
            raise BadFrame("This hub lets nobody in without a token; log in first.")
        if envelope.get("type") != "method":
            guard.check_message(read)
            frame = connection.seal.message({**envelope, "to": target})
            self._forward(connection, read, target, frame)
            return
        body, references = guard.check_call(read, connection.address, target)
        if target.endswith(self._own):
            self._tell_hub(connection, read, target)
            return
        if guard.CACHE in envelope["method"] and _is_chunk(envelope["method"], target):
            self._pass_chunk(connection, read, target)
            return
        if target[connection.at_home] != connection.home:
            references = references | self._called(read, target)
        envelope["to"] = target
        frame = connection.seal.call(envelope, body)
        if references:
            forward = partial(self._forward, connection, read, target, frame)
            self._hold(connection, read, target, references, forward)
        else:
            self._forward(connection, read, target, frame)

    def _called(self, read: Frame, target: str) -> Set[Reference]:
        """The service of another workspace that is called, unless it is known to be public."""
        service = guard.service_called(read.envelope, read.body)
        if service is None or self._holding.is_open(target, service):
            return guard.NO_REFERENCES
        return {Reference(target, service, is_called=True)}

    def _pass_chunk(self, connection: Connection, read: Frame, target: str) -> None:
        try:
            step = connection.chunks.check(read, target, connection.heard_at)
        finally:
            self._hub.clear_away(connection)
        relay = partial(self._relay_chunk, connection, read, target, step)
        if step.references:
            undo = partial(self._give_up_chunk, connection, step)
            self._hold(connection, read, target, step.references, relay, undo)
        else:
            relay()

    def _give_up_chunk(self, connection: Connection, step: Step) -> None:
        connection.chunks.failed(step)
        self._hub.clear_away(connection)

    def _relay_chunk(self, connection: Connection, read: Frame, target: str, step: Step) -> None:
        carried, call = step.carried, None
        if carried is not None:
            source = connection.address
            if rpc.is_answer(carried.method):
                self._ledger.answered(source, target, carried.method)
            else:
                call = self._ledger.called_in_chunks(connection, target, carried)
            self._delivery.tell(target, Note(source, carried.method, carried.session or ""))
        self._hub.relay_chunk(connection, read, target, step, call)

    def _hold(
        self,
        connection: Connection,
        read: Frame,
        target: str,
        references: Set[Reference],
        go_on: Callable[[], None],
        undo: Callable[[], None] = lambda: None,
    ) -> None:
        """Let it go on when it is known that the client may pass on what is in it."""

        def settle(error: HubError | None) -> None:
            if error is None:
                go_on()
            else:
                undo()
                self._refuse(connection, read, target, error)

        self._holding.hold(connection, references, settle, self.route)

    def _tell_hub(self, connection: Connection, read: Frame, target: str) -> None:
        self._counts.frames_hub += 1
        method = read.envelope["method"]
        if rpc.is_answer(method):
            self._ledger.answered(connection.address, target, method)
        self._hub.receive(read, connection.address, target)

    def _forward(self, connection: Connection, read: Frame, target: str, frame: bytes) -> None:
        source, method = connection.address, read.envelope.get("method", "")
        if rpc.is_answer(method):
            self._ledger.answered(source, target, method)
            self._delivery.send(target, frame)
            return
        frame, call = self._ledger.called(connection, target, read, frame)
        if call is None:
            self._delivery.send(target, frame)
        else:
            self._delivery.send_call(target, frame, call)


def _target(connection: Connection, read: Frame) -> str | None:
    """Where a frame is to go; None where nobody can be, so that nobody waits for an answer."""
    to = read.envelope.get("to")
    if type(to) is not str or not 0 < len(to) <= ADDRESS:
        return None  # protocol.md 2.2: some clients report errors of their own without one
    return absolute(to, connection.attachment.workspace.name)


def _tell(connection: Connection, what: str, error: HubError) -> None:
    address = connection.address
    _log.info("A frame of %s was %s: %s", address, what, error, extra={"client": address})


def _is_chunk(method: str, target: str) -> bool:
    """Whether a call is of the message cache of a client; a node's own are the hub's affair."""
    return method.startswith(guard.CACHE) and node_of(target) is None
