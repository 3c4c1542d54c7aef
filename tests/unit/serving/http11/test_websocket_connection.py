"""A WebSocket hands messages over as they come, writes in order, and comes to an end."""

import asyncio
from typing import Any, cast

import pytest

from hypha_cluster.protocol.limits import UNTAKEN_MESSAGES
from hypha_cluster.serving.http11.unfinished import Unfinished
from hypha_cluster.serving.http11.websocket_connection import (
    GATHER_FROM,
    DirectWebSocket,
    Inbox,
    Timeouts,
)
from hypha_cluster.serving.http11.websocket_frames import (
    BINARY,
    CLOSE,
    FIN,
    PING,
    PONG,
    TEXT,
    Close,
    binary_header,
    close_frame,
    header,
)
from tests.unit.serving.http11.test_websocket_frames import masked
from tests.unit.serving.http11.wire import LIMIT, Wire


class Line:
    """A WebSocket, what it hands over, and how it ended."""

    def __init__(self, *, timeouts: Timeouts = Timeouts()) -> None:  # noqa: B008  # it is a value
        self.wire = Wire()
        self.messages: list[bytes | str] = []
        self.lost: list[Close] = []
        self.writable = 0
        self.socket = DirectWebSocket(1_000_000, timeouts, Unfinished(10**9), self._let_write)

    def _let_write(self) -> None:
        self.writable += 1

    def attach(self, earlier: bytes = b"") -> None:
        transport = cast(asyncio.Transport, self.wire)
        self.socket.attach(transport, earlier, lambda _, close: self.lost.append(close))

    def start(self) -> None:
        self.socket.start(self.messages.append, self._let_write)


@pytest.fixture
async def line() -> Any:
    line = Line()
    line.attach()
    yield line
    line.socket.connection_lost(None)


async def test_messages_wait_until_somebody_says_how_they_are_wanted(line: Line) -> None:
    line.socket.data_received(masked(FIN | BINARY, b"one") + masked(FIN | TEXT, b"two"))
    assert line.messages == []

    line.start()
    line.socket.data_received(masked(FIN | BINARY, b"three"))

    assert line.messages == [b"one", "two", b"three"]
    assert line.wire.protocol is line.socket


async def test_what_came_with_the_handshake_is_not_lost() -> None:
    line = Line()

    line.attach(masked(FIN | BINARY, b"one"))
    line.start()

    assert line.messages == [b"one"]
    line.socket.connection_lost(None)


async def test_frames_of_one_turn_are_written_together_and_in_order(line: Line) -> None:
    for frame in (b"one", b"two"):
        line.socket.send(frame)
    assert line.wire.take() == b""
    assert line.socket.buffered == 10

    await asyncio.sleep(0)

    assert line.wire.take() == binary_header(3) + b"one" + binary_header(3) + b"two"
    assert line.socket.buffered == 0


async def test_a_large_frame_does_not_overtake_small_ones(line: Line) -> None:
    large = bytes(GATHER_FROM)

    line.socket.send(b"small")
    line.socket.send(large)

    small = binary_header(5) + b"small"
    assert line.wire.take() == small + binary_header(GATHER_FROM) + large


async def test_text_comes_behind_what_was_sent_before(line: Line) -> None:
    line.socket.send(b"one")
    line.socket.send_text("é")

    assert line.wire.take() == binary_header(3) + b"one" + header(TEXT, 2) + "é".encode()


async def test_a_ping_is_answered_unless_its_peer_reads_nothing(line: Line) -> None:
    line.socket.data_received(masked(FIN | PING, b"x"))
    assert line.wire.take() == header(PONG, 1) + b"x"

    line.socket.pause_writing()
    line.socket.data_received(masked(FIN | PING, b"x"))

    assert line.wire.take() == b""


async def test_the_close_of_a_peer_is_answered_and_told(line: Line) -> None:
    line.socket.data_received(masked(FIN | CLOSE, close_frame(Close(4000, "bye"))[2:]))

    assert line.wire.take() == close_frame(Close(4000))
    assert line.wire.ended() == "closed"
    line.socket.connection_lost(None)
    assert line.lost == [Close(4000, "bye")]
    assert await line.socket.wait_closed() == (4000, "bye")


