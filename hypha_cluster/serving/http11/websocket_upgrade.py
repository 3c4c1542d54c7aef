"""The request for a WebSocket: its handshake (RFC 6455, section 4.2), and what comes after it."""

import asyncio
import base64
import contextlib
import hashlib
import logging
import re
from http import HTTPStatus
from typing import Final

from hypha_cluster.serving.http11.connection import HttpConnection
from hypha_cluster.serving.http11.exchange import Exchange, Message, scope_of
from hypha_cluster.serving.http11.keep_alive import KeepAlive
from hypha_cluster.serving.http11.messages import Headers, Malformed, Request, head_of
from hypha_cluster.serving.http11.websocket_connection import DirectWebSocket
from hypha_cluster.serving.http11.websocket_frames import (
    ABNORMAL,
    INTERNAL_ERROR,
    NORMAL,
    SERVICE_RESTART,
    Close,
)
from hypha_cluster.supervision import outcome

logger = logging.getLogger(__name__)

EXTENSION: Final = "hypha.direct"  # the key of the DirectWebSocket in a scope's extensions
VERSION: Final = b"13"
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==")
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

_outliving: dict[DirectWebSocket, KeepAlive | None] = {}  # their applications, which have returned


async def end_outliving(patience: float) -> None:
    """Close the connections whose applications have returned; cut off peers that do not answer."""
    loop = asyncio.get_running_loop()
    sockets = [socket for socket in _outliving if socket.loop is loop]
    for socket in sockets:
        socket.close(SERVICE_RESTART)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            for socket in sockets:
                await socket.wait_closed()
    for socket in sockets:
        socket.abort()
        await socket.wait_closed()


def _forget(socket: DirectWebSocket, close: Close) -> None:
    keep_alive = _outliving.pop(socket)
    if keep_alive is not None:
        keep_alive.discard(socket)


class WebSocketUpgrade(Exchange):
    """The turn of a request for a WebSocket, which is the last one of its connection."""

    def __init__(self, connection: HttpConnection, request: Request) -> None:
        super().__init__(connection, request)
        site = connection.site
        limit = site.config.websocket_max_message_size
        self._socket = DirectWebSocket(limit, site.timeouts, site.unfinished, self._let_write)
        self._keep_alive = site.keep_alive
        self._headers = dict(request.headers)
        self._writable: asyncio.Event | None = None  # made when it is first waited for
        self._is_accepted = False
        self._exit_code = INTERNAL_ERROR

    def begin(self) -> None:
        self._socket.inbox.put({"type": "websocket.connect"})
        self._connection.successor.set_result(self._serve)

    def put(self, part: bytes) -> None:
        raise Malformed(HTTPStatus.BAD_REQUEST, "it sends frames before it may")

    def end(self) -> None:
        """Does nothing: behind the request come frames."""

    async def _serve(self) -> None:
        request = self._request
        if self._is_over:  # more has come with the request than a handshake may have
            return
        if request.method != "GET" or request.version != "1.1" or not self._has_key():
            self._send_empty(HTTPStatus.BAD_REQUEST, [])
        elif self._header(b"version") != VERSION:
            wanted = [(b"upgrade", b"websocket"), (b"sec-websocket-version", VERSION)]
            self._send_empty(HTTPStatus.UPGRADE_REQUIRED, wanted)
        else:
            await self._run()

    async def _run(self) -> None:
        try:
            app = self._connection.site.app(self._scope(), self._socket.inbox.get, self._send)
            error = await outcome(app)
            if error is None:
                self._exit_code = NORMAL
            else:  # whatever it is, the peer gets an answer and others get theirs
                logger.error("The application failed.", exc_info=error)
        except asyncio.CancelledError:
            self._exit_code = SERVICE_RESTART  # the time for a graceful end is over
            raise
        finally:
            await self._finish()

    def _scope(self) -> Message:
        scope = scope_of(self._connection, self._request)
        scope["type"] = "websocket"
        scope["scheme"] = "wss" if self._connection.ends.is_secure else "ws"
        scope["subprotocols"] = self._subprotocols()
        scope["extensions"] = {"websocket.http.response": {}, EXTENSION: self._socket}
        return scope

    def _subprotocols(self) -> list[str]:
        wanted = self._header(b"protocol").decode("latin-1")
        return [name.strip() for name in wanted.split(",") if name.strip()]

    def _has_key(self) -> bool:
        return _KEY.fullmatch(self._header(b"key")) is not None

    def _header(self, name: bytes) -> bytes:
        return self._headers.get(b"sec-websocket-" + name, b"")

    # What the application sends.

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if self._is_accepted:
            await self._send_frame(message)
        elif kind == "websocket.accept" and not self._is_over:
            self._accept(message.get("subprotocol"), list(message.get("headers", ())))
        elif kind == "websocket.close" and not self._is_over:
            self._send_empty(HTTPStatus.FORBIDDEN, [])
        else:
            await super()._send({**message, "type": kind.removeprefix("websocket.")})

    def _accept(self, subprotocol: str | None, headers: Headers) -> None:
        if subprotocol is not None:
            if subprotocol not in self._subprotocols():
                raise ValueError(f"the peer has not offered the subprotocol {subprotocol}")
            headers.append((b"sec-websocket-protocol", subprotocol.encode()))
        digest = hashlib.sha1(self._header(b"key") + _GUID, usedforsecurity=False).digest()
        head = head_of(
            HTTPStatus.SWITCHING_PROTOCOLS,
            [
                (b"upgrade", b"websocket"),
                (b"connection", b"Upgrade"),
                (b"sec-websocket-accept", base64.b64encode(digest)),
                *headers,
            ],
        )
        self._connection.write(head + self._connection.site.common_headers() + b"\r\n")
        self._is_accepted = True
        self._socket.attach(self._connection.release(), b"", self._lost)
        if self._keep_alive is not None:
            self._keep_alive.add(self._socket)

    async def _send_frame(self, message: Message) -> None:
        if message["type"] == "websocket.close":
            self._socket.close(int(message.get("code", NORMAL)), message.get("reason") or "")
            self._socket.discard_messages()
            return
        if message["type"] != "websocket.send":
            raise RuntimeError(f"{message['type']} is not to be sent now")
        if message.get("bytes") is not None:
            self._socket.send(bytes(message["bytes"]))
        else:
            self._socket.send_text(message["text"])
        if self._socket.writing_paused:
            self._writable = self._writable or asyncio.Event()
            self._writable.clear()
            await self._writable.wait()

    def _let_write(self) -> None:
        if self._writable is not None:
            self._writable.set()

    # How it ends.

    async def _finish(self) -> None:
        """Close what the application has left open, and wait for the peer to do the same."""
        if not self._is_accepted:
            if not self._is_over:
                self._give_up()
            return
        if self._socket.outlives:
            _outliving[self._socket] = self._keep_alive
            self._socket.release(_forget)
            return
        self._socket.discard_messages()
        self._socket.close(self._exit_code)
        try:
            await self._socket.wait_closed()
        finally:
            self._socket.abort()

    def _close(self) -> None:
        super()._close()
        self._socket.connection_lost(None)
        self._tell_of_end(Close(ABNORMAL))

    def _lost(self, socket: DirectWebSocket, close: Close) -> None:
        if self._keep_alive is not None:
            self._keep_alive.discard(socket)
        self._tell_of_end(close)

    def _tell_of_end(self, close: Close) -> None:
        event = {"type": "websocket.disconnect", "code": close.code, "reason": close.reason}
        self._socket.inbox.put(event)
        self._let_write()
