"""Requests by HTTP/1.1: what the parser makes of bytes, and what a connection does with that."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import hypercorn

from hypha_cluster.serving.http11.connection import Ends, HttpConnection, Site, Turn
from hypha_cluster.serving.http11.exchange import Exchange
from hypha_cluster.serving.http11.messages import Malformed, Request, RequestParser
from hypha_cluster.serving.http11.server import Handback
from hypha_cluster.serving.http11.websocket_connection import Timeouts
from hypha_cluster.serving.http11.websocket_upgrade import WebSocketUpgrade
from tests.fuzz.parts import cut, run

_MAX_HEAD: Final = 65_536
_ENDS: Final = Ends(("192.0.2.1", 1), ("192.0.2.2", 80), is_secure=False)
_TURNS: Final = 200  # of the loop, in which all is done that there is to do


class Read:
    """What a parser tells of a connection."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.bodies: list[bytes] = []
        self.ended = 0
        self.upgraded = False

    def on_request(self, request: Request) -> None:
        self.requests.append(request)
        self.bodies.append(b"")

    def on_body(self, part: bytes) -> None:
        self.bodies[-1] += part

    def on_end(self) -> None:
        self.ended += 1

    def on_upgrade(self, rest: bytes) -> None:
        self.upgraded = True


def http(data: bytes) -> None:
    """The same requests come out, however the bytes come; and a connection answers them."""
    whole, in_parts = _read([data[1:]]), _read(cut(data))
    done = min(whole.ended, in_parts.ended)
    assert whole.ended == in_parts.ended or whole.upgraded, "requests depend on the parts"
    assert whole.requests[:done] == in_parts.requests[:done]
    assert whole.bodies[:done] == in_parts.bodies[:done]
    for request in whole.requests:
        _check(request)
    run(_serve(cut(data)))


def _read(parts: list[bytes]) -> Read:
    read = Read()
    parser = RequestParser(read, _MAX_HEAD)
    for part in parts:
        try:
            parser.feed(part)
        except Malformed:
            break
        if read.upgraded:  # what follows is no request
            break
    return read


def _check(request: Request) -> None:
    """Nothing in a request can be taken for the end of a line, or for another header."""
    assert all(name == name.lower() for name, _ in request.headers)
    for name, value in request.headers:
        assert not set(name + value) & set(b"\r\n\0"), (name, value)
        assert name
    assert not set(request.target) & set(b"\r\n\0 "), request.target
    hosts = [value for name, value in request.headers if name == b"host"]
    assert len(hosts) < 2
    names = {name for name, _ in request.headers}
    assert not {b"content-length", b"transfer-encoding"} <= names, "two lengths"


class FakeTransport(asyncio.Transport):
    """Takes what is written, at once."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False
        self.protocol: asyncio.BaseProtocol = asyncio.Protocol()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def writelines(self, list_of_data: Any) -> None:
        self.written += b"".join(list_of_data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Nothing more is written."""

    def pause_reading(self) -> None:
        """What comes next comes all the same."""

    resume_reading = pause_reading

    def get_write_buffer_size(self) -> int:
        return 0

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol


async def _answer(scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
    """An application that says how long a body was, or takes WebSockets."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    size, more = 0, True
    while more:
        event = await receive()
        size += len(event.get("body", b""))
        more = event.get("more_body", False)
    body = str(size).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _config() -> hypercorn.Config:
    config = hypercorn.Config()
    config.h11_max_incomplete_size = _MAX_HEAD
    config.websocket_ping_interval = None
    return config


_CONFIG: Final = _config()


async def _serve(parts: list[bytes]) -> None:
    """A connection from its first byte to its end; nothing of it may be left."""
    failures: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: failures.append(context))
    site = Site(_answer, _CONFIG, {}, Timeouts())
    transport = FakeTransport()
    connection = HttpConnection(site, transport, _ENDS, _open_turn)
    transport.protocol = connection
    serving = loop.create_task(_serve_upgrade(connection))
    for part in parts:
        cast(asyncio.Protocol, transport.protocol).data_received(part)
        await asyncio.sleep(0)
    for _ in range(3):
        await asyncio.sleep(0)
    transport.protocol.connection_lost(None)
    for _ in range(_TURNS):
        if serving.done() and not connection.tasks:
            break
        await asyncio.sleep(0)
    assert serving.done(), "something of a connection is left"
    assert not connection.tasks
    serving.result()
    assert not failures, failures
    assert transport.written.count(b"HTTP/1.1 500") == 0


async def _serve_upgrade(connection: HttpConnection) -> None:
    successor = await connection.successor
    if successor is not None:
        await successor()


def _open_turn(connection: HttpConnection, request: Request) -> Turn:
    if not request.asks_to_upgrade:
        return Exchange(connection, request)
    if dict(request.headers).get(b"upgrade", b"").lower() == b"websocket":
        return WebSocketUpgrade(connection, request)
    return Handback(connection, request, _hand_over)


async def _hand_over(connection: HttpConnection, data: bytes) -> None:
    connection.release().set_protocol(asyncio.Protocol())
