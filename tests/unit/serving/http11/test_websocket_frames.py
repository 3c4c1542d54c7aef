"""What the frame parser makes of the bytes it is fed, and how frames are written."""

from collections.abc import Iterator

import pytest
from websockets.speedups import apply_mask

from hypha_cluster.serving.http11.websocket_frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    HELD_FROM,
    INVALID_DATA,
    NO_CODE,
    PING,
    PONG,
    PROTOCOL_ERROR,
    TEXT,
    TOO_BIG,
    Close,
    FrameError,
    FrameParser,
    close_frame,
    header,
    parse_close,
)

LIMIT = 100_000
MASK = b"\xa1\x5c\x00\xff"


def masked(first: int, payload: bytes = b"") -> bytes:
    """Write a frame as a client does."""
    opening = bytearray(header(0, len(payload)))
    opening[0], opening[1] = first, opening[1] | 0x80
    return bytes(opening) + MASK + apply_mask(payload, MASK)


class Received:
    """A parser and everything that it handed over."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.everything: list[bytes | str | tuple[int, bytes]] = []
        self.held: list[int] = []
        self.parser = FrameParser(limit, self.everything.append, self._control, self.held.append)

    def _control(self, opcode: int, payload: bytes) -> None:
        self.everything.append((opcode, payload))


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 200, 65_535, 65_536, LIMIT])
@pytest.mark.parametrize("by", [1, 7, 1000, 10 * LIMIT])
def test_a_message_arrives_whole_however_the_bytes_are_cut(size: int, by: int) -> None:
    payload = bytes(i % 251 for i in range(size))
    received = Received()

    for piece in pieces(masked(FIN | BINARY, payload) * 2 + masked(FIN | TEXT, b"end"), by):
        received.parser.feed(piece)

    assert received.everything == [payload, payload, "end"]


def test_control_frames_may_come_between_fragments() -> None:
    received = Received()

    received.parser.feed(
        masked(TEXT, "ü".encode()[:1])
        + masked(FIN | PING, b"1")
        + masked(CONTINUATION)
        + masked(FIN | PONG, b"2")
        + masked(FIN | CONTINUATION, "ü".encode()[1:])
        + masked(BINARY, b"a")
        + masked(FIN | CONTINUATION, b"b")
    )

    assert received.everything == [(PING, b"1"), (PONG, b"2"), "ü", b"ab"]


@pytest.mark.parametrize(
    "wrong",
    [
        b"\x82\x00",  # without a mask
        b"\x82\x7f",
        b"\x82\xff\x80" + bytes(7),  # the length's highest bit
        *(masked(FIN | TEXT | bit) for bit in (0x10, 0x20, 0x40)),
        *(masked(FIN | opcode) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
        masked(FIN | CONTINUATION),
        masked(CONTINUATION),
        masked(TEXT) + masked(FIN | TEXT),
        masked(BINARY) + masked(FIN | BINARY),
        masked(BINARY) + masked(BINARY),
        masked(PING),
        masked(CLOSE),
        masked(FIN | PING, bytes(126))[:4],
        masked(FIN | CLOSE, bytes(70_000))[:10],
    ],
)
def test_a_breach_of_the_protocol_is_told_apart_and_ends_it(wrong: bytes) -> None:
    received = Received()

    with pytest.raises(FrameError) as failure:
        received.parser.feed(masked(FIN | BINARY, b"before") + wrong)
    received.parser.feed(masked(FIN | BINARY, b"after"))

    assert failure.value.code == PROTOCOL_ERROR
    assert received.everything == [b"before"]


@pytest.mark.parametrize(
    "text",
    [
        masked(FIN | TEXT, b"\xff"),
        masked(FIN | TEXT, b"\xed\xa0\x80"),  # a surrogate
        masked(FIN | TEXT, "€".encode()[:2]),
        masked(TEXT, "€".encode()[:2]) + masked(FIN | CONTINUATION),
    ],
)
def test_text_must_be_utf8(text: bytes) -> None:
    with pytest.raises(FrameError) as failure:
        Received().parser.feed(text)

    assert failure.value.code == INVALID_DATA


@pytest.mark.parametrize(
    "too_big",
    [
        masked(FIN | BINARY, bytes(11))[:2],
        masked(FIN | TEXT, bytes(11))[:2],
        masked(FIN | BINARY, bytes(200))[:4],
        masked(FIN | BINARY, bytes(70_000))[:10],
        masked(BINARY, bytes(10)) + masked(CONTINUATION, bytes(1))[:2],
    ],
)
def test_a_message_over_the_limit_is_refused_by_its_header(too_big: bytes) -> None:
    with pytest.raises(FrameError) as failure:
        Received(limit=10).parser.feed(too_big)

    assert failure.value.code == TOO_BIG


def test_a_message_at_the_limit_passes() -> None:
    received = Received(limit=10)

    received.parser.feed(masked(FIN | BINARY, bytes(10)))
    received.parser.feed(masked(BINARY, bytes(4)) + masked(FIN | CONTINUATION, bytes(6)))

    assert received.everything == [bytes(10), bytes(10)]


def test_nothing_counts_after_a_close_frame() -> None:
    received = Received()
    close = masked(FIN | CLOSE, b"\x03\xe8")

    received.parser.feed(masked(FIN | BINARY, b"1") + close + masked(FIN | BINARY, b"2") + close)
    received.parser.feed(b"\x00" * 100)

    assert received.everything == [b"1", (CLOSE, b"\x03\xe8")]


def test_the_receiver_may_change_from_one_message_to_the_next() -> None:
    received, later = Received(), list[bytes | str]()

    def first(message: bytes | str) -> None:
        received.parser.hand_over_to(later.append)

    received.parser.hand_over_to(first)
    received.parser.feed(masked(FIN | BINARY, b"1") + masked(FIN | BINARY, b"2"))

    assert later == [b"2"]


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1014, 3000, 4999])
def test_a_close_frame_reads_as_it_was_written(code: int) -> None:
    frame = close_frame(Close(code, "größer"))

    assert frame[0] == FIN | CLOSE
    assert parse_close(frame[2:]) == Close(code, "größer")


def test_a_close_frame_may_be_empty() -> None:
    assert close_frame(Close(NO_CODE)) == b"\x88\x00"
    assert parse_close(b"") == Close(NO_CODE)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65_535])
def test_a_code_that_must_not_travel_is_refused_when_it_comes(code: int) -> None:
    with pytest.raises(FrameError) as failure:
        parse_close(code.to_bytes(2))

    assert failure.value.code == PROTOCOL_ERROR


@pytest.mark.parametrize("code", [999, 1006, 1015, 2999, 5000, 70_000])
def test_a_code_that_must_not_travel_is_not_sent(code: int) -> None:
    with pytest.raises(ValueError, match=str(code)):
        close_frame(Close(code))


def test_a_close_code_of_one_byte_is_refused() -> None:
    with pytest.raises(FrameError) as failure:
        parse_close(b"\x03")

    assert failure.value.code == PROTOCOL_ERROR


def test_a_close_reason_must_be_utf8() -> None:
    with pytest.raises(FrameError) as failure:
        parse_close(b"\x03\xe8\xff")

    assert failure.value.code == INVALID_DATA


def test_a_long_reason_is_cut_between_characters() -> None:
    frame = close_frame(Close(1000, "é" * 100))

    assert len(frame) <= 2 + 125
    assert parse_close(frame[2:]) == Close(1000, "é" * 61)


# What is kept of messages that are not whole.


def test_what_is_kept_of_a_large_message_is_told_until_it_is_whole() -> None:
    received, frame = Received(), masked(FIN | BINARY, bytes(95_000))
    for piece in pieces(frame, 30_000):
        received.parser.feed(piece)

    assert HELD_FROM == 65_536
    assert received.held == [90_000, 0]
    assert received.everything == [bytes(95_000)]


def test_what_is_kept_of_fragments_counts_too() -> None:
    received = Received()
    received.parser.feed(masked(BINARY, bytes(60_000)))
    assert received.held == []
    received.parser.feed(masked(CONTINUATION, bytes(30_000)))
    assert received.held == [90_000]
    received.parser.feed(masked(FIN | CONTINUATION, bytes(5_000)))

    assert received.held == [90_000, 0]
    assert received.everything == [bytes(95_000)]


def test_nothing_is_kept_after_an_error() -> None:
    received = Received()
    received.parser.feed(masked(BINARY, bytes(90_000)))
    with pytest.raises(FrameError):
        received.parser.feed(masked(CONTINUATION, bytes(90_000)))

    received.parser.feed(bytes(100))
    assert received.held == [90_000, 0]


def test_small_messages_are_not_told_of() -> None:
    received, frames = Received(), masked(FIN | BINARY, bytes(50_000)) * 10
    for piece in pieces(frames, 7_000):
        received.parser.feed(piece)

    assert received.held == []
