"""Where a frame goes: a client here, another node, a mailbox, the hub itself, or back as a reject.

Every frame takes the same way: sealed by the node that received it, then `send`. A frame that
came over the bus enters where a local one would be delivered.
"""

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import msgpack

from hypha_cluster.errors import (
    BadFrame,
    ClientBusy,
    ClientLeft,
    ClientNotFound,
    HubError,
    RedisUnavailable,
)
from hypha_cluster.identity.access import MANAGER, ROOT
from hypha_cluster.metrics import Counts
from hypha_cluster.protocol import guard, rpc
from hypha_cluster.protocol.address import absolute, client_of
from hypha_cluster.protocol.envelope import Frame, FrameReader, Seal, is_frame, pack
from hypha_cluster.protocol.limits import CLIENT_FRAME
from hypha_cluster.registry.mailboxes import CALL, OTHER, Marked
from hypha_cluster.relay.bus import Bus
from hypha_cluster.relay.connections import Connection, Connections
from hypha_cluster.relay.pending import Deliveries, PendingCall, PendingCalls
from hypha_cluster.relay.publisher import Outcome

if TYPE_CHECKING:  # needs packages that only tracing does
    from hypha_cluster.relay.tracing import CallTracer

_log = logging.getLogger(__name__)


NOTHING: Final = pack([])  # calls to be inherited: none

Reject = Callable[[HubError], None]


class LocalPeer(Protocol):
    """The hub's own client, as the router sees it."""

    def receive(self, frame: Frame, source: str, called: str) -> None:
        """Take a checked frame from `source` to `called`, an address of the hub's."""

    def relay_chunk(self, connection: Connection, frame: Frame, target: str) -> None:
        """Pass on one call of the message cache of another client."""

    def target_left(self, address: str, error: HubError) -> None:
        """Nobody is at `address` any more."""

    def forget(self, source: str) -> None:
        """The connection of `source` is over, and whatever it had begun to send."""

    def is_serving(self, address: str) -> bool:
        """Whether a call of this client to the hub is at work."""

    async def is_alive(self, address: str) -> bool:
        """Whether a client that looks attached still answers."""


def peer_address(workspace: str, node: str) -> str:
    """The address, in any workspace, that leads back to a node itself."""
    return f"{workspace}/~{node}"


