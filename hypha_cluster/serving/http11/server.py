"""Takes connections over from Hypercorn, which listens, does TLS, and knows when to end.

On Hypercorn's own path an HTTP request and a WebSocket handshake cost twice as much as here, and a
small frame three times. HTTP/2 is left to Hypercorn.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, cast
from weakref import WeakKeyDictionary

from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio import run as hypercorns_run
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.protocol import h2, h11, ws_stream
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.typing import WorkerContext
from wsproto.handshake import server_extensions_handshake

from hypha_cluster.serving.http11.connection import RELEASED, Ends, HttpConnection, Site, Turn
from hypha_cluster.serving.http11.exchange import Exchange
from hypha_cluster.serving.http11.messages import Request
from hypha_cluster.serving.http11.websocket_connection import Timeouts
from hypha_cluster.serving.http11.websocket_stream import TellingStream
from hypha_cluster.serving.http11.websocket_upgrade import WebSocketUpgrade

DEFAULT_TIMEOUTS = Timeouts()


def install(timeouts: Timeouts = DEFAULT_TIMEOUTS, *, fast: bool = True) -> None:
    """Put our server in the place of Hypercorn's, in this process."""
    DirectServer.timeouts = timeouts
    vars(hypercorns_run).update(TCPServer=DirectServer if fast else TCPServer)
    for module in (h11, h2):
        vars(module).update(WSStream=TellingStream)
    # Compression costs several times what it saves, also where Hypercorn's own path is taken.
    vars(ws_stream).update(server_extensions_handshake=lambda requested, supported: None)


def uninstall() -> None:
    """Put Hypercorn's own server back."""
    vars(hypercorns_run).update(TCPServer=TCPServer)
    for module in (h11, h2):
        vars(module).update(WSStream=WSStream)
    vars(ws_stream).update(server_extensions_handshake=server_extensions_handshake)


class DirectServer(TCPServer):
    """Hypercorn's server of one connection, of which we take over all but HTTP/2."""

    timeouts: ClassVar[Timeouts] = DEFAULT_TIMEOUTS
    _sites: ClassVar[WeakKeyDictionary[WorkerContext, Site]] = WeakKeyDictionary()

    async def run(self) -> None:
        transport = cast(asyncio.Transport, self.writer.transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() == "h2":
            await super().run()
        elif not transport.is_closing():
            await self._serve(transport)

    async def _serve(self, transport: asyncio.Transport) -> None:
        connection = self._take_over(transport)
        try:
            successor = await connection.successor
            if successor is not None:
                await successor()
                await connection.wait_closed()
            if connection.tasks:
                await asyncio.wait(connection.tasks)
        finally:
            connection.abort()
            vars(self.writer)["_transport"] = RELEASED  # which it would close

    def _take_over(self, transport: asyncio.Transport) -> HttpConnection:
        ends = Ends(
            _address(transport.get_extra_info("peername")),
            _address(transport.get_extra_info("sockname")),
            is_secure=transport.get_extra_info("ssl_object") is not None,
        )
        connection = HttpConnection(self._site(), transport, ends, self._open_turn)
        self._hypercorns_protocol = transport.get_protocol()
        transport.set_protocol(connection)
        # Nobody has read from the reader yet, so that all that has come is here.
        buffer: bytearray = vars(self.reader)["_buffer"]
        earlier = bytes(buffer)
        buffer.clear()
        transport.resume_reading()  # the reader may have stopped it
        if earlier:
            connection.data_received(earlier)
        if self.reader.at_eof() and not connection.eof_received():
            transport.close()
        return connection

    def _site(self) -> Site:
        site = self._sites.get(self.context)
        if site is None:
            app = cast(ASGIWrapper, self.app).app
            self._sites[self.context] = site = Site(app, self.config, self.state, self.timeouts)
            site.leave_after(self.context.terminated.wait())
        return site

    def _open_turn(self, connection: HttpConnection, request: Request) -> Turn:
        if not request.asks_to_upgrade:
            return Exchange(connection, request)
        if dict(request.headers).get(b"upgrade", b"").lower() == b"websocket":
            return WebSocketUpgrade(connection, request)
        return Handback(connection, request, self._give_back)

    async def _give_back(self, connection: HttpConnection, data: bytes) -> None:
        """Give a connection back to Hypercorn; `data` is what it would have read first."""
        transport = connection.release()
        if not transport.is_closing():
            transport.set_protocol(self._hypercorns_protocol)
            self.reader.feed_data(data)
            await super().run()


class Handback:
    """The turn of HTTP/2, and of a request to upgrade to anything but a WebSocket."""

    backlog = 0
    is_read = is_answering = False

    def __init__(
        self,
        connection: HttpConnection,
        request: Request,
        give_back: Callable[[HttpConnection, bytes], Awaitable[None]],
    ) -> None:
        self._connection = connection
        self._give_back = give_back
        self._data = request.to_bytes()

    def begin(self) -> None:
        self._connection.successor.set_result(self._hand_over)

    def put(self, part: bytes) -> None:
        self._data += part

    def end(self) -> None:
        """Does nothing: Hypercorn will see the end."""

    def leave(self) -> None:
        """Does nothing: Hypercorn reads the request, and will see that the peer has ended."""

    def lose(self) -> None:
        """Does nothing: Hypercorn will see that the peer is gone."""

    async def _hand_over(self) -> None:
        await self._give_back(self._connection, self._data)


def _address(name: Any) -> tuple[str, int] | None:
    return name[:2] if isinstance(name, tuple) else None
