"""Places calls of the hub at clients; sends what is long in chunks."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final

from hypha_cluster.errors import (
    ClientAway,
    ClientBusy,
    ClientLeft,
    ClientNotFound,
    HubError,
    Overloaded,
    PermissionDenied,
    RedisUnavailable,
    RemoteError,
    SessionClosed,
)
from hypha_cluster.hub.calls import Behalf, Outgoing, PlacedCall
from hypha_cluster.hub.sessions import Callback, CallSession
from hypha_cluster.identity.access import ROOT
from hypha_cluster.protocol import chunks, guard, rpc
from hypha_cluster.protocol.address import node_of, peer_address, workspace_of
from hypha_cluster.protocol.envelope import Frame, pack, pack_apart
from hypha_cluster.protocol.limits import ALIVE, LONG_MESSAGES, PARTS, SINGLE_FRAME
from hypha_cluster.protocol.room import Room
from hypha_cluster.randomness import unguessable
from hypha_cluster.relay.allowance import UNBOUNDED
from hypha_cluster.relay.delivery import Delivery
from hypha_cluster.relay.tracing import Tracer
from hypha_cluster.supervision import Supervisor, Tasks

HEARTBEAT: Final = "heartbeat"  # the callback of rpc.promise by which a callee shows life
# The errors with which a hub rejects calls, by name.
_KINDS: Final[dict[str, type[HubError]]] = {
    kind.__name__: kind
    for kind in (ClientAway, ClientBusy, ClientLeft, ClientNotFound, RedisUnavailable)
}


class HubCalls:
    """Calls clients' functions; a client has `call_timeout` seconds to answer.

    max_answer: bytes of an answer in chunks.
    """

    def __init__(
        self,
        node: str,
        delivery: Delivery,
        tracer: Tracer,
        call_timeout: float,
        supervisor: Supervisor,
        max_answer: int,
    ) -> None:
        self._node = node
        self._delivery = delivery
        self._tracer = tracer
        self._call_timeout = call_timeout
        self._supervisor = supervisor
        self._max_answer = max_answer
        self._room = Room(LONG_MESSAGES)
        self._parts = Room(max(PARTS, 4 * max_answer))  # of answers that come in chunks
        self._placed: dict[str, PlacedCall] = {}
        self._by_target: defaultdict[str, set[str]] = defaultdict(set)  # sessions of calls
        self._sessions: dict[str, CallSession] = {}

    def call(
        self,
        target: str,
        method: str,
        args: list[Any],
        kwargs: dict[str, Any] | None = None,
        *,
        behalf: Behalf | None = None,
        patient: bool = False,
    ) -> Coroutine[Any, Any, Any]:
        """Call a function of a client; the encoded result is to be awaited.

        behalf: who the client is told is calling, by default the hub in the client's workspace.
        patient: go on waiting while the client says that it is at work. Raises CallTimeout when
        there is no answer, ClientNotFound or ClientLeft at once when nobody is there, RemoteError
        when the function fails.
        """
        user, workspace, mail = behalf or (ROOT, workspace_of(target), UNBOUNDED)
        source = peer_address(workspace, self._node)
        body = {"args": [*args, kwargs], "with_kwargs": True} if kwargs else {"args": args}
        envelope = rpc.call_envelope(target, method)
        return self.place(Outgoing(source, user, envelope, body, mail), patient=patient)

    def tell(self, target: str, method: str, behalf: Behalf) -> None:
        """Call a function of a client with no arguments, whose answer nobody waits for."""
        source = peer_address(behalf.workspace, self._node)
        envelope = rpc.call_envelope(target, method)
        frame = Outgoing(source, behalf.user, envelope, {"args": []})
        self._delivery.send(target, frame.sealed(envelope, pack(frame.body)), None, behalf.mail)

    @contextlib.asynccontextmanager
    async def session(
        self, target: str, *, behalf: Behalf | None = None
    ) -> AsyncIterator[CallSession]:
        """Converse with a client: call it, and let it call what the session offers.

        When the block ends, calls that the client still makes are refused, and what it was asked to
        do is broken off: a published client does so when nobody answers its heartbeat any more.
        """
        workspace = behalf.workspace if behalf is not None else workspace_of(target)

        async def place(method: str, args: list[Any], kwargs: dict[str, Any] | None) -> Any:
            return await self.call(target, method, args, kwargs, behalf=behalf, patient=True)

        name, tasks = self._new_session(), Tasks(self._supervisor)
        address = peer_address(workspace, self._node)
        session = self._sessions[name] = CallSession(name, target, address, place, tasks)
        try:
            yield session
        finally:
            del self._sessions[name]
            await tasks.stop()

    async def is_alive(self, address: str) -> bool:
        """Whether a client that looks attached still answers."""
        try:
            async with asyncio.timeout(ALIVE):
                await self.call(address, "services.built-in.ping", ["ping"])
        except (TimeoutError, HubError):
            return False
        return True

    async def place(self, frame: Outgoing, *, patient: bool = False, whole: bool = False) -> Any:
        """Send a call and wait for its answer. whole: it is a chunk itself, never cut again."""
        session, target = self._new_session(), frame.envelope["to"]
        placed = PlacedCall(target, frame.envelope["method"], self._call_timeout)
        self._placed[session] = placed
        self._by_target[target].add(session)
        frame.envelope["session"] = session
        interval = self._call_timeout / 2 if patient else 0.0
        answers_to = peer_address(workspace_of(frame.source), self._node)
        frame.body["promise"] = rpc.promise(answers_to, session, interval)
        try:
            with self._tracer.place(frame.envelope):
                if (rest := self.send(frame, placed.fail, whole=whole)) is not None:
                    async with asyncio.timeout(self._call_timeout):
                        await rest
                return await placed.answer
        except TimeoutError:
            raise placed.late() from None
        finally:
            self._drop(session)

    def _drop(self, session: str) -> None:
        placed = self._placed.pop(session)
        placed.stop()
        target = placed.target
        if placed.parts is not None:
            placed.parts.forget(target)
        self._by_target[target].discard(session)
        if not self._by_target[target]:
            del self._by_target[target]

    def _new_session(self) -> str:
        """A name that nobody can guess; else another client could answer in the callee's place."""
        return unguessable()

    def send(
        self,
        frame: Outgoing,
        reject: Callable[[HubError], None] | None = None,
        *,
        whole: bool = False,
    ) -> Coroutine[Any, Any, None] | None:
        """Send in one frame or, when that is too much for clients, in chunks (protocol.md 4).

        These are sent by what is returned, which is to be awaited. whole: it is a chunk itself,
        never cut again.
        """
        target, body = frame.envelope["to"], pack_apart(frame.body)
        head = self._tracer.send(frame.envelope, frame.sealed(frame.envelope, b""))
        if not whole and len(head) + len(body) > SINGLE_FRAME:
            return self._send_chunks(frame, head, body)
        sealed = b"".join((head, body))
        if "promise" in frame.body:
            self._delivery.send(target, sealed, reject, frame.mail)
        else:
            self._delivery.answer(target, sealed)
        return None

    async def _send_chunks(self, frame: Outgoing, head: bytes, body: memoryview) -> None:
        key, parent = self._new_session(), frame.envelope.get("parent")
        target, size = frame.envelope["to"], len(head) + len(body)
        if not self._room.has(target, size):
            raise Overloaded(f"Too much is on its way to {target} already; let it take that first.")
        self._room.take(target, size)
        try:
            await self._cache(frame, "create", [key, False])
            for part in chunks.split(head, body):
                self.keep_alive(frame, parent)
                await self._cache(frame, "append", [key, part, False])
            await self._cache(frame, "process", [key, False])
        except (HubError, asyncio.CancelledError):
            self.let_go(frame, key)  # else the target keeps what has come
            raise
        finally:
            self._room.take(target, -size)
            self.let_go(frame, parent)

    def keep_alive(self, message: Outgoing, session: str | None) -> None:
        """Keep a session at the target from timing out while a long message for it comes in.

        A client starts the timer of a session again whenever its cache is called with the session's
        name as the key. The hub uses other keys for the message itself, since others know that
        name; so this puts an empty entry there.
        """
        if session is not None:
            self._tell_cache(message, "create", [session, True, True])

    def let_go(self, message: Outgoing, session: str | None) -> None:
        """Remove an entry from the target's cache."""
        if session is not None:
            self._tell_cache(message, "remove", [session])

    def _tell_cache(self, message: Outgoing, action: str, args: list[Any]) -> None:
        target = message.envelope["to"]
        envelope = rpc.call_envelope(target, guard.CACHE + action)
        sealed = message.sealed(envelope, pack({"args": args}))
        self._delivery.send(target, sealed, None, message.mail)

    async def _cache(self, message: Outgoing, action: str, args: list[Any]) -> None:
        """Call the target's cache in the name of the message's sender, as whom it dispatches it."""
        envelope = rpc.call_envelope(message.envelope["to"], guard.CACHE + action)
        chunk = Outgoing(message.source, message.user, envelope, {"args": args}, message.mail)
        await self.place(chunk)

    # From clients that were called.

    def awaited(self, session: str, source: str) -> chunks.Assembler | None:
        """Where the answer of `source` comes together; None if no call waits for it."""
        placed = self._placed.get(session)
        if placed is None or placed.target != source:
            return None
        if placed.parts is None:
            placed.parts = chunks.Assembler(self._max_answer, self._parts)
        return placed.parts

    def settle(self, frame: Frame, source: str) -> None:
        """Take the answer of `source` to a call."""
        session, _, verb = frame.envelope["method"].rpartition(".")
        placed = self._placed.get(session)
        if placed is None or placed.target != source or placed.answer.done():
            return
        args = frame.body.get("args") or [None]
        if verb == "resolve":
            placed.answer.set_result(args[0])
        else:
            is_from_hub = frame.envelope.get("user", {}).get("id") == ROOT.id
            placed.fail(_error_of(args[0], is_from_hub=is_from_hub))

    def callback(self, frame: Frame, source: str) -> Callback | None:
        """Take a call of a function that a session offers; None for a heartbeat, which is noted.

        Raises SessionClosed, PermissionDenied, or BadRequest for what is wrong with the call.
        """
        method: str = frame.envelope["method"]
        name, _, function = method.partition(".")
        known = self._sessions.get(name) or self._placed.get(name)
        if known is None:
            raise SessionClosed(f"Parent session was closed: {name}")
        if known.target != source:
            raise PermissionDenied(f"Access denied for method call {method} from {source}.")
        if isinstance(known, CallSession):
            return known.take(function, frame)
        if function != HEARTBEAT or known.answer.done():
            raise SessionClosed(f"Parent session was closed: {name}")
        known.wait_anew()
        return None

    def __len__(self) -> int:
        return len(self._placed)

    def waiting_for(self, target: str) -> int:
        """How many calls of the hub's own wait for a target."""
        return len(self._by_target.get(target, ()))

    def target_left(self, address: str, error: HubError) -> None:
        """The client at `address` has left: end the calls that wait for it."""
        for session in self._by_target.get(address, ()):
            self._placed[session].fail(error)

    def node_ended(self, node: str, error: HubError) -> None:
        """A gateway is gone: end the calls that were made to the gateway itself."""
        for address in [each for each in self._by_target if node_of(each) == node]:
            self.target_left(address, error)


def _error_of(value: object, *, is_from_hub: bool) -> HubError:
    """The error of a rejected call: its callee's, or the hub's when the call came to nothing."""
    kind = _KINDS.get(rpc.error_kind(value), RemoteError) if is_from_hub else RemoteError
    return kind(rpc.error_text(value))
