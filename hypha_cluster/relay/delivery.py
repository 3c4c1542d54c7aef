"""The one delivery path: to a client here, to another node, to a mailbox, or back as a reject.

A frame is sealed by the node that got it from its client, and then comes to `Delivery.send`. Its
target is attached here, and gets it; or it is published, and the listener of the target's node
hands it to `Delivery.receive` there. Answers take the same path.
"""

import logging
import time
from functools import partial
from typing import Final

from hypha_cluster.errors import BadFrame, ClientAway, ClientBusy, HubError
from hypha_cluster.metrics import Counts
from hypha_cluster.protocol import guard, rpc
from hypha_cluster.protocol.address import node_of
from hypha_cluster.protocol.envelope import Frame, FrameReader, is_frame
from hypha_cluster.registry.mailboxes import CALL, OTHER, Marked
from hypha_cluster.relay.allowance import UNBOUNDED, Allowance
from hypha_cluster.relay.bus import Outcome, Publisher
from hypha_cluster.relay.connection import Connection, Offer, Stage
from hypha_cluster.relay.connections import Connections
from hypha_cluster.relay.events import (
    TAKEN,
    Note,
    Posted,
    read_calls,
    read_note,
    read_posted,
    read_unseen,
    write_calls,
    write_event,
    write_note,
)
from hypha_cluster.relay.ledger import Ledger
from hypha_cluster.relay.pending import OwedAnswers, PendingCall
from hypha_cluster.relay.rejecting import Reject, Rejects, error_of
from hypha_cluster.relay.sockets import Verdict

_log = logging.getLogger(__name__)

_KNOWN: Final = Offer.KNOWN  # asked for each frame
_NOT_READY: Final = (Offer.AWAITED, Offer.MOVED)
NOTHING: Final = write_calls([])  # a message without meaning: no calls to be inherited
_LAST_CHUNK: Final = f"{guard.CACHE}process"  # a call that passes on a whole message in chunks


