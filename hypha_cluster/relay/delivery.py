"""Where a frame goes: to a client here, to another node, to a mailbox, or back as a reject.

Every frame takes the same way: sealed by the node that received it, then `send`. A frame that
came over the bus enters where a local one would be delivered.
"""

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from hypha_cluster.errors import (
    BadFrame,
    ClientAway,
    ClientBusy,
    ClientNotFound,
    HubError,
    RedisUnavailable,
)
from hypha_cluster.identity.access import ROOT
from hypha_cluster.metrics import Counts
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.address import node_of
from hypha_cluster.protocol.envelope import Frame, FrameReader, Seal, is_frame, pack
from hypha_cluster.registry.mailboxes import CALL, OTHER, Marked
from hypha_cluster.relay.bus import Outcome, Publisher
from hypha_cluster.relay.connections import Connection, Connections, Stage
from hypha_cluster.relay.events import Note, read_calls, read_note, write_calls, write_note
from hypha_cluster.relay.ledger import Ledger
from hypha_cluster.relay.pending import Deliveries, PendingCall

_log = logging.getLogger(__name__)

NOTHING: Final = write_calls([])  # calls to be inherited: none

_ARRIVING, _LIVE, _SET_ASIDE = Stage.ARRIVING, Stage.LIVE, Stage.SET_ASIDE

Reject = Callable[[HubError], None]


