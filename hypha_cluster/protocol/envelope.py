"""Frames as bytes: one or two msgpack maps, one behind the other (protocol.md 2.1).

The first map is the envelope, which the hub reads and seals; the second is the body, which is
checked and passes through as the bytes it came in.
"""

import itertools
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple

import msgpack

from hypha_cluster.errors import BadFrame
from hypha_cluster.protocol.limits import CONTAINERS, FIELD, SEAL

_CALL_FIELDS: Final = ("type", "to", "method", "session", "parent")
_FIXMAP: Final = [bytes((0x80 | n,)) for n in range(16)]
_HEAD: Final = 2_048  # bytes; more than all but the oddest envelopes have
_SMALL: Final = 1_024  # bytes of an unpacker's buffer at first; it grows with what it is fed
# The first byte of an array that says its length: msgpack makes a list of it before it reads on.
_LONG_ARRAY: Final = 0xDC
_LONGER_ARRAY: Final = 0xDD
# The first bytes of lists and maps; and 1 for each byte that begins neither, 0 for these.
_CONTAINER: Final = frozenset((*range(0x80, 0xA0), *range(0xDC, 0xE0)))
_NO_CONTAINER: Final = bytes(first not in _CONTAINER for first in range(256))
_LOOK: Final = 8_192  # bytes that are looked at in one go: few enough for the processor's cache
_FEW: Final = 128  # lists and maps; a frame with more is looked at closely
_SHORT_LIST: Final = 1_024  # values; a thousand lists of them, one in the other, do no harm
_Hook = Callable[[Any], Any] | None
_packer = msgpack.Packer(use_bin_type=True)  # making one costs more than a frame
_KEPT: Final = 1_048_576  # bytes of a packer's buffer, which never shrinks


class Frame(NamedTuple):
    """A frame that was read: its two halves as values, the second also as the bytes it came in.

    maps: how many it has with those two, if they were counted.
    """

    envelope: dict[str, Any]
    body: dict[str, Any]
    body_bytes: bytes | memoryview
    raw: bytes
    maps: int | None = None


class FrameReader:
    """Reads frames; one C unpacker serves them all, since making one costs more than a frame."""

    def __init__(self, max_frame_size: int) -> None:
        self._max_frame_size = max_frame_size + SEAL  # for frames that another node has sealed
        self._start_afresh()

    def read(self, frame: bytes) -> Frame:
        """Read a whole frame. What a client could not read is a BadFrame (protocol.md 2.1)."""
        length = len(frame)
        if length > self._max_frame_size:
            raise BadFrame(f"A frame has at most {self._max_frame_size} bytes, not {length}.")
        try:
            return self._read(frame, length)
        except msgpack.OutOfData:
            self._start_afresh()
            raise BadFrame("The frame ends in the middle of a msgpack value.") from None
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            self._start_afresh()
            raise BadFrame(f"The frame is not valid msgpack with text keys: {error}.") from None

    def _read(self, frame: bytes, length: int) -> Frame:
        if length > CONTAINERS and (plain := _read_plain(frame)) is not None:
            return plain
        if _LONG_ARRAY in frame or _LONGER_ARRAY in frame:
            self._check_lengths(frame)
        if length > CONTAINERS and (counted := self._read_long(frame)) is not None:
            return counted
        unpacker = self._unpacker
        unpacker.feed(frame)
        envelope = unpacker.unpack()
        start = unpacker.tell() - self._offset
        if start == length:
            self._offset += length
            return Frame(_as_map(envelope), {}, b"", frame)
        body = unpacker.unpack()
        end = unpacker.tell() - self._offset
        self._offset += end
        if end != length:  # clients ignore a third map
            self._start_afresh()
        if type(envelope) is not dict or type(body) is not dict:
            raise ValueError("two maps were expected")
        if length < _SMALL:  # a copy costs less than a view
            return Frame(envelope, body, frame[start:end], frame)
        return Frame(envelope, body, memoryview(frame)[start:end], frame)

    def _read_long(self, frame: bytes) -> Frame | None:
        """Read a frame that is long enough to have too many lists and maps, None if it cannot have.

        Its bytes are looked at only if it has more than a few. Maps are counted where there seem to
        be few, for whoever looks for some.
        """
        with suppress(BadFrame):
            return self._read_hooked(frame, _counter(_FEW), _counter(_FEW))
        if _may_have_too_many(frame):
            count = _counter(CONTAINERS)
            return self._read_hooked(frame, count, count)
        if _begins_with_many(frame, _counter(_FEW)):
            return None
        turns = itertools.count()
        read = self._read_hooked(frame, None, _taking(turns))
        return read._replace(maps=next(turns))

    def _read_hooked(self, frame: bytes, list_hook: _Hook, object_hook: _Hook) -> Frame:
        unpacker = msgpack.Unpacker(
            max_buffer_size=self._max_frame_size, list_hook=list_hook, object_hook=object_hook
        )
        unpacker.feed(frame)
        envelope, start = _as_map(unpacker.unpack()), unpacker.tell()
        if start == len(frame):
            return Frame(envelope, {}, b"", frame)
        body = _as_map(unpacker.unpack())
        return Frame(envelope, body, memoryview(frame)[start : unpacker.tell()], frame)

    def _check_lengths(self, frame: bytes) -> None:
        """See that what the frame announces is there, without making anything of it.

        A few bytes could announce thousands of long lists, one in the other.
        """
        unpacker = self._unpacker
        unpacker.feed(frame)
        unpacker.skip()
        if unpacker.tell() - self._offset < len(frame):
            unpacker.skip()
        end = unpacker.tell() - self._offset
        self._offset += end
        if end != len(frame):
            self._start_afresh()

    def salvage(self, frame: bytes) -> Frame | None:
        """What can be made out of a frame that may not pass, so that its sender can be told.

        Only what says who waits for which answer: the rest may be what is wrong with it.
        """
        try:
            unpacker = msgpack.Unpacker(max_buffer_size=self._max_frame_size, read_size=_SMALL)
            unpacker.feed(frame)
            envelope = _fields(unpacker, frame, ("type", "to", "method", "session"))
            return Frame(envelope, _fields(unpacker, frame, ("promise",)), b"", frame)
        except (ValueError, TypeError, msgpack.UnpackException, msgpack.OutOfData):
            return None

    def read_envelope(self, sealed: bytes) -> dict[str, Any]:
        """Only the first half of a frame that another node has checked and sealed."""
        look = sealed[:_HEAD]
        unpacker = self._unpacker
        unpacker.feed(look)
        try:
            envelope: dict[str, Any] = unpacker.unpack()
        except msgpack.OutOfData:
            self._start_afresh()
            return self.read(sealed).envelope
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            self._start_afresh()
            raise BadFrame(f"The frame is not valid msgpack with text keys: {error}.") from None
        if type(envelope) is not dict:
            self._start_afresh()
            raise BadFrame(f"A frame begins with a map, not {type(envelope).__name__}.")
        self._offset += len(look)
        unpacker.read_bytes(self._offset - unpacker.tell())
        return envelope

    def _start_afresh(self) -> None:
        self._unpacker = msgpack.Unpacker(max_buffer_size=self._max_frame_size)
        self._offset = 0


