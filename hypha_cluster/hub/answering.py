"""The hub's own client: places calls, and answers those that are made to it.

It is at `<workspace>/workspace-manager` on every node, for calls to the hub, and at
`<workspace>/~<node>` for answers to calls that this node has placed.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final

from hypha_cluster.errors import (
    BadFrame,
    FunctionNotFound,
    HubError,
)
from hypha_cluster.hub.calling import HubCalls
from hypha_cluster.hub.calls import Call, Heartbeat, Outgoing, arguments_of
from hypha_cluster.hub.services import HubServices
from hypha_cluster.hub.sessions import Callback
from hypha_cluster.identity.access import ROOT
from hypha_cluster.protocol import chunks, guard, rpc
from hypha_cluster.protocol.envelope import Frame, FrameReader, Seal, pack
from hypha_cluster.protocol.limits import HUB_MESSAGES
from hypha_cluster.relay.connections import Connection
from hypha_cluster.relay.delivery import Delivery
from hypha_cluster.relay.pending import PendingCall
from hypha_cluster.relay.tracing import Tracer
from hypha_cluster.supervision import Supervisor, Tasks

_log = logging.getLogger(__name__)

_SERVICES: Final = "services."
_BUILT_IN: Final = "built-in"


class HubClient:
    """Answers what comes to the hub itself; calls of what it offers are for `services` to answer.

    max_message_size: bytes of a message in chunks that clients may send to the hub.
    """

    def __init__(
        self,
        delivery: Delivery,
        calls: HubCalls,
        services: HubServices,
        tracer: Tracer,
        max_message_size: int,
        supervisor: Supervisor,
    ) -> None:
        self._delivery = delivery
        self._calls = calls
        self._services = services
        self._tracer = tracer
        self._assembler = chunks.Assembler(min(HUB_MESSAGES, max_message_size))
        self._reader = FrameReader(max_message_size)
        self._tasks = Tasks(supervisor)
        self._serving: Counter[str] = Counter()  # caller → its calls that are at work

    async def stop(self) -> None:
        await self._tasks.stop()

    # Messages in chunks from one client to another.

    def relay_chunk(
        self,
        connection: Connection,
        frame: Frame,
        target: str,
        step: chunks.Step,
        call: PendingCall | None,
    ) -> None:
        """Pass on one call of the cache of `target`, and the answer to it.

        The next one has to wait for that: if one got lost, the target would put together other
        bytes than those that were checked. The hub places the call, in a session that nobody can
        guess, so that nobody but the target can say that it arrived.
        """
        caller = rpc.Caller.of(frame, connection.address, target)
        chunk = _outgoing(connection, target, frame.envelope["method"], step.args)
        self._run(self._relay_chunk(connection, caller, chunk, step, call), caller)

    async def _relay_chunk(
        self,
        connection: Connection,
        caller: rpc.Caller,
        chunk: Outgoing,
        step: chunks.Step,
        call: PendingCall | None,
    ) -> None:
        if not connection.chunks.goes_on(step):
            return  # its client has gone
        if not step.is_last:
            self._calls.keep_alive(chunk, step.session)
        try:
            result = await self._calls.place(chunk, whole=True)
        except HubError as error:
            if call is not None:
                self._delivery.unsent(caller.called, call)
            connection.chunks.failed(step)
            self.clear_away(connection)
            self._reply_now(caller, caller.reject, rpc.error(str(error)))
        else:
            connection.chunks.arrived(step)
            if step.is_last:
                self._calls.let_go(chunk, step.session)
            self._reply_now(caller, caller.resolve, result)

    def clear_away(self, connection: Connection) -> None:
        """Remove what is left in message caches of messages that do not go on.

        Nobody else does: only the hub knows their keys.
        """
        for leftover in connection.chunks.take_leftovers():
            message = _outgoing(connection, leftover.target, "", [])
            self._calls.let_go(message, leftover.key)
            self._calls.let_go(message, leftover.session)
            if leftover.method is not None:
                error = BadFrame(f"The answer of {connection.address} was refused, or broken off.")
                self._delivery.reject_answer(
                    connection.address, leftover.target, leftover.method, error
                )

    def target_left(self, address: str, error: HubError) -> None:
        """Nobody is at `address` any more: end the calls that wait for it."""
        self._assembler.forget(address)
        self._calls.target_left(address, error)

    def node_ended(self, node: str, error: HubError) -> None:
        """A gateway is gone: end the calls that wait for an answer of its own."""
        self._calls.node_ended(node, error)

    def is_serving(self, address: str) -> bool:
        """Whether a call of this client to the hub is at work."""
        return address in self._serving

    # What comes to the hub.

    def receive(self, frame: Frame, source: str, target: str) -> None:
        """Take a checked frame from `source` to `target`, an address of the hub's."""
        method: str = frame.envelope["method"]
        if method.startswith(guard.CACHE):
            self._receive_chunk(frame, source, target)
        elif method.startswith(_SERVICES):
            self._receive_call(frame, source, target)
        else:
            self._receive_answer(frame, source, target)

    def _receive_answer(self, frame: Frame, source: str, target: str) -> None:
        if rpc.is_answer(frame.envelope["method"]):
            self._calls.settle(frame, source)
            return
        caller = rpc.Caller.of(frame, source, target)
        try:
            callback = self._calls.callback(frame, source)
        except HubError as error:
            self._reply_now(caller, caller.reject, rpc.error(str(error)))
            return
        if callback is None:
            self._reply_now(caller, caller.resolve, None)
        else:
            work = self._answer_callback(caller, callback)
            callback.session.tasks.spawn("callback", work, lambda error: self._failed(caller))

    async def _answer_callback(self, caller: rpc.Caller, callback: Callback) -> None:
        try:
            await self._answer_with(caller, callback.session.answer(callback))
        except asyncio.CancelledError:
            text = f"Parent session was closed: {callback.session.name}"
            self._reply_now(caller, caller.reject, rpc.error(text))
            raise

    def _receive_call(self, frame: Frame, source: str, target: str) -> None:
        service, _, function = frame.envelope["method"][len(_SERVICES) :].partition(".")
        args, kwargs = arguments_of(frame)
        caller = rpc.Caller.of(frame, source, target)
        call = Call(caller, service, function, args, kwargs)
        if service == _BUILT_IN:
            with self._tracer.answer(frame.envelope, source):
                self._answer_now(call)
        else:
            self._run(self._answer(call, frame.envelope), caller)

    def _run(self, work: Coroutine[Any, Any, None], caller: rpc.Caller) -> None:
        self._serving[caller.address] += 1
        task = self._tasks.spawn(
            "answer", work, lambda error: self._failed(caller), detail=caller.address
        )
        task.add_done_callback(lambda task: self._finished(caller))

    def _finished(self, caller: rpc.Caller) -> None:
        self._serving[caller.address] -= 1
        if not self._serving[caller.address]:
            del self._serving[caller.address]

    def _failed(self, caller: rpc.Caller) -> None:
        text = "The hub failed to answer; its operator finds the cause in its log."
        self._reply_now(caller, caller.reject, rpc.error(text))

    def _answer_now(self, call: Call) -> None:
        """Answer without a task what waits for nothing: all clients ask when they connect."""
        caller = call.caller
        try:
            result = self._built_in(call)
        except HubError as error:
            self._reply_now(caller, caller.reject, rpc.error(str(error)))
        else:
            self._reply_now(caller, caller.resolve, result)

    def _built_in(self, call: Call) -> Any:
        if call.function == "ping":
            return "pong"
        if call.function != "get_service":
            raise FunctionNotFound(f"The hub has no function {_BUILT_IN}.{call.function}.")
        if call.args[:1] == [_BUILT_IN]:
            return rpc.built_in(call.caller.called)
        return self._services.describe(call)

    async def _answer(self, call: Call, envelope: dict[str, Any]) -> None:
        with self._tracer.answer(envelope, call.caller.address):
            await self._answer_with(call.caller, self._services.answer(call))

    async def _answer_with(self, caller: rpc.Caller, work: Coroutine[Any, Any, Any]) -> None:
        try:
            result = await self._with_heartbeat(caller, work)
        except HubError as error:
            await self._reply(caller, caller.reject, rpc.error(str(error)))
        else:
            await self._reply(caller, caller.resolve, result)

    async def _with_heartbeat(self, caller: rpc.Caller, work: Coroutine[Any, Any, Any]) -> Any:
        """Keep the caller from giving up while the hub is at work (protocol.md 3.4)."""
        if not caller.heartbeat or caller.interval <= 0:
            return await work
        heartbeat = Heartbeat(caller.interval, partial(self._beat, caller, caller.heartbeat))
        try:
            return await work
        finally:
            heartbeat.stop()

    def _beat(self, caller: rpc.Caller, heartbeat: str) -> None:
        seal = Seal(caller.called, ROOT.to_wire())
        envelope = rpc.call_envelope(caller.address, heartbeat)
        self._delivery.answer(caller.address, seal.call(envelope, b""))

    def _reply_now(self, caller: rpc.Caller, method: str | None, value: Any) -> None:
        if method is not None:
            seal = Seal(caller.called, ROOT.to_wire())
            envelope = rpc.call_envelope(caller.address, method)
            self._delivery.answer(caller.address, seal.call(envelope, pack({"args": [value]})))

    async def _reply(self, caller: rpc.Caller, method: str | None, value: Any) -> None:
        if method is None:
            return
        envelope = rpc.call_envelope(caller.address, method)
        if caller.session is not None:
            envelope["parent"] = caller.session
        try:
            await self._calls.send(Outgoing(caller.called, ROOT, envelope, {"args": [value]}))
        except HubError as error:
            _log.info("The answer did not reach %s: %s", caller.address, error)
            self._reply_now(caller, caller.reject, rpc.error(f"The answer got lost: {error}"))

    # Messages in chunks.

    def _receive_chunk(self, frame: Frame, source: str, target: str) -> None:
        caller = rpc.Caller.of(frame, source, target)
        try:
            call = chunks.parse_cache_call(frame)
            awaited = self._calls.awaited(call.key, source) if call.heartbeat else None
            message = (awaited.parts if awaited else self._assembler).take(source, call)
            if message is not None:
                self._receive_assembled(message, source, target)
        except BadFrame as error:
            self._reply_now(caller, caller.reject, rpc.error(str(error)))
        else:
            self._reply_now(caller, caller.resolve, None)

    def _receive_assembled(self, message: bytes, source: str, target: str) -> None:
        frame = self._reader.read(message)
        guard.check_call(frame, source, target)
        self.receive(frame, source, target)

    def forget(self, connection: Connection) -> None:
        """A client is gone; so is what it had begun to send."""
        self._assembler.forget(connection.address)
        connection.chunks.give_up_all()
        self.clear_away(connection)


def _outgoing(connection: Connection, target: str, method: str, args: list[Any]) -> Outgoing:
    """A call that the hub passes on for a client."""
    envelope = rpc.call_envelope(target, method)
    identity = connection.attachment.identity
    return Outgoing(connection.address, identity, envelope, {"args": args})
