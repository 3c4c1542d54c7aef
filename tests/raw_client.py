"""A client that sends what it is told to, well-formed or not, and shows every frame it gets."""

import asyncio
import itertools
import secrets
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

import msgpack
from websockets.asyncio.client import ClientConnection, connect as open_websocket
from websockets.exceptions import ConnectionClosed

from hypha_cluster.protocol.address import absolute, workspace_of
from tests.gateways import SECOND

LIMIT = 10 * SECOND
MANAGER = "workspace-manager"
CACHE = "services.built-in.message_cache."
WEBSOCKETS = "Python/3.11 websockets/13.1"  # of those with which the published client works

Function = Callable[..., Any]
NO_ANSWER = object()  # what a function returns that leaves its caller waiting


class Rejected(Exception):
    """The other side, or the hub in its place, has answered with an error."""


class Received(NamedTuple):
    """A frame that came, in its two halves."""

    envelope: dict[str, Any]
    body: dict[str, Any]

    @property
    def source(self) -> str:
        source: str = self.envelope["from"]
        return source

    @property
    def method(self) -> str:
        method: str = self.envelope.get("method", "")
        return method

    @property
    def args(self) -> list[Any]:
        args: list[Any] = self.body.get("args", [])
        return args


def pack(value: object) -> bytes:
    packed: bytes = msgpack.packb(value)
    return packed


def frame(envelope: object, *bodies: object) -> bytes:
    return pack(envelope) + b"".join(map(pack, bodies))


def unpack(data: bytes, limit: int = 1_024_000) -> Received:
    """Read a frame as strictly as the published Python client does."""
    unpacker = msgpack.Unpacker(max_buffer_size=limit)
    unpacker.feed(data)
    envelope = unpacker.unpack()
    return Received(envelope, unpacker.unpack() if unpacker.tell() < len(data) else {})


def call_envelope(to: str, method: str, **fields: Any) -> dict[str, Any]:
    return {"type": "method", "to": to, "method": method, **fields}


def promise_of(target: str, session: str) -> dict[str, Any]:
    def reference(name: str) -> dict[str, Any]:
        method = f"{session}.{name}"
        return {"_rtype": "method", "_rtarget": target, "_rmethod": method, "_rpromise": False}

    return {"resolve": reference("resolve"), "reject": reference("reject")}


