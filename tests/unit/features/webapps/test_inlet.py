"""What comes from a browser waits until the application asks for it, and no more of it is read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hypha_cluster.features.webapps import inlet as inlets
from hypha_cluster.features.webapps.inlet import Browser, Inlet, Reading, pieces
from hypha_cluster.protocol.limits import STREAM_PIECE
from hypha_cluster.supervision import Supervisor

LIMIT = 5.0
GONE = {"type": "http.disconnect"}


def part(body: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


class Server:
    """Says what it has, and then nothing until the browser leaves."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.left = list(messages)
        self.gone = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        if self.left:
            return self.left.pop(0)
        await self.gone.wait()
        return GONE


@asynccontextmanager
async def reading(*messages: dict[str, Any]) -> AsyncIterator[tuple[Server, Inlet]]:
    server = Server(*messages)
    inlet = Inlet(server.receive)
    task = asyncio.create_task(inlet.read())
    async with asyncio.timeout(LIMIT):
        yield server, inlet
    task.cancel()
    await asyncio.wait([task])


async def test_pieces_come_in_their_order_and_then_the_end() -> None:
    async with reading(part(b"a"), part(b"b", more=False)) as (server, inlet):
        assert [await inlet.receive(), await inlet.receive()] == [
            part(b"a"),
            part(b"b", more=False),
        ]
        server.gone.set()
        assert [await inlet.receive(), await inlet.receive()] == [GONE, GONE]


async def test_no_more_is_read_than_one_piece_ahead() -> None:
    async with reading(*(part(b"x") for _ in range(10))) as (server, inlet):
        for taken in range(5):
            await settle()
            assert len(server.left) >= 8 - taken
            await inlet.receive()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_that_the_browser_has_left_is_noticed_before_anything_is_asked_for() -> None:
    async with reading(part(b"", more=False)) as (server, inlet):
        server.gone.set()
        await settle()
        assert inlet.browser is Browser.LEFT
        assert await inlet.receive() == part(b"", more=False)
        assert await inlet.receive() == GONE


@pytest.mark.parametrize(
    ("messages", "taken", "may_rewind"),
    [
        ([part(b"", more=False)], 0, True),
        ([part(b"a", more=False)], 1, True),
        ([part(b"a"), part(b"b", more=False)], 1, False),
        ([part(b"a"), part(b"b", more=False)], 2, False),
    ],
)
async def test_a_request_that_came_whole_can_be_read_again(
    messages: list[dict[str, Any]], taken: int, may_rewind: bool
) -> None:
    async with reading(*messages) as (_, inlet):
        for _ in range(taken):
            await inlet.receive()

        assert inlet.is_whole is may_rewind
        if may_rewind:
            inlet.rewind()
            assert await inlet.receive() == messages[0]


def test_a_large_part_is_cut_into_pieces() -> None:
    body = bytes(range(256)) * (STREAM_PIECE // 256) + b"rest"

    first, last = pieces(part(body, more=False))

    assert (first["body"], first["more_body"]) == (body[:STREAM_PIECE], True)
    assert (last["body"], last["more_body"]) == (b"rest", False)
    assert [piece["more_body"] for piece in pieces(part(body))] == [True, True]


def test_messages_of_a_websocket_stay_whole() -> None:
    message = {"type": "websocket.receive", "bytes": bytes(2 * STREAM_PIECE)}

    assert list(pieces(message)) == [message]


async def test_whoever_reads_is_told_when_the_gateway_stops() -> None:
    """Also where a piece waits that nobody has asked for."""
    async with reading() as (_, waiting), reading(part(b"a"), part(b"b")) as (_, behind):
        asking = asyncio.ensure_future(waiting.receive())
        await asyncio.sleep(0)

        for inlet in (waiting, behind):
            inlet.end(GONE)

        assert await asking == GONE
        assert waiting.browser is Browser.LEFT
        assert [await behind.receive(), await behind.receive()] == [GONE, GONE]


async def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inlets, "BODY_PATIENCE", 0.05)

    async with reading(part(b"a")) as (_, inlet):
        assert await inlet.receive() == part(b"a")
        assert await inlet.receive() == GONE
        assert inlet.browser is Browser.TOO_SLOW


async def test_the_time_that_the_application_takes_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inlets, "BODY_PATIENCE", 0.05)

    async with reading(part(b"a"), part(b"b"), part(b"c", more=False)) as (server, inlet):
        await asyncio.sleep(0.2)
        for letter in (b"a", b"b", b"c"):
            assert (await inlet.receive())["body"] == letter
        await asyncio.sleep(0.1)  # the browser waits for the answer
        assert inlet.browser is Browser.THERE


async def test_nothing_is_read_for_who_answers_at_once_and_never_asks() -> None:
    server = Server(part(b"x"))
    reading = Reading(Inlet(server.receive), Supervisor())

    await settle()
    await reading.stop()

    assert len(server.left) == 1


async def test_who_asks_is_read_for_from_then_on() -> None:
    server = Server(part(b"x", more=False))
    inlet = Inlet(server.receive)
    reading = Reading(inlet, Supervisor())

    reading.begin()
    reading.begin()
    async with asyncio.timeout(LIMIT):
        assert await inlet.receive() == part(b"x", more=False)
        server.gone.set()
        assert await inlet.receive() == GONE
        assert inlet.browser is Browser.LEFT
    await reading.stop()


async def test_who_takes_its_time_hears_that_the_browser_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inlets, "SLOW", 0.01)
    server = Server()
    server.gone.set()
    inlet = Inlet(server.receive)
    reading = Reading(inlet, Supervisor())

    async with asyncio.timeout(LIMIT):
        assert await inlet.receive() == GONE
        assert inlet.browser is Browser.LEFT
    await reading.stop()
