"""The server's half of RFC 6455 framing: bytes in, messages out; no I/O, no clock."""

import sys
from collections.abc import Callable
from struct import Struct
from typing import NamedTuple, cast

from websockets.speedups import apply_mask

# RFC 6455 section 5.2
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN = 0x80
MASKED = 0x80
FIN_BINARY = FIN | BINARY
SMALL, MEDIUM, LARGE = 125, 126, 127  # the longest 7-bit length, and the marks of 16 and 64 bits
VIEW_FROM = 16384  # bytes: with less, copies are cheaper than views
HELD_FROM = 65536  # bytes of an unfinished message that are worth counting

# RFC 6455 section 7.4.1
NORMAL, GOING_AWAY, PROTOCOL_ERROR = 1000, 1001, 1002
NO_CODE, ABNORMAL = 1005, 1006  # never on the wire
INVALID_DATA, TOO_BIG, INTERNAL_ERROR, SERVICE_RESTART, TRY_AGAIN = 1007, 1009, 1011, 1012, 1013
_DEFINED_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})
_FREE_CODES = range(3000, 5000)

_pack_medium = Struct("!BBH").pack
_pack_large = Struct("!BBQ").pack
_SMALL_BINARY = tuple(bytes((FIN_BINARY, size)) for size in range(SMALL + 1))


