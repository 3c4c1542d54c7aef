"""What is taken over from Hypercorn, what is given back, and where ours takes its place."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypercorn.asyncio import run as hypercorns_run
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.protocol import h2, h11, ws_stream
from hypercorn.protocol.ws_stream import WSStream
from wsproto.handshake import server_extensions_handshake

from hypha_cluster.serving.http11 import server as module
from hypha_cluster.serving.http11.connection import HttpConnection
from hypha_cluster.serving.http11.messages import Request
from hypha_cluster.serving.http11.server import DirectServer, Handback, install, uninstall
from hypha_cluster.serving.http11.websocket_connection import Timeouts
from hypha_cluster.serving.http11.websocket_stream import TellingStream


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    timeouts = DirectServer.timeouts
    yield
    uninstall()
    DirectServer.timeouts = timeouts


def place() -> tuple[Any, ...]:
    """What Hypercorn takes for a connection, for a WebSocket, and to agree on extensions."""
    return (
        vars(hypercorns_run)["TCPServer"],
        vars(h11)["WSStream"],
        vars(h2)["WSStream"],
    )


@pytest.mark.parametrize(("fast", "server"), [(True, DirectServer), (False, TCPServer)])
def test_our_server_is_in_the_place_of_hypercorns(fast: bool, server: type) -> None:
    timeouts = Timeouts()

    install(timeouts, fast=fast)

    assert place() == (server, TellingStream, TellingStream)
    assert DirectServer.timeouts is timeouts
    assert vars(ws_stream)["server_extensions_handshake"](["permessage-deflate"], []) is None


def test_hypercorns_own_comes_back() -> None:
    install()

    uninstall()

    assert place() == (TCPServer, WSStream, WSStream)
    assert vars(ws_stream)["server_extensions_handshake"] is server_extensions_handshake


class Given:
    """A request, and a connection that somebody else is to go on with."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.successor: asyncio.Future[Any] = loop.create_future()
        self.back: list[bytes] = []

    def to_bytes(self) -> bytes:
        return b"PRI * HTTP/2.0\r\n\r\n"

    async def give_back(self, connection: HttpConnection, data: bytes) -> None:
        assert connection is cast(Any, self)
        self.back.append(data)


async def test_hypercorn_reads_all_that_has_come_of_what_it_gets_back() -> None:
    given: Any = Given()
    turn = Handback(given, given, given.give_back)

    turn.put(b"SM")
    turn.begin()
    turn.put(b"\r\n\r\n")
    for happens in (turn.end, turn.leave, turn.lose):
        happens()  # Hypercorn will see it
    await (await given.successor)()

    assert given.back == [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    assert (turn.backlog, turn.is_read, turn.is_answering) == (0, False, False)


@pytest.mark.parametrize(
    ("upgrade", "kind"),
    [
        (None, "Exchange"),
        (b"websocket", "Upgrade"),
        (b"WebSocket", "Upgrade"),
        (b"h2c", "Handback"),
    ],
)
def test_what_a_request_asks_for_says_who_answers_it(
    upgrade: bytes | None, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {"Exchange": "Exchange", "WebSocketUpgrade": "Upgrade", "Handback": "Handback"}
    for name, short in kinds.items():
        monkeypatch.setattr(module, name, lambda *_, short=short: short)
    headers = [(b"host", b"hub")] + ([(b"upgrade", upgrade)] if upgrade else [])
    request = SimpleNamespace(asks_to_upgrade=upgrade is not None, headers=headers)
    server = DirectServer.__new__(DirectServer)
    connection = cast(HttpConnection, None)

    assert server._open_turn(connection, cast(Request, request)) == cast(Any, kind)


@pytest.mark.parametrize(
    ("name", "address"),
    [(("::1", 5, 0, 0), ("::1", 5)), (("127.0.0.1", 5), ("127.0.0.1", 5)), ("/a/socket", None)],
)
def test_an_end_is_a_host_and_a_port_or_nothing(name: Any, address: Any) -> None:
    assert module._address(name) == address
    assert module._address(None) is None
