"""A message in chunks, read as it passes: what is in it, and nothing kept but its short fields."""

from collections.abc import Generator, Set
from typing import Any, Final, NamedTuple

import msgpack

from hypha_cluster.errors import BadFrame
from hypha_cluster.protocol.guard import (
    BODY_KEYS,
    CACHE,
    CALL_KEYS,
    check_built_in,
    check_method,
    check_promise,
    shown,
)
from hypha_cluster.protocol.limits import CHUNK_ITEMS, FIELD
from hypha_cluster.protocol.references import Reference, References
from hypha_cluster.protocol.rpc import reject_path
from hypha_cluster.protocol.skipping import Skipping

_STEP: Final = 1_024  # bytes that the unpacker gets at a time, so that it keeps no more


class Carried(NamedTuple):
    """What a message is: which function it calls, and where the answer goes, if one is expected."""

    method: str
    session: str | None
    reject: str | None


class Message:
    """What has come of one message from `source` to `target`.

    heartbeat: whether it is for a session of the target's, whose id is then its key.
    """

    def __init__(self, source: str, target: str, max_size: int, heartbeat: bool) -> None:
        self.heartbeat = heartbeat
        self.in_flight = self.is_given_up = False
        self.size = 0
        self.touched = 0.0
        self._max_size = max_size
        self._reader = _Reader(source, target)
        self._steps = self._reader.read()  # not by itself: so both are freed at once
        self._references = References(source, target)
        self._is_whole = False

    @property
    def method(self) -> str | None:
        """What it calls, once that has come."""
        return self._reader.envelope.get("method")

    def append(self, data: bytes) -> Set[Reference]:
        """Read on; answer to which services of others functions in these bytes lead."""
        self.size += len(data)
        if self.size > self._max_size:
            raise BadFrame(f"A message in chunks has at most {self._max_size} bytes.")
        if self._is_whole and data:
            raise BadFrame("The message in chunks goes on behind its end.")
        self._reader.data = memoryview(data)
        try:
            self._is_whole = next(self._steps, True)
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise BadFrame(f"The message in chunks is not valid msgpack: {error}.") from None
        self._reader.data = memoryview(b"")
        return self._references.feed(data)

    def finish(self) -> Carried:
        """The whole message has come; answer what it is."""
        if not self._is_whole:
            raise BadFrame("The message in chunks ends in the middle of a msgpack value.")
        envelope = self._reader.envelope
        reject = reject_path(self._reader.promise)
        return Carried(envelope["method"], envelope.get("session"), reject)


class _Reader:
    """Makes values of the short fields of a message, checks them, and skips the others."""

    def __init__(self, source: str, target: str) -> None:
        self.envelope: dict[str, Any] = {}
        self.promise: object = None
        self.data = memoryview(b"")  # what has come and was not read
        self._source = source
        self._target = target
        # What is made a value of has no long lists; announcing one costs memory.
        self._unpacker = msgpack.Unpacker(
            max_buffer_size=2 * FIELD,
            read_size=_STEP,
            max_array_len=CHUNK_ITEMS,
            max_map_len=CHUNK_ITEMS,
        )
        self._fed = 0  # bytes that the unpacker has had

    def read(self) -> Generator[bool, None, None]:
        """Yield False whenever more `data` is needed; end when the message is read."""
        envelope = yield from self._next("unpack")
        _check_envelope(envelope)
        self.envelope = envelope
        # That is where it goes, whatever it says.
        check_built_in(envelope["method"], self._source, self._target)
        for _ in range((yield from self._next("read_map_header"))):
            key = yield from self._next("unpack")
            if key not in BODY_KEYS:
                raise BadFrame(f"The body of a call has no {shown(key)}.")
            if key == "promise":
                self.promise = yield from self._next("unpack")
                check_promise(self.promise, self._source)
            else:
                yield from self._skip()

    def _next(self, step: str) -> Generator[bool, None, Any]:
        """Do one step of the unpacker; it goes on where it was when its bytes ran out."""
        start = self._unpacker.tell()
        while True:
            try:
                return getattr(self._unpacker, step)()
            except msgpack.OutOfData:
                if self._fed - start > FIELD:
                    raise BadFrame(f"A field of a call has at most {FIELD:,} bytes.") from None
            while not self.data:
                yield False
            self._unpacker.feed(self.data[:_STEP])
            self._fed += len(self.data[:_STEP])
            self.data = self.data[_STEP:]

    def _skip(self) -> Generator[bool, None, None]:
        """Skip a value of any size, without the unpacker: that would keep it."""
        skipping = Skipping()
        kept: bytes = self._unpacker.read_bytes(self._fed - self._unpacker.tell())
        rest = skipping.feed(b"".join((kept, self.data)))
        while rest is None:
            self.data = memoryview(b"")
            yield False
            rest = skipping.feed(bytes(self.data))
        self.data = memoryview(rest)


def _check_envelope(envelope: object) -> None:
    if not isinstance(envelope, dict) or envelope.get("type") != "method":
        raise BadFrame("A message in chunks is a call.")
    if not envelope.keys() <= CALL_KEYS:
        raise BadFrame(f"A call has no {', '.join(map(shown, envelope.keys() - CALL_KEYS))}.")
    check_method(envelope)
    if envelope["method"].startswith(CACHE):
        raise BadFrame("A message in chunks cannot hold another one.")
