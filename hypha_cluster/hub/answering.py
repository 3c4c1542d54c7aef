"""The hub's own client: places calls, and answers those that are made to it.

It is at `<workspace>/workspace-manager` on every node, for calls to the hub, and at
`<workspace>/~<node>` for answers to calls that this node has placed.
"""

import asyncio
import logging
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final

from hypha_cluster.errors import (
    FunctionNotFound,
    HubError,
)
from hypha_cluster.hub.calling import HubCalls
from hypha_cluster.hub.calls import Call, Heartbeat, Outgoing, arguments_of, memory_of
from hypha_cluster.hub.own_functions import OwnFunctions
from hypha_cluster.hub.replies import Replies
from hypha_cluster.hub.sessions import Callback, CallSession
from hypha_cluster.identity.access import ROOT
from hypha_cluster.protocol import chunks, guard, rpc
from hypha_cluster.protocol.envelope import Frame, FrameReader
from hypha_cluster.protocol.limits import HUB_MESSAGES, PARTS
from hypha_cluster.protocol.room import Room
from hypha_cluster.relay.tracing import Tracer
from hypha_cluster.supervision import Done, begin

_log = logging.getLogger(__name__)

_SERVICES: Final = "services."
_BUILT_IN: Final = "built-in"


class HubClient:
    """Answers what comes to the hub itself; `functions` does what callers ask of its services.

    max_message_size: bytes of a message in chunks that clients may send to the hub.
    """

    def __init__(
        self,
        replies: Replies,
        calls: HubCalls,
        functions: OwnFunctions,
        tracer: Tracer,
        max_message_size: int,
    ) -> None:
        self._replies = replies
        self._calls = calls
        self._functions = functions
        self._tracer = tracer
        self._assembler = chunks.Assembler(min(HUB_MESSAGES, max_message_size), Room(PARTS))
        self._reader = FrameReader(max_message_size)

    async def stop(self) -> None:
        await self._replies.stop()

    def target_left(self, address: str, error: HubError) -> None:
        """The client at `address` has left: end the calls that wait for it."""
        self._assembler.forget(address)
        self._calls.target_left(address, error)

    def node_ended(self, node: str, error: HubError) -> None:
        """A gateway is gone: end the calls that were made to the gateway itself."""
        self._calls.node_ended(node, error)

    def is_serving(self, address: str) -> bool:
        """Whether the hub is at work on a call of this client."""
        return self._replies.is_serving(address)

    # What comes to the hub.

    def receive(self, frame: Frame, source: str, target: str) -> None:
        """Take a checked frame from `source` to `target`, an address of the hub's."""
        method: str = frame.envelope["method"]
        if not method.startswith(_SERVICES):
            self._receive_answer(frame, source, target)
        elif method.startswith(guard.CACHE):
            self._receive_chunk(frame, source, target)
        else:
            self._receive_call(frame, source, target)

    def _receive_answer(self, frame: Frame, source: str, target: str) -> None:
        if rpc.is_answer(frame.envelope["method"]):
            self._calls.settle(frame, source)
            return
        caller = rpc.Caller.of(frame, source, target)
        try:
            callback = self._calls.callback(frame, source)
        except HubError as error:
            self._replies.send(caller, caller.reject, rpc.error(str(error)))
            return
        if callback is None:
            self._replies.send(caller, caller.resolve, None)
        else:
            self._begin_callback(caller, callback)

    def _begin_callback(self, caller: rpc.Caller, callback: Callback) -> None:
        """Answer at once what need not wait and is short; anything else in a task."""
        session, work = callback.session, callback.session.answer(callback)
        begun = begin(work) if callback.is_prompt else work
        if isinstance(begun, Done):
            if self._replies.send_short(caller, begun.result):
                return
            work = self._reply(caller, caller.resolve, begun.result)
        else:
            work = self._answer_callback(caller, session, begun)
        session.tasks.spawn("callback", work, lambda error: self._replies.failed(caller))

    async def _answer_callback(
        self, caller: rpc.Caller, session: CallSession, work: Coroutine[Any, Any, Any]
    ) -> None:
        try:
            await self._answer_with(caller, work)
        except asyncio.CancelledError:
            text = f"Parent session was closed: {session.name}"
            self._replies.send(caller, caller.reject, rpc.error(text))
            raise

    def _receive_call(self, frame: Frame, source: str, target: str) -> None:
        service, _, function = frame.envelope["method"][len(_SERVICES) :].partition(".")
        args, kwargs = arguments_of(frame)
        caller = rpc.Caller.of(frame, source, target)
        call = Call(caller, service, function, args, kwargs)
        if service == _BUILT_IN:
            with self._tracer.answer(frame.envelope, source):
                self._answer_now(call)
        elif (refusal := self._replies.refusal(caller, size := memory_of(frame))) is not None:
            self._replies.send(caller, caller.reject, rpc.error(str(refusal)))
        else:
            self._replies.run(self._answer(call, frame.envelope), caller, size)

    def _answer_now(self, call: Call) -> None:
        """Answer without a task what need not wait: all clients ask when they connect."""
        caller = call.caller
        try:
            result = self._built_in(call)
        except HubError as error:
            self._replies.send(caller, caller.reject, rpc.error(str(error)))
        else:
            self._replies.send(caller, caller.resolve, result)

    def _built_in(self, call: Call) -> Any:
        if call.function == "ping":
            return "pong"
        if call.function != "get_service":
            raise FunctionNotFound(f"The hub has no function {_BUILT_IN}.{call.function}.")
        if call.args[:1] == [_BUILT_IN]:
            return rpc.built_in(call.caller.target)
        return self._functions.describe(call)

    async def _answer(self, call: Call, envelope: dict[str, Any]) -> None:
        with self._tracer.answer(envelope, call.caller.address):
            await self._answer_with(call.caller, self._functions.answer(call))

    async def _answer_with(self, caller: rpc.Caller, work: Coroutine[Any, Any, Any]) -> None:
        heartbeat = self._heartbeat_for(caller)
        try:
            answer, value = caller.resolve, await work
        except HubError as error:
            answer, value = caller.reject, rpc.error(str(error))
        finally:
            if heartbeat is not None:
                heartbeat.stop()
        await self._reply(caller, answer, value)

    def _heartbeat_for(self, caller: rpc.Caller) -> Heartbeat | None:
        """Keep the caller from giving up while the hub is at work (protocol.md 3.4)."""
        if not caller.heartbeat or caller.interval <= 0:
            return None
        return Heartbeat(caller.interval, partial(self._replies.send, caller, caller.heartbeat))

    async def _reply(self, caller: rpc.Caller, method: str | None, value: Any) -> None:
        if method is None:
            return
        envelope = rpc.call_envelope(caller.address, method)
        if caller.session is not None:
            envelope["parent"] = caller.session
        try:
            frame = Outgoing(caller.target, ROOT, envelope, {"args": [value]})
            if (rest := self._calls.send(frame)) is not None:
                await rest
        except HubError as error:
            _log.info("The answer did not reach %s: %s", caller.address, error)
            self._replies.send(caller, caller.reject, rpc.error(f"The answer got lost: {error}"))

    # Messages in chunks.

    def _receive_chunk(self, frame: Frame, source: str, target: str) -> None:
        caller = rpc.Caller.of(frame, source, target)
        try:
            call = chunks.parse_cache_call(frame)
            awaited = self._calls.awaited(call.key, source) if call.heartbeat else None
            message = (awaited or self._assembler).take(source, call)
            if message is not None:
                self._receive_assembled(message, source, target)
        except HubError as error:
            self._replies.send(caller, caller.reject, rpc.error(str(error)))
        else:
            self._replies.send(caller, caller.resolve, None)

    def _receive_assembled(self, message: bytes, source: str, target: str) -> None:
        frame = self._reader.read(message)
        guard.check_call(frame, source, target)
        self.receive(frame, source, target)

    def forget(self, address: str) -> None:
        """A client is gone: drop what it had begun to send to the hub."""
        self._assembler.forget(address)