def _read_plain(frame: bytes) -> Frame | None:
    """Read a long frame of few lists and maps, as one with an image is; None for another.

    Its bytes are neither looked at nor copied before that. What is wrong with it is not told.
    """
    unpacker = msgpack.Unpacker(read_size=_SMALL, max_array_len=_SHORT_LIST)
    unpacker.feed(frame[:_HEAD])
    with suppress(BadFrame, ValueError, TypeError, msgpack.UnpackException):
        envelope = _as_map(unpacker.unpack())
        body, count = memoryview(frame)[unpacker.tell() :], _counter(_FEW)
        values = msgpack.unpackb(
            body, list_hook=count, object_hook=count, max_array_len=_SHORT_LIST
        )
        return Frame(envelope, _as_map(values), body, frame)
    return None


def _begins_with_many(frame: bytes, object_hook: _Hook) -> bool:
    """Whether a hook that counts maps finds too many in what is first in a frame."""
    unpacker = msgpack.Unpacker(object_hook=object_hook)
    unpacker.feed(frame[:_HEAD])
    try:
        unpacker.unpack()
        unpacker.unpack()
    except BadFrame:
        return True
    except msgpack.OutOfData:
        pass  # as it mostly does
    return False


def _may_have_too_many(frame: bytes) -> bool:
    """Whether too many of its bytes could each begin a list or a map; mostly a part settles it."""
    enough = len(frame) - CONTAINERS  # bytes that begin none
    for start in range(0, len(frame), _LOOK):
        ones = frame[start : start + _LOOK].translate(_NO_CONTAINER)
        enough -= zlib.adler32(ones, 0) & 0xFFFF  # their sum: nothing else adds bytes up as fast
        if enough <= 0:
            return False
    return True


def _counter(most: int) -> Callable[[Any], Any]:
    """A hook that leaves lists and maps as they are, until there are too many."""
    return _taking(itertools.chain(itertools.repeat(None, most), _too_many()))


def _taking(turns: Iterator[Any]) -> Callable[[Any], Any]:
    """A hook that leaves what it is called with as it is, and takes a turn each time.

    It runs no Python code, so that counting costs little: `zip` takes a turn and is at its end each
    time, whereupon `next` answers its default, which is what it was called with.
    """
    return partial(next, zip(turns, (), strict=False))


