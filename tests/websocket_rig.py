"""A WebSocket client that may misbehave, and the server that it does it to."""

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import threading
import weakref
from collections.abc import Callable, Iterator
from queue import Queue
from typing import Any

import hypercorn
import uvloop
from hypercorn.asyncio import serve
from websockets.speedups import apply_mask

from hypha_cluster.serving.http11.websocket_frames import CLOSE, FIN, NO_CODE, header
from hypha_cluster.serving.http11.websocket_upgrade import EXTENSION, end_outliving
from tests.gateways import SECOND

LIMIT = 1_000_000
PATIENCE = 30 * SECOND
MASK = b"\x0f\xf0\x55\xaa"
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Application:
    """Does what a path says, and keeps what a test wants to know."""

    def __init__(self) -> None:
        self.endings: Queue[tuple[int, str]] = Queue()
        self.sent: Queue[int] = Queue()
        self.go = asyncio.Event()
        self.directs: list[weakref.ref[Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await self._live(receive, send)
        assert (await receive())["type"] == "websocket.connect"
        name = scope["path"].strip("/").replace("/", "_")
        if not name.startswith("refuse"):
            await send({"type": "websocket.accept"})
            if EXTENSION in scope["extensions"]:
                self.directs.append(weakref.ref(scope["extensions"][EXTENSION]))
        await getattr(self, name)(scope["extensions"].get(EXTENSION), receive, send)

    async def _live(self, receive: Any, send: Any) -> None:
        for stage in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{stage}.complete"})

    async def refuse(self, direct: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.close"})

    async def refuse_aloud(self, direct: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"7")]
        await send({"type": "websocket.http.response.start", "status": 403, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b"not you"})

    async def asgi(self, direct: Any, receive: Any, send: Any) -> None:
        """Echo with nothing but ASGI."""
        while (event := await receive())["type"] == "websocket.receive":
            await send({**event, "type": "websocket.send"})
        self.endings.put((event["code"], event["reason"]))

    async def direct(self, direct: Any, receive: Any, send: Any) -> None:
        """Echo with callbacks."""

        def echo(message: bytes | str) -> None:
            (direct.send if isinstance(message, bytes) else direct.send_text)(message)

        direct.start(echo, lambda: None)
        self.endings.put(await direct.wait_closed())

    async def outlive(self, direct: Any, receive: Any, send: Any) -> None:
        """Echo with callbacks, and be gone."""

        def echo(message: bytes | str) -> None:
            (direct.send if isinstance(message, bytes) else direct.send_text)(message)

        direct.start(echo, lambda: None)
        await direct.outlive(lambda code, reason: self.endings.put((code, reason)))

    async def http2(self, direct: Any, receive: Any, send: Any) -> None:
        assert direct is None
        await send({**await receive(), "type": "websocket.send"})

    async def asgi_close(self, direct: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.close", "code": 4000, "reason": "enough"})
        event = await receive()
        self.endings.put((event["code"], event["reason"]))

    async def direct_close(self, direct: Any, receive: Any, send: Any) -> None:
        direct.start(lambda message: self.sent.put(len(message)), lambda: None)
        direct.close(4000, "enough")
        direct.send(b"too late")
        self.endings.put(await direct.wait_closed())

    async def direct_close_paused(self, direct: Any, receive: Any, send: Any) -> None:
        direct.pause()
        direct.close(4000)
        self.endings.put(await direct.wait_closed())

    async def asgi_return(self, direct: Any, receive: Any, send: Any) -> None:
        pass

    async def asgi_raise(self, direct: Any, receive: Any, send: Any) -> None:
        raise LookupError("a mistake in the application")

    async def asgi_flood(self, direct: Any, receive: Any, send: Any) -> None:
        """Send more than any buffer takes, for as long as it is taken."""
        for _ in range(64):
            await send({"type": "websocket.send", "bytes": bytes(LIMIT)})
            self.sent.put(direct.buffered)

    async def direct_flood(self, direct: Any, receive: Any, send: Any) -> None:
        rest = [bytes(LIMIT)] * 64

        def go_on() -> None:
            while rest and direct.buffered < LIMIT:
                direct.send(rest.pop())
                self.sent.put(direct.buffered)

        direct.start(lambda message: None, go_on)
        go_on()
        self.endings.put(await direct.wait_closed())

    async def asgi_deaf(self, direct: Any, receive: Any, send: Any) -> None:
        """Take nothing until told to."""
        await self.go.wait()
        await self.asgi(direct, receive, send)

    async def direct_deaf(self, direct: Any, receive: Any, send: Any) -> None:
        direct.pause()
        await self.go.wait()
        direct.resume()
        await self.direct(direct, receive, send)


class Server:
    """Hypercorn with ours in it, in a thread with an event loop of its own."""

    def __init__(self, loop: str, application: Any = None, **settings: Any) -> None:
        self.application: Any = application or Application()
        self._runner = asyncio.Runner(loop_factory=LOOPS[loop])
        self._stop = asyncio.Event()
        self._settings = hypercorn.Config()
        self._settings.accesslog = None
        self._settings.errorlog = logging.getLogger("hypercorn.error")
        self._settings.websocket_max_message_size = LIMIT
        for key, value in settings.items():
            setattr(self._settings, key, value)

    @contextlib.contextmanager
    def running(self) -> Iterator["Server"]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
            self._settings.bind = [f"fd://{os.dup(listener.fileno())}"]
            self.peers: list[Any] = []
            thread = threading.Thread(target=self._run)
            thread.start()
            try:
                yield self
            finally:
                for peer in self.peers:
                    peer.socket.close()
                self.stop()
                thread.join(PATIENCE)
                assert not thread.is_alive()

    def call(self, function: Callable[[], Any]) -> Any:
        """Call something in the server's event loop."""

        async def call() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self._runner.get_loop()).result(PATIENCE)

    def tasks(self) -> set[asyncio.Task[Any]]:
        found: set[asyncio.Task[Any]] = self.call(
            lambda: asyncio.all_tasks() - {asyncio.current_task()}
        )
        return found

    def outlast(self, tasks: set[asyncio.Task[Any]]) -> None:
        """Wait until these tasks are done."""

        async def wait() -> None:
            await asyncio.gather(*tasks)

        asyncio.run_coroutine_threadsafe(wait(), self._runner.get_loop()).result(PATIENCE)

    def stop(self) -> None:
        if not self._stop.is_set():
            self.call(self._stop.set)

    def connect(self, path: str, secure: bool = False, glued: bytes = b"") -> "Peer":
        peer = Peer(connected(self.port, secure=secure), path, glued)
        self.peers.append(peer)
        return peer

    def _run(self) -> None:
        with self._runner:
            self._runner.run(self._serve())

    async def _serve(self) -> None:
        application: Any = self.application
        await serve(application, self._settings, shutdown_trigger=self._stop.wait, mode="asgi")
        await end_outliving(self._settings.graceful_timeout)


def connected(port: int, *, secure: bool = False) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    if not secure:
        return connection
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(connection)


class Peer:
    """A client that keeps to the protocol only as far as a test wants it to."""

    def __init__(self, connection: socket.socket, path: str, glued: bytes) -> None:
        self.socket = connection
        self.socket.sendall(HANDSHAKE.format(path=path).encode() + glued)
        self.answer = b""
        while not self.answer.endswith(b"\r\n\r\n"):
            self.answer += self.read(1)

    def read(self, size: int) -> bytes:
        taken = bytearray()
        while len(taken) < size:
            chunk = self.socket.recv(size - len(taken))
            if not chunk:
                raise EOFError
            taken += chunk
        return bytes(taken)

    def send(self, first: int, payload: bytes = b"") -> None:
        self.socket.sendall(masked(first, payload))

    def close(self, code: int, reason: str = "") -> None:
        self.send(FIN | CLOSE, code.to_bytes(2) + reason.encode())

    def frame(self) -> tuple[int, bytes]:
        """Read a frame; return its first byte and its payload."""
        first, size = self.read(2)
        if size > 125:
            size = int.from_bytes(self.read(2 if size == 126 else 8))
        return first, self.read(size)

    def ending(self) -> tuple[int, str]:
        """Read up to the end of the TCP connection; return what the close frame before it said."""
        first, payload = self.frame()
        while first != FIN | CLOSE:
            first, payload = self.frame()
        with contextlib.suppress(ssl.SSLEOFError):
            assert self.socket.recv(1) == b""
        if not payload:
            return NO_CODE, ""
        return int.from_bytes(payload[:2]), payload[2:].decode()


def masked(first: int, payload: bytes = b"") -> bytes:
    """Write a frame as a client does."""
    opening = bytearray(header(0, len(payload)))
    opening[0], opening[1] = first, opening[1] | 0x80
    return bytes(opening) + MASK + apply_mask(payload, MASK)
