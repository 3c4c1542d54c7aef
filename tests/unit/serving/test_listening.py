"""Connections on a port, which may be left to others while they go on."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from hypha_cluster.config import Config
from hypha_cluster.protocol.limits import DEAD_HOST
from hypha_cluster.serving import listening as module
from hypha_cluster.serving.gateway import hypercorn_settings
from hypha_cluster.serving.http11 import install, uninstall
from hypha_cluster.serving.listening import Listening
from hypha_cluster.serving.preflight import listen
from tests.gateways import SECOND

MIB = 2**20
REQUEST = b"GET / HTTP/1.1\r\nhost: hub\r\n\r\n"


class Application:
    """Answers with its name; to `/stall` not before it is let go, to `/large` without end."""

    def __init__(self, name: bytes) -> None:
        self._name = name
        self.stalls = asyncio.Event()
        self.has_left = asyncio.Event()  # of whoever asked for `/large`

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/stall":
            self.stalls.set()
            await asyncio.Event().wait()
        if scope["path"] == "/large":
            await self._answer_until_nobody_listens(receive, send)
            return
        headers = [(b"content-length", b"%d" % len(self._name))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self._name})

    async def _answer_until_nobody_listens(self, receive: Any, send: Any) -> None:
        async def answer() -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"x" * MIB, "more_body": True})

        answering = asyncio.create_task(answer())
        while (await receive())["type"] != "http.disconnect":
            pass
        answering.cancel()
        self.has_left.set()


class Visitor:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def come(cls, port: int) -> "Visitor":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self) -> bytes:
        self.writer.write(REQUEST)
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        return await self.reader.readexactly(3)


@pytest.fixture(params=[True, False], ids=["ours", "Hypercorn's"], autouse=True)
def path(request: pytest.FixtureRequest) -> Iterator[None]:
    install(fast=request.param)
    yield
    uninstall()


@pytest.fixture
async def port() -> AsyncIterator[socket.socket]:
    """As somebody holds it who does not serve."""
    async with asyncio.timeout(20 * SECOND):
        with listen("127.0.0.1", 0) as holder:
            yield holder


def number(port: socket.socket) -> int:
    return int(port.getsockname()[1])


async def serve(name: bytes, port: socket.socket) -> Listening:
    settings = hypercorn_settings(Config(), os.dup(port.fileno()))
    listening = Listening(Application(name), settings)
    await listening.start()
    return listening


async def test_who_leaves_the_port_keeps_its_connections(port: socket.socket) -> None:
    old = await serve(b"old", port)
    visitor = await Visitor.come(number(port))
    assert await visitor.ask() == b"old"

    old.leave_port()
    new = await serve(b"new", port)
    others = [await Visitor.come(number(port)) for _ in range(20)]

    assert [await other.ask() for other in others] == [b"new"] * 20
    assert await visitor.ask() == b"old"
    for each in (*others, visitor):
        each.writer.close()
    await old.close(1.0)
    await new.close(1.0)


async def test_who_comes_while_nobody_serves_is_served_by_the_next(port: socket.socket) -> None:
    old = await serve(b"old", port)
    await old.close(1.0)

    waiting = await Visitor.come(number(port))
    answer = asyncio.create_task(waiting.ask())
    new = await serve(b"new", port)

    assert await answer == b"new"
    waiting.writer.close()
    await new.close(1.0)


async def test_a_connection_that_does_not_end_is_cut_off(port: socket.socket) -> None:
    app = Application(b"app")
    listening = Listening(app, hypercorn_settings(Config(), os.dup(port.fileno())))
    await listening.start()
    visitor = await Visitor.come(number(port))
    visitor.writer.write(REQUEST.replace(b" / ", b" /stall "))
    await app.stalls.wait()

    await listening.close(0.1)

    assert not (await visitor.reader.read()).startswith(b"HTTP/1.1 200")
    visitor.writer.close()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux has it")
async def test_the_kernel_ends_connections_whose_other_host_is_gone(port: socket.socket) -> None:
    listening = await serve(b"hub", port)

    # What is accepted there inherits it.
    assert port.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == int(DEAD_HOST * 1000)
    await listening.close(1.0)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux has it")
async def test_whoever_takes_nothing_of_an_answer_is_cut_off(
    port: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DEAD_HOST", 1.0)
    app = Application(b"app")
    listening = Listening(app, hypercorn_settings(Config(), os.dup(port.fileno())))
    await listening.start()

    with socket.create_connection(("127.0.0.1", number(port))) as visitor:
        visitor.sendall(REQUEST.replace(b" / ", b" /large "))
        await app.has_left.wait()

    await listening.close(1.0)
