"""Messages in chunks from one client to another: the hub places each chunk as a call of its own.

So nobody but the hub knows under which key a target puts a message together, and the target gets
exactly the bytes that were checked (protocol.md 4).
"""

from typing import Any

from hypha_cluster.errors import BadFrame, HubError
from hypha_cluster.hub.calling import HubCalls
from hypha_cluster.hub.calls import Outgoing
from hypha_cluster.hub.replies import Replies
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.chunks import Step
from hypha_cluster.protocol.envelope import Frame
from hypha_cluster.relay.connection import Connection
from hypha_cluster.relay.delivery import Delivery
from hypha_cluster.relay.pending import PendingCall


class ChunkRelay:
    """Passes on calls of other clients' message caches, which were checked before."""

    def __init__(self, delivery: Delivery, calls: HubCalls, replies: Replies) -> None:
        self._delivery = delivery
        self._calls = calls
        self._replies = replies

    def relay_chunk(
        self,
        connection: Connection,
        frame: Frame,
        target: str,
        step: Step,
        call: PendingCall | None,
    ) -> None:
        """Pass on one call of the cache of `target`, and the answer to it.

        The client sends the next part only after that answer: if a part got lost, the target would
        put together other bytes than those that were checked. The hub places the call in a session
        that nobody can guess, so that nobody but the target can say that it arrived.
        """
        caller = rpc.Caller.of(frame, connection.address, target)
        chunk = _outgoing(connection, target, frame.envelope["method"], step.args)
        size = len(frame.raw)
        if (refusal := self._replies.refusal(caller, size)) is not None:
            self._failed(connection, caller, step, call, refusal)
            return
        self._replies.run(self._relay(connection, caller, chunk, step, call), caller, size)

    async def _relay(
        self,
        connection: Connection,
        caller: rpc.Caller,
        chunk: Outgoing,
        step: Step,
        call: PendingCall | None,
    ) -> None:
        if not connection.chunks.goes_on(step):
            return  # its client has gone
        if not step.is_last:
            self._calls.keep_alive(chunk, step.session)
        try:
            result = await self._calls.place(chunk, whole=True)
        except HubError as error:
            self._failed(connection, caller, step, call, error)
        else:
            connection.chunks.arrived(step)
            if step.is_last:
                self._calls.let_go(chunk, step.session)
            self._replies.send(caller, caller.resolve, result)

    def _failed(
        self,
        connection: Connection,
        caller: rpc.Caller,
        step: Step,
        call: PendingCall | None,
        error: HubError,
    ) -> None:
        """The message of this part does not go on."""
        if call is not None:
            self._delivery.unsent(caller.target, call)
        connection.chunks.failed(step)
        self.clear_away(connection)
        self._replies.send(caller, caller.reject, rpc.error(str(error)))

    def forget(self, connection: Connection) -> None:
        """A client is gone: remove what it had begun to send."""
        if connection.has_sent_chunks:
            connection.chunks.give_up_all()
            self.clear_away(connection)

    def clear_away(self, connection: Connection) -> None:
        """Remove from message caches what is left of messages that do not go on.

        Nobody else can, for only the hub knows their keys.
        """
        for leftover in connection.chunks.take_leftovers():
            message = _outgoing(connection, leftover.target, "", [])
            self._calls.let_go(message, leftover.key)
            self._calls.let_go(message, leftover.session)
            if leftover.method is not None:
                error = BadFrame(f"The answer of {connection.address} was refused, or broken off.")
                self._delivery.rejects.reject_answer(
                    connection.address, leftover.target, leftover.method, error
                )


def _outgoing(connection: Connection, target: str, method: str, args: list[Any]) -> Outgoing:
    """A call that the hub passes on for a client."""
    envelope = rpc.call_envelope(target, method)
    identity = connection.attachment.identity
    return Outgoing(connection.address, identity, envelope, {"args": args}, connection.mail)
