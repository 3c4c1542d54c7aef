"""What comes in: each frame of a client is read, checked, sealed with who sent it, and sent on."""

import logging
from collections.abc import Callable, Set
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from hypha_cluster.errors import BadFrame, HubError
from hypha_cluster.metrics import Counts
from hypha_cluster.protocol import guard, rpc
from hypha_cluster.protocol.address import absolute, node_of, peer_address
from hypha_cluster.protocol.chunks import Step
from hypha_cluster.protocol.dialects.known import DIALECTS
from hypha_cluster.protocol.envelope import Frame, FrameReader, pack
from hypha_cluster.protocol.limits import ADDRESS, CLIENT_FRAME
from hypha_cluster.protocol.references import Reference
from hypha_cluster.relay.connections import Connection
from hypha_cluster.relay.delivery import Delivery
from hypha_cluster.relay.events import Note
from hypha_cluster.relay.ledger import Ledger
from hypha_cluster.relay.pending import PendingCall
from hypha_cluster.relay.rights_queue import RightsQueue

_log = logging.getLogger(__name__)


class HubPeer(Protocol):
    """The hub as a peer of its clients, as the relay sees it: HubClient (hub/answering.py)."""

    def receive(self, frame: Frame, source: str, target: str) -> None:
        """Take a checked frame from `source` to `target`, an address of the hub's."""


