"""A request for a WebSocket is accepted as RFC 6455 says, or answered as any other."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hypha_cluster.serving.http11.websocket_frames import BINARY, CLOSE, FIN, Close, close_frame
from hypha_cluster.serving.http11.websocket_upgrade import (
    EXTENSION,
    WebSocketUpgrade,
    end_outliving,
)
from tests.unit.serving.http11.test_websocket_frames import masked
from tests.unit.serving.http11.wire import LIMIT, Peer

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
PROOF = b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # of the example of section 1.3
VERSION = "Sec-WebSocket-Version: 13"
WANTED = ("Connection: Upgrade", "Upgrade: websocket")
BYE = masked(FIN | CLOSE, close_frame(Close(1000))[2:])


class Caller(Peer):
    """A peer that asks for a WebSocket, and does what the server would do with its connection."""

    def __init__(self, app: Any) -> None:
        super().__init__(app, websocket_ping_interval=None)
        self.connection._open_turn = WebSocketUpgrade

    async def serve(self) -> None:
        successor = await self.connection.successor
        if successor is not None:
            await successor()

    def ask(self, *headers: str, method: str = "GET") -> None:
        self.say(f"{method} /ws?x=1 HTTP/1.1", "Host: hub", *headers)

    def hear(self, data: bytes) -> None:
        self.wire.protocol.data_received(data)

    def hang_up(self) -> None:
        (self.wire.protocol or self.connection).connection_lost(None)


@asynccontextmanager
async def calling(app: Any, *headers: str, method: str = "GET") -> AsyncIterator[Caller]:
    caller = Caller(app)
    serving = asyncio.create_task(caller.serve())
    caller.ask(*(headers or (*WANTED, KEY, VERSION)), method=method)
    async with asyncio.timeout(LIMIT):
        yield caller
        caller.hang_up()
        await serving


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": message["bytes"], "text": message["text"]})


async def test_the_handshake_proves_that_it_was_understood() -> None:
    async with calling(echo) as caller:
        heard = await caller.heard()

        assert heard.startswith(b"HTTP/1.1 101 ")
        assert PROOF in heard
        caller.hear(masked(FIN | BINARY, b"x"))
        assert await caller.heard() == b"\x82\x01x"
        caller.hear(BYE)
        assert (await caller.heard())[:1] == b"\x88"


@pytest.mark.parametrize(
    ("headers", "method", "status"),
    [
        ((*WANTED, VERSION), "GET", 400),
        ((*WANTED, VERSION, "Sec-WebSocket-Key: short"), "GET", 400),
        ((*WANTED, VERSION, KEY), "POST", 400),
        ((*WANTED, KEY), "GET", 426),
        ((*WANTED, KEY, "Sec-WebSocket-Version: 8"), "GET", 426),
    ],
)
async def test_what_is_no_handshake_is_answered_without_the_application(
    headers: tuple[str, ...], method: str, status: int
) -> None:
    asked: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope)

    async with calling(app, *headers, method=method) as caller:
        heard = await caller.heard()

    assert caller.statuses(heard) == [status]
    assert asked == []
    if status == 426:
        assert b"sec-websocket-version: 13" in heard


async def test_an_application_is_told_what_was_asked() -> None:
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await send({"type": "websocket.accept", "subprotocol": "b", "headers": [(b"x-y", b"z")]})
        await receive()
        await receive()

    offered = "Sec-WebSocket-Protocol: a, b"
    async with calling(app, *WANTED, KEY, VERSION, offered) as caller:
        heard = await caller.heard()

    (scope,) = scopes
    assert (scope["type"], scope["scheme"], scope["path"]) == ("websocket", "ws", "/ws")
    assert (scope["query_string"], scope["subprotocols"]) == (b"x=1", ["a", "b"])
    assert EXTENSION in scope["extensions"]
    assert b"sec-websocket-protocol: b" in heard
    assert b"x-y: z" in heard


async def _refuse(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.close"})


async def _deny(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.http.response.start", "status": 418, "headers": []})
    await send({"type": "websocket.http.response.body", "body": b"why"})


async def _fail(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("a bug of an application")


async def _choose(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept", "subprotocol": "never offered"})


@pytest.mark.parametrize(
    ("app", "status"), [(_refuse, 403), (_deny, 418), (_fail, 500), (_choose, 500)]
)
async def test_who_is_not_accepted_gets_an_answer(app: Callable[..., Any], status: int) -> None:
    async with calling(app) as caller:
        heard = await caller.heard()

    assert caller.statuses(heard) == [status]


@pytest.mark.parametrize("fails", [True, False])
async def test_what_an_application_leaves_open_is_closed(fails: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        if fails:
            raise RuntimeError("a bug of an application")

    async with calling(app) as caller:
        heard = await caller.heard()
        code = int.from_bytes(heard[-2:], "big")
        caller.hear(BYE)

    assert code == (1011 if fails else 1000)


async def test_the_close_of_an_application_says_why() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4000, "reason": "because"})

    async with calling(app) as caller:
        heard = await caller.heard()
        caller.hear(BYE)

    assert heard.endswith(close_frame(Close(4000, "because")))


async def test_an_application_is_told_that_its_peer_has_gone() -> None:
    told: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        told.append(await receive())

    async with calling(app) as caller:
        await caller.heard()

    assert [(each["type"], each["code"]) for each in told] == [("websocket.disconnect", 1006)]


async def test_frames_before_the_handshake_is_answered_are_refused() -> None:
    may = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await may.wait()

    async with calling(app) as caller:
        caller.connection.data_received(masked(FIN | BINARY, b"x"))
        heard = await caller.heard()
        may.set()

    assert caller.statuses(heard) == [400]


async def test_whose_application_has_returned_is_taken_leave_of_at_the_end() -> None:
    ended: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        socket = scope["extensions"][EXTENSION]
        socket.start(lambda message: None, lambda: None)
        await socket.outlive(lambda code, reason: ended.append(code))

    async with calling(app) as caller:
        await caller.heard()
        leaving = asyncio.create_task(end_outliving(5.0))
        heard = await caller.heard()
        assert heard == close_frame(Close(1012))
        caller.hear(BYE)
        caller.hang_up()
        await leaving

    assert ended == [1000]
