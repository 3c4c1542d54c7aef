"""Takes WebSocket connections over from Hypercorn once it has done the handshake.

Hypercorn listens, does TLS and HTTP/1.1, and decides with the application whether to upgrade. Its
own WebSocket path then costs three times what a small frame costs here. What comes by HTTP/2, or
otherwise does not fit, stays on that path.
"""

import asyncio
import contextlib
from itertools import takewhile
from typing import Any, ClassVar, cast
from weakref import WeakKeyDictionary

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.protocol import h2, h11, ws_stream
from hypercorn.protocol.events import Body, Data, Event as StreamEvent, Request, StreamClosed
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.typing import AppWrapper
from hypercorn.utils import UnexpectedMessageError
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection
from wsproto.handshake import server_extensions_handshake

from hypha_cluster.serving.websocket_connection import (
    DirectWebSocket,
    Event,
    Timeouts,
)
from hypha_cluster.serving.websocket_frames import (
    ABNORMAL,
    INTERNAL_ERROR,
    NORMAL,
    SERVICE_RESTART,
    Close,
)

__all__ = ["EXTENSION", "DirectWebSocket", "Timeouts", "end_outliving", "install", "uninstall"]

EXTENSION = "hypha.direct"  # the key of the DirectWebSocket in a scope's extensions
DEFAULT_TIMEOUTS = Timeouts()
SWEEPS = 20  # the keep-alive timer fires at most so often per interval


def install(timeouts: Timeouts = DEFAULT_TIMEOUTS, *, fast: bool = True) -> None:
    """Put our streams in the place of Hypercorn's own, in this process."""
    DirectStream.timeouts = timeouts
    vars(h11).update(WSStream=DirectStream if fast else TellingStream)
    vars(h2).update(WSStream=TellingStream)
    # Compression costs several times what it saves, also where Hypercorn's own path is taken.
    vars(ws_stream).update(server_extensions_handshake=lambda requested, supported: None)


def uninstall() -> None:
    """Give Hypercorn back what is its own."""
    for module in (h11, h2):
        vars(module).update(WSStream=WSStream)
    vars(ws_stream).update(server_extensions_handshake=server_extensions_handshake)


async def end_outliving(patience: float) -> None:
    """Take leave of the peers whose applications have returned; cut off who doesn't answer."""
    loop = asyncio.get_running_loop()
    sockets = [socket for socket in DirectStream.outliving if socket.loop is loop]
    for socket in sockets:
        socket.close(SERVICE_RESTART)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            for socket in sockets:
                await socket.wait_closed()
    for socket in sockets:
        socket.abort()
        await socket.wait_closed()


class Released(asyncio.Transport):
    """What Hypercorn has in the place of a transport that was taken over."""

    def is_closing(self) -> bool:
        return True

    def close(self) -> None:
        """Leave it open: it belongs to a DirectWebSocket."""


RELEASED = Released()