class Router:
    """Checks, seals and forwards the frames of this node's clients."""

    def __init__(
        self,
        node: str,
        connections: Connections,
        bus: Bus,
        counts: Counts,
        max_frame_size: int,
    ) -> None:
        self.counts = counts
        self._own = (f"/{MANAGER}", f"/~{node}")
        self.connections = connections
        self._bus = bus
        # Reading more than any client sends would only cost time.
        self._reader = FrameReader(min(max_frame_size, CLIENT_FRAME))
        self.pending = PendingCalls(counts.calls)
        self.deliveries: Deliveries | None = None  # while somebody asks for `is_awaited`
        self.peer: LocalPeer
        self.tracer: CallTracer | None = None

    # From a client of this node.

    def route(self, connection: Connection, raw: bytes) -> None:
        """Forward one frame that a client sent; whatever is wrong with it harms nobody else."""
        connection.heard_at = time.monotonic()
        try:
            frame = self._reader.read(raw)
        except BadFrame as error:
            self._ignore(connection, raw, error)
            return
        to = frame.envelope.get("to")
        if type(to) is not str or not to:
            return  # PROTOCOL 2.2: some clients report errors of their own so
        target = absolute(to, connection.attachment.workspace.name)
        try:
            sealed = self._seal(connection, frame, target)
        except BadFrame as error:
            self.counts.frames_refused += 1
            _tell(connection, "refused", error)
            self._reject(frame, connection.address, target, error)
            return
        if sealed is not None:
            self._forward(connection, frame, target, sealed)

    def _ignore(self, connection: Connection, raw: bytes, error: BadFrame) -> None:
        """Forward nothing; tell the sender, if the frame says where."""
        self.counts.frames_ignored += 1
        _tell(connection, "ignored", error)
        frame = self._reader.salvage(raw) if len(raw) <= CLIENT_FRAME else None
        if frame is not None and isinstance(to := frame.envelope.get("to"), str):
            target = absolute(to, connection.attachment.workspace.name)
            self._reject(frame, connection.address, target, error)

    def _seal(self, connection: Connection, frame: Frame, target: str) -> bytes | None:
        """The frame as its target may see it, None when that is the hub itself."""
        envelope = frame.envelope
        if envelope.get("type") != "method":
            guard.check_message(frame)
            return connection.seal.message({**envelope, "to": target})
        body = guard.check_call(frame, connection.address)
        if target.endswith(self._own):
            self.counts.frames_hub += 1
            self.peer.receive(frame, connection.address, target)
            return None
        if envelope["method"].startswith(guard.CACHE) and not client_of(target).startswith("~"):
            self.peer.relay_chunk(connection, frame, target)
            return None
        envelope["to"] = target
        return connection.seal.call(envelope, body)

    def _forward(self, connection: Connection, frame: Frame, target: str, sealed: bytes) -> None:
        method: str = frame.envelope.get("method", "")
        source = connection.address
        if rpc.is_answer(method):
            session = method.rpartition(".")[0]
            self.pending.settle(source, target, session)
            if self.deliveries is not None:
                self.deliveries.answered(source, target, session)
            if self.tracer is not None:
                self.tracer.answered(source, target, method)
            self.send(target, sealed)
        else:
            call = self._remember(connection, frame, target)
            if self.deliveries is not None and call is not None and self._is_heard(target):
                self.deliveries.add(target, source, call.session)
            if self.tracer is not None:
                sealed = self.tracer.take(frame, source, sealed, waits=call is not None)
            self.send(target, sealed, call and partial(self._give_up, target, call))

    def _remember(self, connection: Connection, frame: Frame, target: str) -> PendingCall | None:
        session = frame.envelope.get("session")
        reject = rpc.reject_path(frame.body.get("promise"))
        if frame.envelope["type"] != "method" or session is None or reject is None:
            return None
        call = PendingCall(connection.address, session, reject, connection.heard_at)
        self.pending.add(target, call)
        return call

    def forget(self, connection: Connection) -> list[tuple[str, PendingCall]]:
        """A connection is over; answer the calls that its client waits for, by their targets."""
        self.peer.forget(connection.address)
        if self.tracer is not None:
            self.tracer.forget(connection.address)
        return self.pending.take_caller(connection.address)

    def inherit(self, caller: str, calls: bytes) -> None:
        """Take over from another node what a client waits for that is attached here by now.

        A target may have left meanwhile; so each is sent a message that says nothing.
        """
        for target, session, reject in msgpack.unpackb(calls):
            call = PendingCall(caller, session, reject, time.monotonic())
            self.pending.add(target, call)
            if self.connections.get(target) is None:
                self._publish(target, NOTHING, partial(self._give_up, target, call))

    def _is_heard(self, address: str) -> bool:
        connection = self.connections.get(address)
        return connection is not None and not connection.is_sent_away

    def is_awaited(self, address: str) -> bool:
        """Whether a client has calls to answer that came since `deliveries` are watched."""
        return self.deliveries is not None and self.deliveries.waiting_for(address) > 0

    def _give_up(self, target: str, call: PendingCall, error: HubError) -> None:
        if self.pending.settle(target, call.caller, call.session):
            self._send_reject(call.caller, target, call.reject, error)

    def target_left(self, address: str) -> None:
        """A client left for good: tell everybody here who waits for it."""
        error = ClientLeft(f"Client {address} left before it answered.")
        for call in self.pending.take_target(address):
            self._send_reject(call.caller, address, call.reject, error)
        self.peer.target_left(address, error)

    # From the bus.

    def receive(self, joined: str | None, raw: bytes) -> None:
        """Deliver a sealed frame that came for a client of this node."""
        connection = self.connections.get(joined) if joined else None
        if connection is None:  # it went while the frame was on its way
            self._send_after(joined, raw)
        elif connection.held is not None:
            connection.arrived.append(raw)
        elif (frame := self._take(connection, raw)) and not self.connections.offer(
            connection, frame
        ):
            self._busy(connection, frame)

    def deliver(self, connection: Connection, mail: list[bytes]) -> None:
        """Hand over what has waited for a client, in its order; then it is live."""
        arrived, held = connection.go_live()
        for raw in (*mail, *arrived):
            if frame := self._take(connection, raw):
                connection.send(frame)
        for frame in held:
            connection.send(frame)

    def _take(self, connection: Connection, raw: bytes) -> bytes | None:
        """Note what a frame from the bus means here; answer it as its client gets it, if at all."""
        if not is_frame(raw):
            self.inherit(connection.address, raw)
            return None
        try:
            envelope = self._reader.read_envelope(raw)
        except HubError as error:
            _log.error("A frame from another node was dropped: %s", error)
            return None
        method = envelope.get("method", "")
        if rpc.is_answer(method):
            session = method.rpartition(".")[0]
            self.pending.settle(envelope["from"], connection.address, session)
            if self.tracer is not None:
                self.tracer.answered(envelope["from"], connection.address, method)
        elif self.deliveries is not None and (session := envelope.get("session")):
            self.deliveries.add(connection.address, envelope["from"], session)
        if self.tracer is not None:
            return self.tracer.deliver(envelope, connection.address, raw)
        return raw

    def _send_after(self, joined: str | None, raw: bytes) -> None:
        if is_frame(raw):
            self.send(joined or self._reader.read_envelope(raw)["to"], raw)
        elif joined is not None:
            self._publish(joined, raw, None)

    def receive_own(self, raw: bytes) -> None:
        """Take a sealed frame that came for this node itself."""
        try:
            frame = self._reader.read(raw)
            self.peer.receive(frame, frame.envelope["from"], frame.envelope["to"])
        except HubError as error:  # another node let it pass, perhaps one of another version
            _log.error("A frame from another node was dropped: %s", error)

    # To wherever it goes.

    def send(self, target: str, sealed: bytes, reject: Reject | None = None) -> None:
        """Bring a sealed frame to its target; the one delivery path."""
        connection = self.connections.get(target)
        if connection is None or connection.is_sent_away:
            self.counts.frames_bus += 1
            if self.tracer is not None:
                sealed = self.tracer.relay(sealed, target)
            self._publish(target, sealed, reject)
            return
        self.counts.frames_local += 1
        if not self.connections.offer(connection, sealed):
            self._busy(connection, sealed)

    def answer(self, target: str, sealed: bytes) -> None:
        """Send what the hub itself answers: also to a client that gets nothing else any more.

        A page that waits for it is not told to go before: it would not come back by itself.
        """
        connection = self.connections.get(target)
        if connection is not None and connection.is_sent_away and not connection.is_told_to_go:
            connection.send(sealed)
        else:
            self.send(target, sealed)

    def _publish(self, target: str, sealed: bytes, reject: Reject | None) -> None:
        def on_outcome(outcome: Outcome) -> None:
            if reject is not None:
                reject(_error_of(outcome, target, is_recovering=self._bus.is_recovering))

        def on_failure(outcome: Outcome) -> None:
            if outcome is Outcome.MAILED:
                self.counts.mailed += 1
            else:
                on_outcome(outcome)

        client = client_of(target)
        if client.startswith("~"):
            self._bus.publish_to_node(client[1:], sealed, on_failure)
        else:
            self._bus.publish(target, sealed, on_failure, is_call=reject is not None)

    def _busy(self, connection: Connection, sealed: bytes) -> None:
        """The target is slow: answers are still let through, what is new is turned away."""
        frame, target = self._reader.read(sealed), connection.address
        if "promise" in frame.body:
            error = ClientBusy(f"Client {target} is busy: it does not take its messages in time.")
            self._reject(frame, rpc.answers_to(frame), target, error)
        elif rpc.is_answer(frame.envelope.get("method", "")):
            self.connections.force(connection, sealed)
        else:
            self.counts.frames_refused += 1

    def give_up(self, target: str, sealed: bytes, error: HubError | None = None) -> None:
        """Reject a call that waited for a client; unless it says otherwise, one that stays away."""
        if not is_frame(sealed):
            return
        frame = self._reader.read(sealed)
        self._reject(frame, frame.envelope["from"], target, error or _away(target))

    def marked(self, sealed: bytes) -> Marked:
        """A frame with the mark that it has in a mailbox."""
        if is_frame(sealed):
            frame = self._reader.read(sealed)
            if rpc.reject_path(frame.body.get("promise")) is not None:
                return Marked(CALL, sealed)
        return Marked(OTHER, sealed)

    # Back to the caller.

    def _reject(self, frame: Frame, caller: str, called: str, error: HubError) -> None:
        """Tell a caller that its call came to nothing, as the one that it called."""
        method = rpc.reject_path(frame.body.get("promise"))
        if method is None:
            return
        session = frame.envelope.get("session")
        if isinstance(session, str):
            self.pending.settle(called, caller, session)
        self._send_reject(caller, called, method, error)

    def _send_reject(self, caller: str, called: str, method: str, error: HubError) -> None:
        self.counts.rejects += 1
        if self.tracer is not None:
            self.tracer.answered(called, caller, method)
        seal = Seal(called, ROOT.to_wire())
        envelope = rpc.call_envelope(caller, method)
        self.send(caller, seal.call(envelope, pack({"args": [rpc.error(str(error))]})))


def _tell(connection: Connection, what: str, error: HubError) -> None:
    address = connection.address
    _log.info("A frame of %s was %s: %s", address, what, error, extra={"client": address})


def _error_of(outcome: Outcome, target: str, *, is_recovering: bool) -> HubError:
    if outcome is Outcome.MAILBOX_FULL:
        return ClientBusy(f"Client {target} is away, and too much is waiting for it already.")
    if outcome is Outcome.AWAY:
        return _away(target)
    if outcome is Outcome.UNAVAILABLE:
        return RedisUnavailable(f"The relay is unavailable; {target} could not be reached.")
    if is_recovering:
        return RedisUnavailable(f"The relay has just come back; {target} is not known there yet.")
    return ClientNotFound(f"Client not found: {target} is not connected.")


def _away(target: str) -> HubError:
    return ClientLeft(f"Client {target} is away: its connection broke, and it has not come back.")