async def test_after_our_close_nothing_is_sent_and_what_comes_is_read(line: Line) -> None:
    line.start()
    line.socket.pause()

    line.socket.close(1012, "going away")
    line.socket.close(1000)
    line.socket.send(b"late")
    line.socket.data_received(masked(FIN | BINARY, b"on its way"))
    await asyncio.sleep(0)

    assert line.wire.take() == close_frame(Close(1012, "going away"))
    assert line.messages == [b"on its way"]
    assert line.wire.is_read()


async def test_a_peer_that_does_not_close_is_cut_off() -> None:
    line = Line(timeouts=Timeouts(close=0.01))
    line.attach()

    line.socket.close(1000)
    async with asyncio.timeout(LIMIT):
        await line.wire.over.wait()

    assert line.wire.ended() == "aborted"
    line.socket.connection_lost(None)


async def test_a_peer_that_breaks_the_protocol_is_told_and_read_to_its_end(line: Line) -> None:
    line.start()

    line.socket.data_received(b"\xff\xff\xff\xff" + masked(FIN | BINARY, b"never"))

    assert line.wire.take()[2:4] == (1002).to_bytes(2, "big")
    assert line.wire.half_closed
    assert not line.wire.ended()
    assert line.messages == []


async def test_whoever_ends_no_message_makes_room_for_others(line: Line) -> None:
    line.socket.give_up()

    assert line.wire.take()[2:4] == (1013).to_bytes(2, "big")


async def test_a_peer_is_pinged_and_cut_off_when_it_says_nothing(line: Line) -> None:
    line.socket.check_alive(0.0)
    assert line.wire.take() == header(PING, 0)

    line.socket.data_received(masked(FIN | PONG))
    line.socket.check_alive(100.0)
    assert line.wire.take() == header(PING, 0)
    line.socket.check_alive(110.0)  # it has a while yet
    assert not line.wire.ended()
    line.wire.take()
    line.socket.check_alive(200.0)

    assert line.wire.take()[2:4] == (1011).to_bytes(2, "big")
    assert line.wire.ended() == "closed"


async def test_a_peer_that_is_not_read_is_not_blamed_for_its_silence(line: Line) -> None:
    line.socket.check_alive(0.0)
    line.socket.pause()

    for now in (100.0, 200.0, 300.0):
        line.socket.check_alive(now)

    assert not line.wire.ended()
    assert not line.wire.is_read()
    line.socket.resume()
    assert line.wire.is_read()


async def test_an_application_may_return_and_hears_of_the_end(line: Line) -> None:
    endings: list[tuple[int, str]] = []

    await line.socket.outlive(lambda code, reason: endings.append((code, reason)))
    line.socket.release(lambda _, close: line.lost.append(close))
    assert endings == []
    line.socket.connection_lost(None)

    assert endings == [(1006, "")]
    assert line.lost == [Close(1006)]
    await line.socket.outlive(lambda code, reason: endings.append((code, reason)))
    assert len(endings) == 2  # also of one that was over


async def test_who_writes_hears_when_the_network_takes_more(line: Line) -> None:
    line.start()

    line.socket.pause_writing()
    line.socket.resume_writing()

    assert line.writable == 1


async def test_a_line_that_is_cut_says_and_hears_nothing_more(line: Line) -> None:
    line.start()
    line.socket.abort()

    line.socket.send(b"late")
    line.socket.data_received(masked(FIN | BINARY, b"late"))
    await asyncio.sleep(0)

    assert line.wire.ended() == "aborted"
    assert (line.messages, line.wire.take()) == ([], b"")
    line.socket.connection_lost(None)
    assert line.socket.buffered == 0


async def test_an_inbox_that_nobody_empties_stops_the_reading() -> None:
    calls: list[str] = []
    inbox = Inbox(lambda: calls.append("pause"), lambda: calls.append("resume"))

    inbox.put(bytes(UNTAKEN_MESSAGES))
    assert calls == ["pause"]
    event = await inbox.get()

    assert len(event["bytes"]) == UNTAKEN_MESSAGES
    assert calls == ["pause", "resume"]


async def test_the_last_event_is_told_again_and_again() -> None:
    inbox = Inbox(lambda: None, lambda: None)
    end = {"type": "websocket.disconnect", "code": 1000}
    waiting = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)

    inbox.put("text")
    inbox.put(end)

    assert (await waiting)["text"] == "text"
    assert [await inbox.get(), await inbox.get()] == [end, end]
    assert inbox.take_messages() == []