class KeepAlive:
    """Pings connections one interval after the other, with one timer for all of them."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._due: dict[DirectWebSocket, float] = {}  # soonest first, for all wait equally long
        self._timer: asyncio.TimerHandle | None = None

    def add(self, socket: DirectWebSocket) -> None:
        self._due[socket] = self._loop.time() + self._interval
        if self._timer is None:
            self._arm()

    def discard(self, socket: DirectWebSocket) -> None:
        self._due.pop(socket, None)
        if not self._due and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        soonest = next(iter(self._due.values()))
        earliest = self._loop.time() + self._interval / SWEEPS
        self._timer = self._loop.call_at(max(soonest, earliest), self._sweep)

    def _sweep(self) -> None:
        now = self._loop.time()
        self._timer = None
        for socket, _ in list(takewhile(lambda entry: entry[1] <= now, self._due.items())):
            del self._due[socket]
            self.add(socket)
            socket.check_alive(now)
        if self._due and self._timer is None:
            self._arm()


class TellingStream(WSStream):
    """Hypercorn's stream, but the application is told with which code and reason a peer closed.

    By Hypercorn's own account every end is abnormal, and nobody ever leaves.
    """

    _peer_close: CloseConnection | None = None

    async def handle(self, event: StreamEvent) -> None:
        await super().handle(event)
        if isinstance(event, Request) and self.app_put is not None:
            self._hypercorns_put, self.app_put = self.app_put, self._put_as_closed

    async def _put_as_closed(self, event: Event) -> None:
        if event["type"] == "websocket.disconnect" and self._peer_close is not None:
            close = self._peer_close
            event = {**event, "code": int(close.code), "reason": close.reason or ""}
        await self._hypercorns_put(event)

    async def _send_wsproto_event(self, event: Any) -> None:
        if isinstance(event, CloseConnection) and self._is_peer_closing():
            self._peer_close = event  # the answer, which says the same
        await super()._send_wsproto_event(event)

    def _is_peer_closing(self) -> bool:
        return self.connection.state is ConnectionState.REMOTE_CLOSING


class DirectStream(TellingStream):
    """Hypercorn's stream up to the handshake, and a DirectWebSocket from then on."""

    timeouts: ClassVar[Timeouts] = DEFAULT_TIMEOUTS
    outliving: ClassVar[dict[DirectWebSocket, KeepAlive | None]] = {}
    _keep_alives: ClassVar[WeakKeyDictionary[Any, KeepAlive]] = WeakKeyDictionary()

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._server = self._fitting_server()
        self._direct = DirectWebSocket(
            self.config.websocket_max_message_size, self.timeouts, self._let_write
        )
        self._writable: asyncio.Event | None = None  # made when it is first waited for
        self._taken_over = False
        self._early = b""
        self._exit_code = INTERNAL_ERROR

    async def handle(self, event: StreamEvent) -> None:
        if self._server is None:
            await super().handle(event)
        elif isinstance(event, Request):
            await self._begin(event)
        elif self._taken_over:
            return  # Hypercorn's reader says that it has ended: it was told so
        elif isinstance(event, (Body, Data)) and self.handshake.accepted:
            self._early += event.data
        elif isinstance(event, (Body, Data)):
            await super().handle(event)  # answers 400
            await self.send(StreamClosed(stream_id=self.stream_id))
        else:
            await super().handle(event)
            self._direct.connection_lost(None)
            self._tell_of_end(Close(ABNORMAL))  # also where Hypercorn says nothing: after a 400

    async def app_send(self, message: Any) -> None:
        if not self._taken_over:
            await super().app_send(message)
        elif message is None:
            await self._finish()
        elif message["type"] == "websocket.send":
            await self._send(message.get("bytes"), message.get("text"))
        elif message["type"] == "websocket.close":
            self._direct.close(int(message.get("code", NORMAL)), message.get("reason") or "")
            self._direct.discard_messages()
        else:
            raise UnexpectedMessageError(self.state, message["type"])

    def _fitting_server(self) -> TCPServer | None:
        """Return the server of an HTTP/1.1 connection whose reads have no time limit."""
        protocol = getattr(self.send, "__self__", None)
        if self.config.read_timeout is not None or not isinstance(protocol, h11.H11Protocol):
            return None
        server = getattr(protocol.send, "__self__", None)
        return server if isinstance(server, TCPServer) else None

    async def _begin(self, request: Request) -> None:
        self.app, self._app = cast(AppWrapper, self._run), self.app
        await super().handle(request)
        self.app = self._app
        if self.app_put is not None:
            self.app_put = self._put
            self._direct.inbox.put({"type": "websocket.connect"})

    async def _put(self, event: Event) -> None:
        self._direct.inbox.put(event)

    async def _run(self, scope: Any, hypercorns_receive: object, send: Any, *spawners: Any) -> None:
        """Run the application, with our own way to receive, and note how it ends."""
        scope["extensions"][EXTENSION] = self._direct
        receive: Any = self._direct.inbox.get
        try:
            await self._app(scope, receive, send, *spawners)
            self._exit_code = NORMAL
        except asyncio.CancelledError:
            self._exit_code = SERVICE_RESTART  # Hypercorn's time for a graceful end is over
            raise

    async def _accept(self, message: Any) -> None:
        await super()._accept(message)
        if self._server is not None and not self.closed:
            self._take_over(self._server)

    def _take_over(self, server: TCPServer) -> None:
        transport = cast(asyncio.Transport, server.writer.transport)
        if transport.is_closing():
            return
        self._taken_over = True
        protocol = transport.get_protocol()
        # Whether Hypercorn's reader has been woken up already or not, it has not run, so that all
        # that has come since it last did is here.
        buffer: bytearray = vars(server.reader)["_buffer"]
        earlier = self._early + bytes(buffer)
        buffer.clear()
        transport.resume_reading()  # the reader may have stopped it
        self._direct.attach(transport, earlier, self._lost)
        if (keep_alive := self._keep_alive()) is not None:
            keep_alive.add(self._direct)
        # For Hypercorn the connection is over: it stops to read, and to measure time.
        vars(server.writer)["_transport"] = RELEASED
        protocol.connection_lost(None)
        del self.connection  # kilobytes for frames that Hypercorn will never see

    def _lost(self, socket: DirectWebSocket, close: Close) -> None:
        if (keep_alive := self._keep_alive()) is not None:
            keep_alive.discard(self._direct)
        self._tell_of_end(close)

    def _tell_of_end(self, close: Close) -> None:
        event = {"type": "websocket.disconnect", "code": close.code, "reason": close.reason}
        self._direct.inbox.put(event)
        self._let_write()

    def _let_write(self) -> None:
        if self._writable is not None:
            self._writable.set()

    def _keep_alive(self) -> KeepAlive | None:
        interval = self.config.websocket_ping_interval
        if interval is None:
            return None
        if self.context not in self._keep_alives:
            self._keep_alives[self.context] = KeepAlive(interval)
        return self._keep_alives[self.context]

    async def _send_pings(self) -> None:
        if not self._taken_over:
            await super()._send_pings()

    async def _send(self, data: bytes | None, text: str | None) -> None:
        if data is not None:
            self._direct.send(bytes(data))
        elif isinstance(text, str):
            self._direct.send_text(text)
        else:
            raise TypeError("websocket.send needs bytes or text")
        if self._direct.writing_paused:
            self._writable = self._writable or asyncio.Event()
            self._writable.clear()
            await self._writable.wait()

    async def _finish(self) -> None:
        """Close what the application has left open, and hold Hypercorn off until it is closed."""
        if self._direct.outlives:
            self.outliving[self._direct] = self._keep_alive()
            self._direct.release(_forget)
            return
        self._direct.discard_messages()
        self._direct.close(self._exit_code)
        try:
            await self._direct.wait_closed()
        finally:
            self._direct.abort()


def _forget(socket: DirectWebSocket, close: Close) -> None:
    keep_alive = DirectStream.outliving.pop(socket)
    if keep_alive is not None:
        keep_alive.discard(socket)