def _too_many() -> Iterator[None]:
    raise BadFrame(f"A frame has at most {CONTAINERS:,} lists and maps.")
    yield  # type: ignore[unreachable]  # makes a generator of it, which raises when it is asked


def _fields(unpacker: msgpack.Unpacker, frame: bytes, names: tuple[str, ...]) -> dict[str, Any]:
    """Some fields of the next map; of two of one name the last, as clients take it."""
    found = {}
    for _ in range(unpacker.read_map_header()):
        name, value = (_skipped(unpacker, frame) for _ in range(2))
        if len(name) <= _SMALL and (key := _lenient(name)) in names and len(value) <= FIELD:
            found[key] = _lenient(value)
    return found


def _skipped(unpacker: msgpack.Unpacker, frame: bytes) -> memoryview:
    """The bytes of the next value."""
    start = unpacker.tell()
    unpacker.skip()
    return memoryview(frame)[start : unpacker.tell()]


def _lenient(packed: memoryview) -> Any:
    return msgpack.unpackb(packed, strict_map_key=False, unicode_errors="replace")


def _as_map(value: object) -> dict[str, Any]:
    if type(value) is not dict:
        raise ValueError(f"a map was expected, not {type(value).__name__}")
    return value


def is_frame(data: bytes) -> bool:
    """Whether it begins with a map, as frames do; what nodes tell each other are arrays."""
    return data[0] & 0xF0 == 0x80 or data[0] >= 0xDE


def pack(value: object) -> bytes:
    global _packer
    try:
        packed: bytes = _packer.pack(value)
    except (ValueError, TypeError, OverflowError) as error:  # as for too many levels
        _packer = msgpack.Packer(use_bin_type=True)  # its buffer may have grown
        raise _unwritable(error) from None
    if len(packed) > _KEPT:
        _packer = msgpack.Packer(use_bin_type=True)
    return packed


def pack_apart(value: object) -> memoryview:
    """The same without a copy, for long values; the memory is freed with the returned view."""
    packer = msgpack.Packer(use_bin_type=True, autoreset=False)
    try:
        packer.pack(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise _unwritable(error) from None
    packed: memoryview = packer.getbuffer()
    return packed


def _unwritable(error: Exception) -> BadFrame:
    return BadFrame(f"This cannot be written as msgpack: {error}.")


# The context of a trace (W3C) comes first in the envelope, so that it is found without unpacking.
_TRACE: Final = pack("traceparent") + b"\xd9\x37"  # a text of 55 characters
_TRACE_AT: Final = slice(1 + len(_TRACE), 1 + len(_TRACE) + 55)


def trace_parent(sealed: bytes) -> str | None:
    """The context of its trace that `with_trace_parent` has written into a frame, or None."""
    if not sealed.startswith(_TRACE, 1):
        return None
    return sealed[_TRACE_AT].decode("ascii", "replace")


def with_trace_parent(sealed: bytes, parent: str) -> bytes:
    """A sealed call with this context of its trace, in place of the one that it had, if any."""
    packed = parent.encode("ascii")
    assert len(packed) == _TRACE_AT.stop - _TRACE_AT.start
    if sealed.startswith(_TRACE, 1):
        return b"".join((sealed[: _TRACE_AT.start], packed, sealed[_TRACE_AT.stop :]))
    return b"".join((_FIXMAP[(sealed[0] & 0x0F) + 1], _TRACE, packed, sealed[1:]))


class Seal:
    """Who a sender is, packed once: `from` and `user` of every frame that they send."""

    __slots__ = ("_packed", "source")

    def __init__(self, source: str, user: dict[str, Any]) -> None:
        self.source = source
        self._packed = pack({"from": source, "user": user})[1:]  # of a map, what is in it

    def call(self, envelope: dict[str, Any], body: bytes | memoryview) -> bytes:
        """A frame of type `method`; only the fields that a call has are taken over."""
        fields = {}
        for key in _CALL_FIELDS:
            if key in envelope:
                fields[key] = envelope[key]
        packed: bytes = _packer.pack(fields)  # of texts, as the guard has seen to
        return b"".join((_FIXMAP[len(fields) + 2], packed[1:], self._packed, body))

    def message(self, envelope: dict[str, Any]) -> bytes:
        """A frame of another type: any fields, and no body (protocol.md 2.3)."""
        fields = {k: v for k, v in envelope.items() if k not in ("from", "user", "ctx")}
        head: bytes = _packer.pack_map_header(len(fields) + 2)
        packed = b"".join(pack(k) + pack(v) for k, v in fields.items())
        return b"".join((head, packed, self._packed))