class RawClient:
    """One connection. What comes is answered by `functions`, and kept in `received`."""

    def __init__(self, socket: ClientConnection, client_id: str) -> None:
        self.client_id = client_id
        self.workspace = ""
        self.user: dict[str, Any] = {}
        self.info: dict[str, Any] = {}
        self.received: list[Received] = []
        self.functions: dict[str, Function] = {"services.built-in.ping": lambda text: "pong"}
        self._socket = socket
        self._sessions = (f"{secrets.token_hex(6)}{number}" for number in itertools.count())
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._arrived = asyncio.Condition()
        self._at_work: set[asyncio.Task[None]] = set()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def connect(
        cls, base_url: str, client_id: str = "", *, forwarded_for: str = "", **query: str
    ) -> Self:
        """Connect as a published client does, or fail with websockets' InvalidStatus.

        forwarded_for: the address from which a proxy says that it comes.
        """
        client_id = client_id or f"raw-{secrets.token_hex(6)}"
        parameters = urlencode({"client_id": client_id, **query})
        url = f"{base_url.replace('http', 'ws', 1)}/ws?{parameters}"
        socket = await open_websocket(
            url,
            compression=None,
            max_size=None,
            ping_interval=None,
            user_agent_header=WEBSOCKETS,
            additional_headers={"X-Forwarded-For": forwarded_for} if forwarded_for else None,
        )
        client = cls(socket, client_id)
        try:
            client.info = await client.manager("get_connection_info")
        except BaseException:
            await client.close()
            raise
        client.workspace, client.user = client.info["workspace"], client.info["user_info"]
        return client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def address(self) -> str:
        return f"{self.workspace}/{self.client_id}"

    async def close(self, code: int = 1000) -> None:
        await self._socket.close(code)
        await self._reader

    def leave(self) -> object:
        """Begin to leave for good; as the function of a service: answer nothing."""
        self._leaving = asyncio.create_task(self._socket.close())
        return NO_ANSWER

    def break_off(self) -> None:
        """End the TCP connection without a word."""
        self._socket.transport.abort()

    def pause(self) -> None:
        """Take nothing from the network, as a client that is slow."""
        self._socket.transport.pause_reading()

    def resume(self) -> None:
        self._socket.transport.resume_reading()

    async def closed(self) -> int | None:
        """Wait for the end of the connection, and return the close code."""
        async with asyncio.timeout(LIMIT):
            await self._reader
        return self._socket.close_code

    # What goes out.

    async def send_raw(self, data: bytes | str) -> None:
        await self._socket.send(data)

    async def send(self, envelope: dict[str, Any], *bodies: object) -> None:
        await self.send_raw(frame(envelope, *bodies))

    def new_session(self) -> str:
        return next(self._sessions)

    async def call(self, to: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a function and return what it returns."""
        body = {"args": [*args, kwargs], "with_kwargs": True} if kwargs else {"args": list(args)}
        return await self.place(call_envelope(to, method), body)

    async def place(
        self, envelope: dict[str, Any], body: dict[str, Any], limit: float = LIMIT
    ) -> Any:
        """Send a call with a promise, and wait for the answer."""
        session = self.new_session()
        answer = self._waiting[session] = asyncio.get_running_loop().create_future()
        promise = promise_of(self.client_id, session)
        await self.send({**envelope, "session": session}, {**body, "promise": promise})
        async with asyncio.timeout(limit):
            return await answer

    async def manager(self, function: str, *args: Any, **kwargs: Any) -> Any:
        return await self.call(MANAGER, f"services.default.{function}", *args, **kwargs)

    async def offer(
        self,
        service: str,
        visibility: str = "protected",
        *,
        kind: str = "generic",
        **functions: Any,
    ) -> str:
        """Register a service, in the way of `rpc.register_service`; return its full id."""
        config = {"visibility": visibility, "require_context": False}
        described = {
            name: {
                "_rtype": "method",
                "_rtarget": self.address,
                "_rmethod": f"services.{service}.{name}",
                "_rpromise": True,
            }
            for name in functions
        }
        api = {"id": service, "name": service, "type": kind, "config": config, **described}
        self.functions |= {f"services.{service}.{name}": f for name, f in functions.items()}
        self.functions["services.built-in.get_service"] = lambda wanted: api
        info = {"id": f"{self.client_id}:{service}", "type": kind, "config": config}
        await self.manager("update_client_info", {"id": self.client_id, "services": [info]})
        return f"{self.address}:{service}"

    async def cache(self, to: str, action: str, *args: Any) -> Any:
        """Call a message cache, as for a message in chunks."""
        return await self.call(to, CACHE + action, *args)

    # What comes in.

    def take_chunks(self) -> None:
        """Have a message cache, and take what is put together in it for a frame."""
        parts: dict[str, bytearray] = {}

        def create(key: str, *_: object) -> None:
            parts[key] = bytearray()

        def append(key: str, data: bytes, *_: object) -> None:
            parts[key] += data

        def process(key: str, *_: object) -> None:
            message = unpack(bytes(parts.pop(key)), 2**30)
            self._taking = asyncio.create_task(self._take(message))

        for action in (create, append, process):
            self.functions[CACHE + action.__name__] = action

    async def until(self, condition: Callable[[Received], bool]) -> Received:
        """Wait for a frame, or return the first that has come already."""

        def found() -> Received | None:
            return next((frame for frame in self.received if condition(frame)), None)

        async with asyncio.timeout(LIMIT), self._arrived:
            await self._arrived.wait_for(lambda: found() is not None)
        frame = found()
        assert frame is not None
        return frame

    async def _read(self) -> None:
        try:
            async for data in self._socket:
                assert isinstance(data, bytes), f"a client must never be sent text: {data!r}"
                received = unpack(data)
                self.received.append(received)
                await self._take(received)
                async with self._arrived:
                    self._arrived.notify_all()
        except ConnectionClosed:
            pass
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.cancel("the connection is over")

    async def _take(self, received: Received) -> None:
        session, _, verb = received.method.rpartition(".")
        if session in self._waiting:
            self._settle(self._waiting[session], verb, received.args)
        elif received.method in self.functions and "promise" in received.body:
            result = self.functions[received.method](*received.args)
            if asyncio.iscoroutine(result):  # it may call others, so what comes is read meanwhile
                task = asyncio.create_task(self._answer_later(received, result))
                self._at_work.add(task)
                task.add_done_callback(self._at_work.discard)
            else:
                await self._answer(received, result)

    async def _answer_later(self, received: Received, work: Coroutine[Any, Any, Any]) -> None:
        await self._answer(received, await work)

    async def _answer(self, received: Received, result: Any) -> None:
        resolve = received.body["promise"].get("resolve")
        if result is not NO_ANSWER and resolve is not None:
            target = absolute(resolve["_rtarget"], workspace_of(received.source))
            await self.send(call_envelope(target, resolve["_rmethod"]), {"args": [result]})

    @staticmethod
    def _settle(answer: asyncio.Future[Any], verb: str, args: list[Any]) -> None:
        if answer.done():
            return
        if verb == "resolve":
            answer.set_result(args[0])
        elif verb == "reject":
            answer.set_exception(Rejected(args[0]["_rvalue"]))