class FrameError(Exception):
    """The peer broke the protocol; the connection must fail with this close code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Close(NamedTuple):
    """What a close frame says, or what stands for the one that never came."""

    code: int
    reason: str = ""


def binary_header(size: int) -> bytes:
    """Begin an unfragmented binary message."""
    return _SMALL_BINARY[size] if size <= SMALL else header(BINARY, size)


def header(opcode: int, size: int) -> bytes:
    """Begin an unfragmented frame; a server masks nothing (section 5.1)."""
    if size <= SMALL:
        return bytes((FIN | opcode, size))
    if size <= 0xFFFF:
        return _pack_medium(FIN | opcode, MEDIUM, size)
    return _pack_large(FIN | opcode, LARGE, size)


def close_frame(close: Close) -> bytes:
    """Encode a close frame; the reason is cut to what a control frame holds (section 5.5)."""
    if close.code == NO_CODE:
        return header(CLOSE, 0)
    if not _may_travel(close.code):
        raise ValueError(f"{close.code} is not a close code that may be sent")
    cut = close.reason.encode()[: SMALL - 2].decode(errors="ignore").encode()
    return header(CLOSE, 2 + len(cut)) + close.code.to_bytes(2) + cut


def parse_close(payload: bytes) -> Close:
    """Read the payload of a close frame (sections 5.5.1 and 7.4)."""
    if not payload:
        return Close(NO_CODE)
    if len(payload) == 1:
        raise FrameError(PROTOCOL_ERROR, "close code of one byte")
    code = int.from_bytes(payload[:2])
    if not _may_travel(code):
        raise FrameError(PROTOCOL_ERROR, f"invalid close code {code}")
    return Close(code, _decode(payload[2:]))


def _may_travel(code: int) -> bool:
    return code in _DEFINED_CODES or code in _FREE_CODES


def _decode(text: bytes | bytearray) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise FrameError(INVALID_DATA, "text that is not UTF-8") from None


def _ignore_message(message: bytes | str) -> None:
    """Take messages once nothing is to be handed over any more."""


class FrameParser:
    """Cuts a stream of bytes into messages and control frames, and calls back for each.

    After a close frame or an error the rest is ignored.
    `on_held` is told how many bytes of an unfinished message are kept, if these are many, and 0
    when they no longer are.
    """

    __slots__ = (
        "_awaited",
        "_fast",
        "_held",
        "_limit",
        "_message",
        "_on_control",
        "_on_held",
        "_on_message",
        "_tells",
        "_text",
    )

    def __init__(
        self,
        limit: int,
        on_message: Callable[[bytes | str], None],
        on_control: Callable[[int, bytes], None],
        on_held: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._on_message = on_message
        self._on_control = on_control
        self._on_held = on_held
        self._tells = False  # whether `on_held` was last told more than 0
        self._limit = limit
        self._fast = limit  # up to this size a binary frame is a message by itself
        self._held: bytearray | None = None  # the beginning of a frame
        self._awaited = 0  # how many bytes `_held` needs before it is worth another look
        self._message: bytearray | None = None  # the fragments of a message so far
        self._text = False

    def hand_over_to(self, on_message: Callable[[bytes | str], None]) -> None:
        """Messages are for somebody else from the next one on, also of what is being read."""
        self._on_message = on_message

    def feed(self, chunk: bytes) -> None:
        """Take what the peer sent; raise FrameError after handing over what was in order."""
        data = chunk
        if self._awaited:
            if self._held is None:
                return
            self._held += chunk
            if len(self._held) < self._awaited:
                self._tell()
                return
            data, self._held, self._awaited = cast(bytes, self._held), None, 0
        if len(data) >= VIEW_FROM:
            data = cast(bytes, memoryview(data))  # for the parser the same, but no copies
        try:
            self._parse(data)
        except FrameError:
            self.stop()
            raise
        if self._tells or self._message or self._awaited > HELD_FROM:
            self._tell()

    def _tell(self) -> None:
        size = len(self._held or b"") + len(self._message or b"")
        if size > HELD_FROM or self._tells:
            self._tells = size > HELD_FROM
            self._on_held(size if self._tells else 0)

    def stop(self) -> None:
        """Ignore whatever else comes."""
        self._on_message = _ignore_message
        self._held = self._message = None
        self._awaited = sys.maxsize
        if self._tells:
            self._tell()

    def _parse(self, data: bytes) -> None:
        start, end, size = 0, 2, len(data)
        while size - start >= 2:
            first, length = data[start], data[start + 1] - MASKED
            body = start + 6
            if length == MEDIUM and size - start >= 4:
                body += 2
                length = data[start + 2] << 8 | data[start + 3]
            elif not 0 <= length <= SMALL:
                body, length = self._odd_length(data, start)
            end = body + length
            if first == FIN_BINARY and length <= self._fast and end <= size:
                self._on_message(apply_mask(data[body:end], data[body - 4 : body]))
            else:
                self._check(first, length)
                if end > size:
                    break
                if not self._take(first, apply_mask(data[body:end], data[body - 4 : body])):
                    return
            start, end = end, end + 2
        if start < size:
            self._hold(data[start:], end - start)

    def _hold(self, rest: bytes, awaited: int) -> None:
        self._held = bytearray(rest)
        self._awaited = awaited

    @staticmethod
    def _odd_length(data: bytes, start: int) -> tuple[int, int]:
        """Say where the payload begins, and how long it is or is at the least."""
        mark = data[start + 1] - MASKED
        if mark < 0:
            raise FrameError(PROTOCOL_ERROR, "frame without a mask")  # section 5.1
        if mark == MEDIUM:
            return start + 8, 0
        if len(data) - start < 10:
            return start + 14, 0
        length = int.from_bytes(data[start + 2 : start + 10])
        if length >> 63:
            raise FrameError(PROTOCOL_ERROR, "length of more than 63 bits")  # section 5.2
        return start + 14, length

    def _check(self, first: int, length: int) -> None:
        """Refuse a frame by its header, so that nothing is collected in vain."""
        opcode = first & 0x0F
        if first & 0x70:
            raise FrameError(PROTOCOL_ERROR, "reserved bits without an extension")
        if BINARY < opcode < CLOSE or opcode > PONG:
            raise FrameError(PROTOCOL_ERROR, f"unknown opcode {opcode}")
        if opcode >= CLOSE:
            if not first & FIN or length > SMALL:  # section 5.5
                raise FrameError(PROTOCOL_ERROR, "fragmented or oversized control frame")
        elif (opcode == CONTINUATION) == (self._message is None):  # section 5.4
            raise FrameError(PROTOCOL_ERROR, "fragment out of order")
        elif len(self._message or b"") + length > self._limit:
            raise FrameError(TOO_BIG, f"message of more than {self._limit} bytes")

    def _take(self, first: int, payload: bytes) -> bool:
        """Deal with any frame but a message in one binary frame; say whether to go on."""
        opcode = first & 0x0F
        if opcode == CLOSE:
            self.stop()
        if opcode >= CLOSE:
            self._on_control(opcode, payload)
        elif first == FIN | TEXT:
            self._on_message(_decode(payload))
        else:
            self._take_fragment(first, payload)
        return opcode != CLOSE

    def _take_fragment(self, first: int, payload: bytes) -> None:
        if self._message is None:
            self._message = bytearray()
            self._text = first == TEXT
            self._fast = -1
        self._message += payload
        if first & FIN:
            message, self._message = self._message, None
            self._fast = self._limit
            self._on_message(_decode(message) if self._text else bytes(message))
