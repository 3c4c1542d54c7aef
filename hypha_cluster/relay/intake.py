"""Takes in the frames of clients: reads, checks and seals each one, then hands it on.

The path of a frame begins in `Intake.route` and goes on in `Delivery.send` (delivery.py).
"""

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
from hypha_cluster.relay.connection import Connection
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
        """Pass on one checked call of the message cache of another client.

        call: the call that is noted as waiting, if this completes a message that is one.
        """

    def clear_away(self, connection: Connection) -> None:
        """Remove from message caches what is left of messages that do not go on."""


@dataclass(frozen=True, slots=True)
class Onward:
    """Where frames go after the intake."""

    hub: HubPeer
    chunk_relay: Chunks
    delivery: Delivery
    ledger: Ledger


class Intake:
    """Takes the frames of this node's clients; a bad frame harms nobody but its sender."""

    def __init__(
        self,
        node: str,
        onward: Onward,
        counts: Counts,
        reader: FrameReader,
        rights_queue: RightsQueue,
    ) -> None:
        # The ends of the addresses that are the hub's own on this node.
        self._own = (*(f"/{dialect.manager}" for dialect in DIALECTS), peer_address("", node))
        self._hub = onward.hub
        self._chunk_relay = onward.chunk_relay
        self._delivery = onward.delivery
        self._ledger = onward.ledger
        self._counts = counts
        self._reader = reader
        self._rights_queue = rights_queue

    def route(self, connection: Connection, raw: bytes) -> None:
        """Take one frame that a client sent: forward it, or tell the sender why not.

        raw: the bytes of the whole frame. While an earlier frame of the client waits for the
        registry, this one waits behind it.
        """
        connection.heard_at = connection.clock()
        if connection.waiting_to_route is not None:
            connection.waiting_to_route.append(raw)
            connection.socket.pause()  # again: the end of a pause for its pace may have resumed it
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
        """Take a sealed frame that came over the bus for the hub itself on this node."""
        try:
            frame = self._reader.read(sealed)
            source, target = frame.envelope.get("from"), frame.envelope.get("to")
            if type(source) is not str or type(target) is not str:
                raise BadFrame("A frame of another node says from whom and to whom it is, as text.")
            guard.check_call(frame, source, target)
            self._hub.receive(frame, source, target)
        except BadFrame as error:  # a node let it pass, perhaps one of another release
            self._counts.dropped_messages["frame"] += 1
            _log.error("A frame from another node was dropped: %s", error)

    def _ignore(self, connection: Connection, raw: bytes, error: BadFrame) -> None:
        """Drop a frame that cannot be read; tell whoever waits, if the frame says who."""
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
        """Reject, as the hub itself, a call that names no address where anybody can be."""
        if "promise" in frame.body:  # else nobody waits (protocol.md 2.2)
            error = BadFrame(f"'to' of a call is an address of at most {ADDRESS} characters.")
            hub = absolute(connection.dialect.manager, connection.attachment.workspace.name)
            self._refuse(connection, frame, hub, error)

    def _answer_for(
        self, connection: Connection, frame: Frame, target: str, error: HubError
    ) -> None:
        """Tell whoever waits that a frame does not go on: its sender, or whom it would answer."""
        if "promise" in frame.body:
            self._delivery.rejects.reject(frame, connection.address, target, error)
        elif frame.envelope.get("type") == "method":
            self._refuse_answer(connection, frame, target, error)

    def _refuse_answer(
        self, connection: Connection, frame: Frame, target: str, error: HubError
    ) -> None:
        """Reject a call whose answer may not pass, in the place of its callee."""
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
        """Check and seal a frame, and send it on: to the hub, in chunks, or to its target.

        BadFrame when it may not pass.
        """
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
        """The service of another workspace that a frame calls, unless it is known to be public."""
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
        """Hold a frame back until the registry says whether its client may call, or pass on, these.

        Then call `go_on`; or `undo`, and refuse the frame.
        """

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
        self._ledger.told_hub(connection.address, method)
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
    """The address to which a frame goes; None if nobody can be there."""
    to = frame.envelope.get("to")
    if type(to) is not str or not 0 < len(to) <= ADDRESS:
        return None
    return to if "/" in to else connection.home + to


def _tell(connection: Connection, what: str, error: HubError) -> None:
    address = connection.address
    _log.info("A frame of %s was %s: %s", address, what, error, extra={"client": address})


def _is_chunk(connection: Connection, frame: Frame, target: str) -> bool:
    """Whether a call is one of a client's message cache; a node's own goes another way."""
    method: str = frame.envelope["method"]
    return method.startswith(connection.dialect.cache) and node_of(target) is None