class Delivery:
    """Brings sealed frames to their targets; `rejects` tells callers when that comes to nothing."""

    def __init__(
        self,
        connections: Connections,
        publisher: Publisher,
        ledger: Ledger,
        owed: OwedAnswers,
        counts: Counts,
        reader: FrameReader,
    ) -> None:
        self._connections = connections
        self._publisher = publisher
        self._ledger = ledger
        self._owed = owed
        self._counts = counts
        self._reader = reader
        self.rejects = Rejects(self.send, ledger, counts)

    # From a client here, or from the hub.

    def send(
        self,
        target: str,
        sealed: bytes,
        reject: Reject | None = None,
        mail: Allowance = UNBOUNDED,
    ) -> None:
        """Bring a sealed frame to its target; never waits.

        reject: called later if the frame comes to nothing. mail: what its sender may yet put into
        mailboxes.
        """
        if not self._deliver_here(target, sealed):
            self._counts.frames_bus += 1
            self._publish(target, self._ledger.relayed(target, sealed), reject, mail)

    def send_call(
        self, target: str, sealed: bytes, call: PendingCall, mail: Allowance = UNBOUNDED
    ) -> None:
        """The same for a call whose caller is told when it comes to nothing."""
        if not self._deliver_here(target, sealed):
            self._counts.frames_bus += 1
            reject = partial(self.rejects.reject_pending, target, call)
            self._publish(target, self._ledger.relayed(target, sealed), reject, mail)

    def _deliver_here(self, target: str, sealed: bytes) -> bool:
        """Deliver a frame if its target is attached here; say whether it is."""
        connection = self._connections.get(target)
        if connection is None or not connection.takes_from_here:
            return False
        self._counts.frames_local += 1
        self._offer(connection, sealed)
        return True

    def tell(self, target: str, note: Note) -> None:
        """Tell the node of a client which message it gets in chunks; the chunks do not show it."""
        connection = self._connections.get(target)
        if connection is None or not connection.takes_from_here:
            self._publish(target, write_note(note))
        else:
            self._came(connection, note)

    def _came(self, connection: Connection, note: Note) -> None:
        """Note what a client gets in chunks; the last of a call that is too early does not pass."""
        is_early = connection.offer in _NOT_READY and _is_of_service(note.method)
        if is_early:
            connection.too_early |= {note.source}
        if not is_early or connection.offer is Offer.MOVED:
            self._ledger.came(connection.address, note)

    def unsent(self, target: str, call: PendingCall) -> None:
        """Forget a noted call that was not sent after all; its caller knows already."""
        self._ledger.settle(target, call.caller, call.session)

    def answer(self, target: str, sealed: bytes) -> None:
        """Send an answer of the hub itself, even to a client that is SET_ASIDE.

        A drain waits with closing a page until the hub has answered it: the page would not come
        back by itself.
        """
        connection = self._connections.get(target)
        if connection is not None and connection.stage is Stage.SET_ASIDE:
            connection.send(sealed)
        else:
            self.send(target, sealed)

    def _offer(self, connection: Connection, sealed: bytes) -> None:
        """Send a frame to a client here, unless it is not ready or too slow for it."""
        if connection.offer is not _KNOWN and self._is_early(connection, sealed):
            return
        if not self._connections.offer(connection, sealed):
            self._busy(connection, sealed)
        elif self._owed.are_watched:
            self._owed.note(connection.address, sealed)

    def _is_early(self, connection: Connection, sealed: bytes) -> bool:
        """Whether it calls what the client does not offer yet; then it waits, or is rejected."""
        waits, target = connection.offer is Offer.MOVED, connection.address
        if connection.offer not in _NOT_READY or (waits and connection.stage is Stage.ARRIVING):
            return False  # or what has waited for it comes before
        frame = self._read(sealed)
        if frame is None or not isinstance(frame.body.get("promise"), dict):
            return False
        method, source = frame.envelope.get("method", ""), frame.envelope.get("from")
        if method == _LAST_CHUNK and source in connection.too_early:
            connection.too_early -= {source}
        elif not (_is_of_service(method) or (waits and method == guard.GET_SERVICE)):
            return False
        if not waits:
            error = ClientAway(
                f"Client {target} has started anew, and offers nothing yet; try again."
            )
            self.rejects.reject(frame, rpc.answers_to(frame), target, error)
        elif not self._connections.keep_early(connection, sealed):
            self._busy(connection, sealed)
        elif self._owed.are_watched:
            self._owed.note(target, sealed)
        return True

    def _busy(self, connection: Connection, sealed: bytes) -> None:
        """The target is too slow: reject calls, but let answers through, for callers wait."""
        frame, target = self._read(sealed), connection.address
        if frame is None:
            return
        if isinstance(frame.body.get("promise"), dict):
            error = ClientBusy(f"Client {target} is busy: it does not take its messages in time.")
            self.rejects.reject(frame, rpc.answers_to(frame), target, error)
        elif rpc.is_answer(frame.envelope.get("method", "")):
            self._connections.force(connection, sealed)
        else:
            self._counts.frames_refused += 1

    def _publish(
        self,
        target: str,
        message: bytes,
        reject: Reject | None = None,
        mail: Allowance = UNBOUNDED,
    ) -> None:
        refusal = mail.refusal() if mail.spent else None

        def on_not_taken(outcome: Outcome) -> None:
            if outcome is Outcome.MAILED:
                self._counts.mailed += 1
                mail.spend(len(message))
                return
            error = error_of(outcome, target, is_recovering=self._publisher.is_recovering)
            if refusal is not None and outcome is Outcome.MAILBOX_FULL:
                error = refusal
            if reject is not None:
                reject(error)
            elif is_frame(message):
                self.rejects.lost(target, outcome, error)

        node = node_of(target)
        if node is not None:
            self._publisher.publish_to_node(node, message, on_not_taken)
        else:
            is_call = reject is not None
            self._publisher.deliver_or_mail(
                target, message, on_not_taken, is_call=is_call, may_mail=refusal is None
            )

    # From the bus.

    def receive(self, address: str | None, sealed: bytes) -> None:
        """Deliver a sealed frame that came for a client of this node."""
        connection = self._connections.get(address) if address else None
        if connection is None:  # its client went while the frame was on its way
            self._send_after(address, sealed)
        elif not connection.takes_from_bus:
            connection.waiting_from_bus.append(sealed)
        elif accepted := self._accept(connection, sealed):
            self._offer(connection, accepted)

    def go_live(self, connection: Connection, mail: list[bytes]) -> None:
        """Make a client LIVE, and deliver what has waited: mail, frames from the bus, from here."""
        if connection.stage is not Stage.ARRIVING:  # it was told to go meanwhile
            connection.waiting_from_bus[:0] = mail
            return
        connection.enter(Stage.LIVE)
        from_bus, local = connection.take_waiting()
        for sealed in (*mail, *from_bus):
            if accepted := self._accept(connection, sealed, is_kept=True):
                self._pass_on(connection, accepted)
        for sealed in local:
            self._pass_on(connection, sealed)

    def _pass_on(self, connection: Connection, sealed: bytes) -> None:
        """Give a client what has waited for it, if it is ready for it."""
        if connection.offer is not _KNOWN and self._is_early(connection, sealed):
            return
        connection.send(sealed)
        if self._owed.are_watched:
            self._owed.note(connection.address, sealed)

    def _accept(
        self, connection: Connection, sealed: bytes, *, is_kept: bool = False
    ) -> bytes | None:
        """Note what a message from the bus means here; if it is a frame, return it for its client.

        is_kept: the message has waited for its client.
        """
        if not is_frame(sealed):
            return self._learn(connection, sealed, is_kept=is_kept)
        try:
            envelope = self._reader.read_envelope(sealed)
            if type(envelope.get("from")) is not str or type(envelope.get("method", "")) is not str:
                raise BadFrame("A frame of another node says who sends it and what for, as text.")
        except BadFrame as error:
            self._drop(error)
            return None
        return self._ledger.arrived(connection.address, envelope, sealed)

    def _drop(self, error: HubError) -> None:
        """Drop a bad frame that another node has let pass, perhaps one of another release."""
        self._counts.dropped_messages["frame"] += 1
        _log.error("A frame from another node was dropped: %s", error)

    def _learn(self, connection: Connection, message: bytes, *, is_kept: bool) -> bytes | None:
        """Take what another node says about a client here, or has got from it by post.

        Returns the frame if the message is one that the client is to be sent once more.
        """
        if (note := read_note(message)) is not None:
            self._came(connection, note)
        elif (posted := read_posted(message)) is not None:
            self._take_posted(connection, posted, is_kept=is_kept)
        elif (unseen := read_unseen(message)) is not None:
            return unseen.frame if connection.has_missed(unseen) else None
        else:
            self._inherit(connection.address, message)
        return None

    def _take_posted(self, connection: Connection, posted: Posted, *, is_kept: bool) -> None:
        """Have a frame routed that a client here has posted at another node; tell that node."""

        def settle(verdict: Verdict) -> None:
            event = write_event(TAKEN, posted.number, verdict)
            self._publisher.publish_to_node(posted.asker, event)

        postbox = connection.socket.postbox
        if postbox is None:
            settle(Verdict.REFUSED)
        else:
            postbox.put(posted.key, posted.frame, settle, is_kept=is_kept)

    def _inherit(self, caller: str, message: bytes) -> None:
        """Take over from another node the calls for which a client here waits.

        A target may have left meanwhile; so each is sent a message without meaning: if nobody takes
        it, the call is rejected.
        """
        calls = read_calls(message)
        if calls is None:
            self._drop(BadFrame("It is neither a frame nor calls that a client waits for."))
            return
        for target, session, reject in calls:
            waiting = PendingCall(caller, session, reject, time.monotonic())
            call = self._ledger.inherit(target, waiting)
            if self._connections.get(target) is None:
                self._publish(target, NOTHING, partial(self.rejects.reject_pending, target, call))

    def _send_after(self, address: str | None, sealed: bytes) -> None:
        """Send a frame on to wherever its client is by now."""
        if address is not None:
            self._resend(address, sealed)
            return
        try:
            target = self._reader.read_envelope(sealed).get("to")
        except BadFrame as error:
            self._drop(error)
        else:
            if isinstance(target, str):
                self.send(target, sealed)

    def _resend(self, target: str, sealed: bytes) -> None:
        if is_frame(sealed):
            self.send(target, sealed)
        else:
            self._publish(target, sealed)

    # Into a mailbox, and out of it.

    def marked(self, sealed: bytes) -> Marked:
        """A frame with the mark that it has in a mailbox."""
        frame = self._read(sealed) if is_frame(sealed) else None
        if frame is not None and rpc.reject_path(frame.body.get("promise")) is not None:
            return Marked(CALL, sealed)
        return Marked(OTHER, sealed)

    def reject_mailed(self, target: str, sealed: bytes, error: HubError | None = None) -> None:
        """Reject a call that waited in a mailbox. error: by default that the client is away."""
        frame = self._read(sealed) if is_frame(sealed) else None
        source = frame.envelope.get("from") if frame is not None else None
        if frame is not None and isinstance(source, str):
            self.rejects.reject(frame, source, target, error or ClientAway.at(target))

    def _read(self, sealed: bytes) -> Frame | None:
        """Read a frame that another node may have sealed; None if it is bad."""
        try:
            return self._reader.read(sealed)
        except BadFrame as error:
            self._drop(error)
            return None


def _is_of_service(method: str) -> bool:
    """Whether a call is of what a client offers, and not of what each has from the start."""
    return method.startswith("services.") and not method.startswith(guard.BUILT_IN)