class Chunks(Protocol):
    """Passes messages in chunks on to other clients: ChunkRelay (hub/chunk_relay.py)."""

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

    hub: HubPeer
    chunk_relay: Chunks
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
        rights_queue: RightsQueue,
    ) -> None:
        # What the addresses of the hub itself end with, on this node.
        self._own = (*(f"/{dialect.manager}" for dialect in DIALECTS), peer_address("", node))
        self._hub = onward.hub
        self._chunk_relay = onward.chunk_relay
        self._delivery = onward.delivery
        self._ledger = onward.ledger
        self._counts = counts
        self._reader = reader
        self._rights_queue = rights_queue

    def route(self, connection: Connection, raw: bytes) -> None:
        """Forward one frame that a client sent, in its turn."""
        connection.heard_at = connection.clock()
        if connection.waiting_to_route is not None:
            connection.waiting_to_route.append(raw)
            connection.socket.pause()  # which it may be no longer, if it was slowed down before
            return
        try:
            frame = connection.dialect.read(raw)
        except BadFrame as error:
            self._ignore(connection, raw, error)
            return
        target = _target(connection, frame)
        if target is None:
            self._answer_for_nobody(connection, frame)
            return
        try:
            self._pass(connection, frame, target)
        except BadFrame as error:
            self._refuse(connection, frame, target, error)

    def receive_own(self, sealed: bytes) -> None:
        """Take a sealed frame that came over the bus for this node itself."""
        try:
            frame = self._reader.read(sealed)
            source, target = frame.envelope.get("from"), frame.envelope.get("to")
            if type(source) is not str or type(target) is not str:
                raise BadFrame("A frame of another node says from whom and to whom it is, as text.")
            guard.check_call(frame, source, target)
            self._hub.receive(frame, source, target)
        except BadFrame as error:  # another node let it pass, perhaps one of another release
            self._counts.dropped_messages["frame"] += 1
            _log.error("A frame from another node was dropped: %s", error)

    def _ignore(self, connection: Connection, raw: bytes, error: BadFrame) -> None:
        """Forward nothing; tell who waits, if the frame says where."""
        self._counts.frames_ignored += 1
        _tell(connection, "ignored", error)
        frame = connection.dialect.salvage(raw) if len(raw) <= CLIENT_FRAME else None
        if frame is not None and (target := _target(connection, frame)) is not None:
            self._answer_for(connection, frame, target, error)

    def _refuse(self, connection: Connection, frame: Frame, target: str, error: HubError) -> None:
        self._counts.frames_refused += 1
        _tell(connection, "refused", error)
        self._answer_for(connection, frame, target, error)

    def _answer_for_nobody(self, connection: Connection, frame: Frame) -> None:
        """Have the hub itself reject a call that names no address where anybody can be."""
        if "promise" in frame.body:  # else nobody waits, see protocol.md 2.2
            error = BadFrame(f"'to' of a call is an address of at most {ADDRESS} characters.")
            hub = absolute(connection.dialect.manager, connection.attachment.workspace.name)
            self._refuse(connection, frame, hub, error)

    def _answer_for(
        self, connection: Connection, frame: Frame, target: str, error: HubError
    ) -> None:
        """Tell who waits for an answer that it does not come: the caller, or who was called."""
        if "promise" in frame.body:
            self._delivery.rejects.reject(frame, connection.address, target, error)
        elif frame.envelope.get("type") == "method":
            self._refuse_answer(connection, frame, target, error)

    def _refuse_answer(
        self, connection: Connection, frame: Frame, target: str, error: HubError
    ) -> None:
        """Have a call rejected whose answer may not pass, as its callee could have done."""
        reject = rpc.reject_instead_of(frame.envelope.get("method"))
        if reject is None:
            return
        text = f"The answer of {connection.address} was refused: {error}"
        body = {"args": [rpc.error(text)]}
        refusal = Frame(rpc.call_envelope(target, reject), body, pack(body), b"")
        if target.endswith(self._own):
            self._tell_hub(connection, refusal, target)
        else:
            sealed = connection.seal.call(refusal.envelope, refusal.body_bytes)
            self._forward(connection, refusal, target, sealed)

    def _pass(self, connection: Connection, frame: Frame, target: str) -> None:
        """Check a frame, and let it go on."""
        envelope = frame.envelope
        if connection.is_barred and not target.endswith(self._own):
            raise BadFrame("This hub lets nobody in without a token; log in first.")
        if envelope.get("type") != "method":
            connection.dialect.check_message(frame)
            sealed = connection.seal.message({**envelope, "to": target})
            self._forward(connection, frame, target, sealed)
            return
        body, references = connection.dialect.check_call(frame, connection.address, target)
        if target.endswith(self._own):
            self._tell_hub(connection, frame, target)
            return
        if connection.dialect.cache in envelope["method"] and _is_chunk(connection, frame, target):
            self._pass_chunk(connection, frame, target)
            return
        if target[connection.at_home] != connection.home:
            references = references | self._called(connection, frame, target)
        envelope["to"] = target
        sealed = connection.seal.call(envelope, body)
        if references:
            forward = partial(self._forward, connection, frame, target, sealed)
            self._hold(connection, frame, target, references, forward)
        else:
            self._forward(connection, frame, target, sealed)

    def _called(self, connection: Connection, frame: Frame, target: str) -> Set[Reference]:
        """The service of another workspace that is called, unless it is known to be public."""
        service = connection.dialect.service_called(frame.envelope, frame.body)
        if service is None or self._rights_queue.is_open(target, service):
            return guard.NO_REFERENCES
        return {Reference(target, service, is_called=True)}

    def _pass_chunk(self, connection: Connection, frame: Frame, target: str) -> None:
        try:
            step = connection.chunks.check(frame, target, connection.heard_at)
        finally:
            self._chunk_relay.clear_away(connection)
        relay = partial(self._relay_chunk, connection, frame, target, step)
        if step.references:
            undo = partial(self._give_up_chunk, connection, step)
            self._hold(connection, frame, target, step.references, relay, undo)
        else:
            relay()

    def _give_up_chunk(self, connection: Connection, step: Step) -> None:
        connection.chunks.failed(step)
        self._chunk_relay.clear_away(connection)

    def _relay_chunk(self, connection: Connection, frame: Frame, target: str, step: Step) -> None:
        carried, call = step.carried, None
        if carried is not None:
            source = connection.address
            if rpc.is_answer(carried.method):
                self._ledger.answered(source, target, carried.method)
            else:
                call = self._ledger.called_in_chunks(connection, target, carried)
            self._delivery.tell(target, Note(source, carried.method, carried.session or ""))
        self._chunk_relay.relay_chunk(connection, frame, target, step, call)

    def _hold(
        self,
        connection: Connection,
        frame: Frame,
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
                self._refuse(connection, frame, target, error)

        self._rights_queue.hold_back(connection, references, settle, self.route)

    def _tell_hub(self, connection: Connection, frame: Frame, target: str) -> None:
        self._counts.frames_hub += 1
        method = frame.envelope["method"]
        if rpc.is_answer(method):
            self._ledger.answered(connection.address, target, method)
        self._hub.receive(frame, connection.address, target)

    def _forward(self, connection: Connection, frame: Frame, target: str, sealed: bytes) -> None:
        source, method = connection.address, frame.envelope.get("method", "")
        if rpc.is_answer(method):
            self._ledger.answered(source, target, method)
            self._delivery.send(target, sealed, mail=connection.mail)
            return
        sealed, call = self._ledger.called(connection, target, frame, sealed)
        if call is None:
            self._delivery.send(target, sealed, mail=connection.mail)
        else:
            self._delivery.send_call(target, sealed, call, connection.mail)


def _target(connection: Connection, frame: Frame) -> str | None:
    """Where a frame is to go; None where nobody can be."""
    to = frame.envelope.get("to")
    if type(to) is not str or not 0 < len(to) <= ADDRESS:
        return None
    return absolute(to, connection.attachment.workspace.name)


def _tell(connection: Connection, what: str, error: HubError) -> None:
    address = connection.address
    _log.info("A frame of %s was %s: %s", address, what, error, extra={"client": address})


def _is_chunk(connection: Connection, frame: Frame, target: str) -> bool:
    """Whether a call is of the message cache of a client; a node's own are the hub's affair."""
    method: str = frame.envelope["method"]
    return method.startswith(connection.dialect.cache) and node_of(target) is None