class Delivery:
    """Brings sealed frames to their targets, and tells callers when that comes to nothing."""

    def __init__(
        self,
        connections: Connections,
        publisher: Publisher,
        ledger: Ledger,
        deliveries: Deliveries,
        counts: Counts,
        reader: FrameReader,
    ) -> None:
        self._connections = connections
        self._publisher = publisher
        self._ledger = ledger
        self._deliveries = deliveries
        self._counts = counts
        self._reader = reader

    # To wherever it goes.

    def send(self, target: str, frame: bytes, reject: Reject | None = None) -> None:
        """Bring a sealed frame to its target; the one delivery path."""
        if not self._hand_over(target, frame):
            self._counts.frames_bus += 1
            self._publish(target, self._ledger.relayed(target, frame), reject)

    def send_call(self, target: str, frame: bytes, call: PendingCall) -> None:
        """The same for a call whose caller is told when it comes to nothing."""
        if not self._hand_over(target, frame):
            self._counts.frames_bus += 1
            reject = partial(self._give_up, target, call)
            self._publish(target, self._ledger.relayed(target, frame), reject)

    def _hand_over(self, target: str, frame: bytes) -> bool:
        """Say whether the target is here, so that it has the frame."""
        connection = self._connections.get(target)
        if connection is None or not (connection.stage is _LIVE or connection.stage is _ARRIVING):
            return False
        self._counts.frames_local += 1
        self._offer(connection, frame)
        return True

    def tell(self, target: str, note: Note) -> None:
        """Tell the node of a client what it gets in chunks, which do not show it."""
        connection = self._connections.get(target)
        if connection is None or connection.stage is Stage.SET_ASIDE:
            self._publish(target, write_note(note), None)
        else:
            self._ledger.came(target, note)

    def unsent(self, target: str, call: PendingCall) -> None:
        """A call was not sent after all, and its caller knows."""
        self._ledger.settle(target, call.caller, call.session)

    def answer(self, target: str, frame: bytes) -> None:
        """Send what the hub itself answers: also to a client that gets nothing else any more.

        A page that waits for it is not told to go before: it would not come back by itself.
        """
        connection = self._connections.get(target)
        if connection is not None and connection.stage is _SET_ASIDE:
            connection.send(frame)
        else:
            self.send(target, frame)

    def _offer(self, connection: Connection, frame: bytes) -> None:
        if not self._connections.offer(connection, frame):
            self._busy(connection, frame)
        elif self._deliveries.are_watched:
            self._deliveries.delivered(connection.address, frame)

    def _busy(self, connection: Connection, frame: bytes) -> None:
        """The target is slow: answers are still let through, what is new is turned away."""
        read, target = self._read(frame), connection.address
        if read is None:
            return
        if isinstance(read.body.get("promise"), dict):
            error = ClientBusy(f"Client {target} is busy: it does not take its messages in time.")
            self.reject(read, rpc.answers_to(read), target, error)
        elif rpc.is_answer(read.envelope.get("method", "")):
            self._connections.force(connection, frame)
        else:
            self._counts.frames_refused += 1

    def _publish(self, target: str, message: bytes, reject: Reject | None = None) -> None:
        def on_failure(outcome: Outcome) -> None:
            if outcome is Outcome.MAILED:
                self._counts.mailed += 1
                return
            error = _error_of(outcome, target, is_recovering=self._publisher.is_recovering)
            if reject is not None:
                reject(error)
            elif is_frame(message):
                self.lost(target, outcome, error)

        node = node_of(target)
        if node is not None:
            self._publisher.publish_to_node(node, message, on_failure)
        else:
            self._publisher.publish(target, message, on_failure, is_call=reject is not None)

    def lost(self, target: str, outcome: Outcome, error: HubError) -> None:
        """A frame is lost that has nobody to be told of it: an answer, say, or a heartbeat."""
        self._counts.lost_frames[outcome.name.lower()] += 1
        _log.info("A frame for %s is lost: %s", target, error, extra={"client": target})

    # From the bus.

    def receive(self, address: str | None, frame: bytes) -> None:
        """Deliver a sealed frame that came for a client of this node."""
        connection = self._connections.get(address) if address else None
        if connection is None:  # it went while the frame was on its way
            self._send_after(address, frame)
        elif connection.stage is not _LIVE and connection.stage is not _SET_ASIDE:
            connection.arrived.append(frame)  # it waits for its mail, or goes to its mailbox
        elif taken := self._take(connection, frame):
            self._offer(connection, taken)

    def deliver(self, connection: Connection, mail: list[bytes]) -> None:
        """Hand over what has waited for a client, in its order; then it is live."""
        if connection.stage is not Stage.ARRIVING:  # it was told to go meanwhile
            connection.arrived[:0] = mail
            return
        connection.enter(Stage.LIVE)
        arrived, held = connection.take_waiting()
        for frame in (*mail, *arrived):
            if taken := self._take(connection, frame):
                connection.send(taken)
                if self._deliveries.are_watched:
                    self._deliveries.delivered(connection.address, taken)
        for frame in held:
            connection.send(frame)

    def _take(self, connection: Connection, frame: bytes) -> bytes | None:
        """Note what a frame from the bus means here; answer it as its client gets it, if at all."""
        if not is_frame(frame):
            self._learn(connection.address, frame)
            return None
        try:
            envelope = self._reader.read_envelope(frame)
            if type(envelope.get("from")) is not str or type(envelope.get("method", "")) is not str:
                raise BadFrame("A frame of another node says who sends it and what for, as text.")
        except BadFrame as error:
            self._drop(error)
            return None
        return self._ledger.arrived(connection.address, envelope, frame)

    def _drop(self, error: HubError) -> None:
        """Drop what another node has let pass, perhaps one of another release."""
        self._counts.dropped_messages["frame"] += 1
        _log.error("A frame from another node was dropped: %s", error)

    def _learn(self, address: str, message: bytes) -> None:
        """Take what another node says of a client that is attached here."""
        note = read_note(message)
        if note is None:
            self._inherit(address, message)
        else:
            self._ledger.came(address, note)

    def _inherit(self, caller: str, message: bytes) -> None:
        """Take over from another node what a client waits for that is attached here by now.

        A target may have left meanwhile; so each is sent a message that says nothing.
        """
        calls = read_calls(message)
        if calls is None:
            self._drop(BadFrame("It is neither a frame nor calls that a client waits for."))
            return
        for target, session, reject in calls:
            waiting = PendingCall(caller, session, reject, time.monotonic())
            call = self._ledger.inherit(target, waiting)
            if self._connections.get(target) is None:
                self._publish(target, NOTHING, partial(self._give_up, target, call))

    def _send_after(self, address: str | None, frame: bytes) -> None:
        if address is not None:
            self._resend(address, frame)
            return
        try:
            target = self._reader.read_envelope(frame).get("to")
        except BadFrame as error:
            self._drop(error)
        else:
            if isinstance(target, str):
                self.send(target, frame)

    def _resend(self, target: str, frame: bytes) -> None:
        if is_frame(frame):
            self.send(target, frame)
        else:
            self._publish(target, frame)

    # What a mailbox has, or had.

    def marked(self, frame: bytes) -> Marked:
        """A frame with the mark that it has in a mailbox."""
        read = self._read(frame) if is_frame(frame) else None
        if read is not None and rpc.reject_path(read.body.get("promise")) is not None:
            return Marked(CALL, frame)
        return Marked(OTHER, frame)

    def give_up(self, target: str, frame: bytes, error: HubError | None = None) -> None:
        """Reject a call that waited for a client; unless it says otherwise, one that stays away."""
        read = self._read(frame) if is_frame(frame) else None
        source = read.envelope.get("from") if read is not None else None
        if read is not None and isinstance(source, str):
            self.reject(read, source, target, error or _away(target))

    def _read(self, frame: bytes) -> Frame | None:
        """A frame that another node may have sealed, or None."""
        try:
            return self._reader.read(frame)
        except BadFrame as error:
            self._drop(error)
            return None

    # Back to the caller.

    def target_left(self, address: str, error: HubError) -> None:
        """A client left for good: tell everybody here who waits for it."""
        for call in self._ledger.take_all(address):
            self._send_reject(call.caller, address, call.reject, error)

    def node_ended(self, node: str, error: HubError) -> None:
        """A gateway is gone: tell everybody here who waits for an answer of its own."""
        for address in self._ledger.targets_at(node):
            self.target_left(address, error)

    def reject(self, read: Frame, caller: str, target: str, error: HubError) -> None:
        """Tell a caller that its call came to nothing, as the one that it called."""
        method = rpc.reject_path(read.body.get("promise"))
        if method is None:
            return
        session = read.envelope.get("session")
        if isinstance(session, str):
            self._ledger.settle(target, caller, session)
        self._send_reject(caller, target, method, error)

    def reject_answer(self, callee: str, caller: str, method: str, error: HubError) -> None:
        """Tell a caller that the answer by `method` does not come, if that would be one."""
        reject = rpc.reject_instead_of(method)
        if reject is not None:
            self._send_reject(caller, callee, reject, error)

    def _give_up(self, target: str, call: PendingCall, error: HubError) -> None:
        if self._ledger.take(target, call):
            self._send_reject(call.caller, target, call.reject, error)

    def _send_reject(self, caller: str, target: str, method: str, error: HubError) -> None:
        self._counts.rejects += 1
        self._ledger.answered(target, caller, method)
        seal = Seal(target, ROOT.to_wire())
        envelope = rpc.call_envelope(caller, method)
        kind = type(error).__name__ if node_of(caller) is not None else ""
        self.send(caller, seal.call(envelope, pack({"args": [rpc.error(str(error), kind)]})))


def _error_of(outcome: Outcome, target: str, *, is_recovering: bool) -> HubError:
    if outcome is Outcome.MAILBOX_FULL:
        return ClientBusy(f"Client {target} is suspended, and too much waits for it already.")
    if outcome is Outcome.AWAY:
        return _away(target)
    if outcome is Outcome.UNAVAILABLE:
        return RedisUnavailable(f"The relay is unavailable; {target} could not be reached.")
    if is_recovering:
        return RedisUnavailable(f"The relay has just come back; {target} is not known there yet.")
    return ClientNotFound.at(target)


def _away(target: str) -> HubError:
    return ClientAway.at(target)
