"""A WebSocket over plain ASGI, with a server that does what the test says."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message

from hypha_cluster.supervision import Supervisor
from hypha_cluster.web.sockets import ABNORMAL, DIRECT, AsgiSocket, socket_of


class Wire:
    """What comes, and what was sent; the network takes something when it `may_take`."""

    def __init__(self) -> None:
        self.coming: asyncio.Queue[Message] = asyncio.Queue()
        self.sent: list[Message] = []
        self.may_take = asyncio.Event()
        self.may_take.set()
        self.messages: list[bytes | str] = []
        self.endings: list[tuple[int, str]] = []
        self.socket = AsgiSocket(self.coming.get, self._send, Supervisor())

    async def _send(self, message: Message) -> None:
        await self.may_take.wait()
        self.sent.append(message)

    async def live(self) -> None:
        self.socket.start(self.messages.append, lambda: None)
        await self.socket.outlive(lambda code, reason: self.endings.append((code, reason)))

    def receive(self, **event: Any) -> None:
        self.coming.put_nowait({"type": "websocket.receive", **event})

    def disconnect(self, **event: Any) -> None:
        self.coming.put_nowait({"type": "websocket.disconnect", **event})


async def settle() -> None:
    """Let everything happen that waits for nothing from outside."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
async def wire() -> Any:
    wire = Wire()
    living = asyncio.create_task(wire.live())
    await settle()
    yield wire
    wire.socket.abort()
    await living


async def test_messages_are_handed_over(wire: Wire) -> None:
    wire.receive(bytes=b"one")
    wire.receive(text="two", bytes=None)
    await settle()

    assert wire.messages == [b"one", "two"]


async def test_frames_go_out_in_their_order_and_are_counted_until_then(wire: Wire) -> None:
    wire.may_take.clear()
    wire.socket.send(b"one")
    wire.socket.send(b"three")
    await settle()

    assert (wire.sent, wire.socket.buffered) == ([], 8)
    wire.may_take.set()
    await settle()
    assert [message["bytes"] for message in wire.sent] == [b"one", b"three"]
    assert wire.socket.buffered == 0


async def test_nothing_is_read_in_a_pause(wire: Wire) -> None:
    wire.socket.pause()
    wire.receive(bytes=b"1")  # asked for already
    wire.receive(bytes=b"2")
    await settle()
    paused = list(wire.messages)
    wire.socket.resume()
    await settle()

    assert (paused, wire.messages) == ([b"1"], [b"1", b"2"])


async def test_a_close_comes_last_and_once(wire: Wire) -> None:
    wire.socket.send(b"last")
    wire.socket.close(4000, "enough")
    wire.socket.close(4001)
    wire.socket.send(b"too late")
    await settle()

    assert [message["type"] for message in wire.sent] == ["websocket.send", "websocket.close"]
    assert (wire.sent[1]["code"], wire.sent[1]["reason"]) == (4000, "enough")


@pytest.mark.parametrize(
    ("event", "ending"),
    [
        ({"code": 1000, "reason": "bye"}, (1000, "bye")),
        ({"code": 1001}, (1001, "")),
        ({}, (ABNORMAL, "")),
        ({"code": None, "reason": None}, (ABNORMAL, "")),
    ],
)
async def test_it_is_told_how_the_peer_closed(
    wire: Wire, event: dict[str, Any], ending: tuple[int, str]
) -> None:
    wire.disconnect(**event)
    await settle()

    assert wire.endings == [ending]
    wire.socket.send(b"nobody is there")
    assert wire.socket.buffered == 0


async def test_an_answer_to_its_own_close_is_taken_for_the_same(wire: Wire) -> None:
    """Hypercorn says 1000 of each connection that was closed here."""
    wire.socket.close(1012, "moved")
    await settle()
    wire.disconnect(code=1000)
    await settle()

    assert wire.endings == [(1012, "moved")]


async def test_an_abort_ends_it_once(wire: Wire) -> None:
    wire.socket.abort()
    wire.socket.abort()
    wire.disconnect(code=1000)
    await settle()

    assert wire.endings == [(ABNORMAL, "")]


async def test_a_message_that_cannot_be_taken_ends_it() -> None:
    wire = Wire()

    def fail(message: bytes | str) -> None:
        raise KeyError(message)

    wire.socket.start(fail, lambda: None)
    wire.receive(bytes=b"odd")
    await wire.socket.outlive(lambda code, reason: wire.endings.append((code, reason)))

    assert wire.endings == [(ABNORMAL, "")]


async def test_the_servers_own_kind_comes_first() -> None:
    wire = Wire()
    direct = object()

    async def nothing(*_: object) -> Any: ...

    for extensions, expected in (({DIRECT: direct}, direct), ({}, None), (None, None)):
        scope = {"type": "websocket", "extensions": extensions}
        found = socket_of(scope, wire.coming.get, nothing, Supervisor())

        assert found is expected or isinstance(found, AsgiSocket)
