"""What comes from a client: each frame is read, checked, sealed with who sent it, and sent on."""

import logging
import time
from typing import Protocol

from hypha_cluster.errors import BadFrame, HubError
from hypha_cluster.identity.access import MANAGER
from hypha_cluster.metrics import Counts
from hypha_cluster.protocol import guard, rpc
from hypha_cluster.protocol.address import absolute, client_of
from hypha_cluster.protocol.envelope import Frame, FrameReader
from hypha_cluster.protocol.limits import CLIENT_FRAME
from hypha_cluster.relay.connections import Connection
from hypha_cluster.relay.delivery import Delivery
from hypha_cluster.relay.ledger import Ledger

_log = logging.getLogger(__name__)


class Hub(Protocol):
    """The hub as a peer of its clients, as the relay sees it."""

    def receive(self, frame: Frame, source: str, target: str) -> None:
        """Take a checked frame from `source` to `target`, an address of the hub's."""

    def relay_chunk(self, connection: Connection, frame: Frame, target: str) -> None:
        """Pass on one call of the message cache of another client."""


class Intake:
    """Takes the frames of this node's clients; whatever is wrong with one harms nobody else."""

    def __init__(
        self,
        node: str,
        hub: Hub,
        delivery: Delivery,
        ledger: Ledger,
        counts: Counts,
        reader: FrameReader,
    ) -> None:
        self._own = (f"/{MANAGER}", f"/~{node}")
        self._hub = hub
        self._delivery = delivery
        self._ledger = ledger
        self._counts = counts
        self._reader = reader

    def route(self, connection: Connection, raw: bytes) -> None:
        """Forward one frame that a client sent."""
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
            self._counts.frames_refused += 1
            _tell(connection, "refused", error)
            self._delivery.reject(frame, connection.address, target, error)
            return
        if sealed is not None:
            self._forward(connection, frame, target, sealed)

    def _ignore(self, connection: Connection, raw: bytes, error: BadFrame) -> None:
        """Forward nothing; tell the sender, if the frame says where."""
        self._counts.frames_ignored += 1
        _tell(connection, "ignored", error)
        frame = self._reader.salvage(raw) if len(raw) <= CLIENT_FRAME else None
        if frame is not None and isinstance(to := frame.envelope.get("to"), str):
            target = absolute(to, connection.attachment.workspace.name)
            self._delivery.reject(frame, connection.address, target, error)

    def _seal(self, connection: Connection, frame: Frame, target: str) -> bytes | None:
        """The frame as its target may see it, None when that is the hub itself."""
        envelope = frame.envelope
        if envelope.get("type") != "method":
            guard.check_message(frame)
            return connection.seal.message({**envelope, "to": target})
        body = guard.check_call(frame, connection.address)
        if target.endswith(self._own):
            self._tell_hub(connection, frame, target)
            return None
        if envelope["method"].startswith(guard.CACHE) and not client_of(target).startswith("~"):
            self._hub.relay_chunk(connection, frame, target)
            return None
        envelope["to"] = target
        return connection.seal.call(envelope, body)

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
            self._delivery.send(target, sealed)
            return
        sealed, call = self._ledger.called(connection, target, frame, sealed)
        if call is None:
            self._delivery.send(target, sealed)
        else:
            self._delivery.send_call(target, sealed, call)


def _tell(connection: Connection, what: str, error: HubError) -> None:
    address = connection.address
    _log.info("A frame of %s was %s: %s", address, what, error, extra={"client": address})
