"""Calls that the hub places at clients, and what else it sends them, in chunks if it is long."""

import asyncio
import secrets
from collections.abc import Callable
from typing import Any, Final

from hypha_cluster.errors import CallTimeout, HubError, RemoteError
from hypha_cluster.hub.calls import Behalf, Outgoing, PlacedCall
from hypha_cluster.identity.access import ROOT
from hypha_cluster.protocol import chunks, guard, rpc
from hypha_cluster.protocol.address import workspace_of
from hypha_cluster.protocol.envelope import Frame, pack
from hypha_cluster.protocol.limits import SINGLE_FRAME
from hypha_cluster.relay.delivery import Delivery
from hypha_cluster.relay.tracing import Tracer

_ALIVE_PATIENCE: Final = 3.0  # seconds


def peer_address(workspace: str, node: str) -> str:
    """The address, in any workspace, that leads back to a node itself."""
    return f"{workspace}/~{node}"


class HubCalls:
    """Calls clients' functions; a client has `call_timeout` seconds to answer."""

    def __init__(self, node: str, delivery: Delivery, tracer: Tracer, call_timeout: float) -> None:
        self._node = node
        self._delivery = delivery
        self._tracer = tracer
        self._call_timeout = call_timeout
        self._loop = asyncio.get_running_loop()
        self._placed: dict[str, PlacedCall] = {}

    async def call(
        self,
        target: str,
        method: str,
        args: list[Any],
        kwargs: dict[str, Any] | None = None,
        *,
        behalf: Behalf | None = None,
        patient: bool = False,
    ) -> Any:
        """Call a function of a client; answer the encoded result.

        behalf: who the client is told is calling, by default the hub in the client's workspace.
        patient: go on waiting while the client says that it is at work.
        Ends in CallTimeout when there is no answer, in ClientNotFound or ClientLeft at once when
        nobody is there, in RemoteError when the function fails.
        """
        user, workspace = behalf or (ROOT, workspace_of(target))
        source = peer_address(workspace, self._node)
        body = {"args": [*args, kwargs], "with_kwargs": True} if kwargs else {"args": args}
        envelope = rpc.call_envelope(target, method)
        return await self.place(Outgoing(source, user, envelope, body), patient=patient)

    async def is_alive(self, address: str) -> bool:
        """Whether a client that looks attached still answers."""
        try:
            async with asyncio.timeout(_ALIVE_PATIENCE):
                await self.call(address, "services.built-in.ping", ["ping"])
        except (TimeoutError, HubError):
            return False
        return True

    async def place(self, frame: Outgoing, *, patient: bool = False, whole: bool = False) -> Any:
        """Send a call and wait for its answer; `whole`: it is a chunk itself."""
        with self._tracer.place(frame.envelope):
            return await self._place(frame, patient=patient, whole=whole)

    async def _place(self, frame: Outgoing, *, patient: bool, whole: bool) -> Any:
        session, target = self._new_session(), frame.envelope["to"]
        deadline = asyncio.timeout(self._call_timeout)
        placed = PlacedCall(target, self._loop.create_future(), deadline)
        self._placed[session] = placed
        frame.envelope["session"] = session
        interval = self._call_timeout / 2 if patient else 0.0
        answers_to = peer_address(workspace_of(frame.source), self._node)
        frame.body["promise"] = rpc.promise(answers_to, session, interval)
        try:
            async with deadline:
                await self.send(frame, lambda error: placed.fail(error), whole=whole)
                return await placed.answer
        except TimeoutError:
            method = frame.envelope["method"]
            raise CallTimeout(f"{target} did not answer {method} in time.") from None
        finally:
            del self._placed[session]

    def _new_session(self) -> str:
        """A name that nobody can guess: else one could have another client give the answer."""
        return secrets.token_hex(12)

    async def send(
        self,
        frame: Outgoing,
        reject: Callable[[HubError], None] | None = None,
        *,
        whole: bool = False,
    ) -> None:
        """Send in one frame or, when that is too much for clients, in chunks (PROTOCOL 4).

        whole: it is a chunk itself.
        """
        target = frame.envelope["to"]
        sealed = frame.sealed(frame.envelope, pack(frame.body))
        sealed = self._tracer.send(frame.envelope, sealed)
        if whole or len(sealed) <= SINGLE_FRAME:
            if "promise" in frame.body:
                self._delivery.send(target, sealed, reject)
            else:
                self._delivery.answer(target, sealed)
            return
        key, parent = self._new_session(), frame.envelope.get("parent")
        await self._cache(frame, "create", [key, False])
        for part in chunks.split(sealed):
            self.keep_alive(frame, parent)
            await self._cache(frame, "append", [key, part, False])
        await self._cache(frame, "process", [key, False])
        self.let_go(frame, parent)

    def keep_alive(self, message: Outgoing, session: str | None) -> None:
        """Keep a session from timing out which waits for a message that takes long.

        Its timer is started again by whatever has its name for a key. No part of a message has,
        because others know the name; so this puts an empty entry there.
        """
        if session is not None:
            self._tell_cache(message, "create", [session, True, True])

    def let_go(self, message: Outgoing, session: str | None) -> None:
        """Take that entry away again."""
        if session is not None:
            self._tell_cache(message, "remove", [session])

    def _tell_cache(self, message: Outgoing, action: str, args: list[Any]) -> None:
        target = message.envelope["to"]
        envelope = rpc.call_envelope(target, guard.CACHE + action)
        self._delivery.send(target, message.sealed(envelope, pack({"args": args})))

    async def _cache(self, message: Outgoing, action: str, args: list[Any]) -> None:
        """Call the target's cache as whoever the message is from: that is who it is said to be."""
        envelope = rpc.call_envelope(message.envelope["to"], guard.CACHE + action)
        await self.place(Outgoing(message.source, message.user, envelope, {"args": args}))

    def take_answer(self, frame: Frame, source: str) -> bool:
        """Take what `source` says of a call; say whether that is a heartbeat, to be answered."""
        session, _, verb = frame.envelope["method"].rpartition(".")
        placed = self._placed.get(session)
        if placed is None or placed.target != source or placed.answer.done():
            return False
        args = frame.body.get("args") or [None]
        if verb == "resolve":
            placed.answer.set_result(args[0])
        elif verb == "reject":
            placed.answer.set_exception(RemoteError(rpc.error_text(args[0])))
        elif verb == "heartbeat":
            placed.deadline.reschedule(self._loop.time() + self._call_timeout)
            return True
        return False

    def waiting_for(self, target: str) -> int:
        """How many calls of the hub's own wait for a target."""
        return sum(placed.target == target for placed in self._placed.values())

    def target_left(self, address: str, error: HubError) -> None:
        """Nobody is at `address` any more: end the calls that wait for it."""
        for placed in self._placed.values():
            if placed.target == address:
                placed.fail(error)
