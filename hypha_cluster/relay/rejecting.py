"""Tells callers that their calls came to nothing: by a reject, in the name of the callee."""

import logging
from collections.abc import Callable

from hypha_cluster.errors import (
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
from hypha_cluster.protocol.envelope import Frame, Seal, pack
from hypha_cluster.relay.bus import Outcome
from hypha_cluster.relay.ledger import Ledger
from hypha_cluster.relay.pending import PendingCall

_log = logging.getLogger(__name__)

Reject = Callable[[HubError], None]


class Rejects:
    """Rejects calls of clients, wherever those are. send: Delivery.send, the way of every frame."""

    def __init__(self, send: Callable[[str, bytes], None], ledger: Ledger, counts: Counts) -> None:
        self._send = send
        self._ledger = ledger
        self._counts = counts

    def reject(self, frame: Frame, caller: str, target: str, error: HubError) -> None:
        """Tell the caller of a frame that it came to nothing, if it waits."""
        method = rpc.reject_path(frame.body.get("promise"))
        if method is None:
            return
        session = frame.envelope.get("session")
        if isinstance(session, str):
            self._ledger.settle(target, caller, session)
        self._send_reject(caller, target, method, error)

    def reject_pending(self, target: str, call: PendingCall, error: HubError) -> None:
        """Tell a client of this node that its call came to nothing, if it still waits."""
        if self._ledger.stop_waiting(target, call):
            self._send_reject(call.caller, target, call.reject, error)

    def reject_answer(self, callee: str, caller: str, method: str, error: HubError) -> None:
        """Reject a call whose answer, by `method`, came to nothing; ignore any other method."""
        reject = rpc.reject_instead_of(method)
        if reject is not None:
            self._send_reject(caller, callee, reject, error)

    def target_left(self, address: str, error: HubError) -> None:
        """A client left for good: tell everybody here who waits for it."""
        for call in self._ledger.take_all(address):
            self._send_reject(call.caller, address, call.reject, error)

    def node_ended(self, node: str, error: HubError) -> None:
        """A gateway is gone: tell everybody here who waits for an answer of its own."""
        for address in self._ledger.targets_at(node):
            self.target_left(address, error)

    def lost(self, target: str, outcome: Outcome, error: HubError, frames: int = 1) -> None:
        """Count frames that are lost and whose sender cannot be told: answers, or heartbeats."""
        self._counts.lost_frames[outcome.name.lower()] += frames
        lost = f"A frame for {target} is" if frames == 1 else f"{frames} frames for {target} are"
        _log.info("%s lost: %s", lost, error, extra={"client": target})

    def _send_reject(self, caller: str, target: str, method: str, error: HubError) -> None:
        self._counts.rejects += 1
        self._ledger.answered(target, caller, method)
        kind = type(error).__name__ if node_of(caller) is not None else ""
        body = pack({"args": [rpc.error(str(error), kind)]})
        envelope = rpc.call_envelope(caller, method)
        self._send(caller, Seal(target, ROOT.to_wire()).call(envelope, body))


def error_of(outcome: Outcome, target: str, *, is_recovering: bool) -> HubError:
    """Why a frame came to nothing, as its caller is told."""
    if outcome is Outcome.MAILBOX_FULL:
        return ClientBusy(f"Client {target} is suspended, and too much waits for it already.")
    if outcome is Outcome.AWAY:
        return ClientAway.at(target)
    if outcome is Outcome.UNAVAILABLE:
        return RedisUnavailable(f"The relay is unavailable; {target} could not be reached.")
    if is_recovering:
        return RedisUnavailable(f"The relay has just come back; {target} is not known there yet.")
    return ClientNotFound.at(target)
