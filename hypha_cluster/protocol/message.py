"""A message in chunks, read as it passes: what is in it, and nothing kept but its short fields."""

from collections.abc import Generator, Set
from contextlib import suppress
from typing import Any, Final, NamedTuple

import msgpack

from hypha_cluster.errors import BadFrame
from hypha_cluster.protocol.address import workspace_of
from hypha_cluster.protocol.guard import (
    BODY_KEYS,
    CACHE,
    CALL_KEYS,
    GET_SERVICE,
    NO_REFERENCES,
    check_built_in,
    check_method,
    check_promise,
    service_called,
    shown,
)
from hypha_cluster.protocol.limits import CHUNK_ITEMS, FIELD
from hypha_cluster.protocol.references import Reference, References
from hypha_cluster.protocol.rpc import reject_path
from hypha_cluster.protocol.skipping import Skipping

_SHORT: Final = 1_024  # bytes in which a field mostly ends


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
        # A generator of the reader, not of this object: so no circle keeps them in memory.
        self._steps = self._reader.read()
        self._references = References(source, target)
        self._is_whole = False
        self._target = target
        self._goes_out = workspace_of(source) != workspace_of(target)

    @property
    def method(self) -> str | None:
        """The function that it calls; None as long as that has not come."""
        return self._reader.envelope.get("method")

    def append(self, data: bytes) -> Set[Reference]:
        """Read on; return the services of others to which functions in these bytes lead."""
        self.size += len(data)
        if self.size > self._max_size:
            raise BadFrame(f"A message in chunks has at most {self._max_size} bytes.")
        self._reader.put(data)
        self._go_on()
        return self._references.feed(data, self._reader.dropped) | self.called()

    def called(self) -> Set[Reference]:
        """The service of another workspace that it calls: told once, when it has been read.

        That may be as late as the end of the message.
        """
        if not self._goes_out or not self.method:
            return NO_REFERENCES
        self._goes_out = False
        if self.method == GET_SERVICE:  # whose arguments are not read
            raise BadFrame(f"{GET_SERVICE} of another workspace is called in one frame.")
        service = service_called(self._reader.envelope, {})
        if service is None:
            return NO_REFERENCES
        return {Reference(self._target, service, is_called=True)}

    def _go_on(self) -> None:
        try:
            self._is_whole = next(self._steps, True)
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise BadFrame(f"The message in chunks is not valid msgpack: {error}.") from None
        if self._is_whole and self._reader.data:
            raise BadFrame("The message in chunks goes on after its end.")

    def finish(self) -> Carried:
        """The whole message has come; return what it is."""
        self._reader.is_all = True
        self._go_on()
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
        self.data: bytes | memoryview = b""  # what has come and was not read
        self.dropped: list[tuple[int, int]] = []  # of the data that came last; see `Skipping`
        self.is_all = False  # whether no more comes
        self._source = source
        self._target = target

    def put(self, data: bytes) -> None:
        """Take what comes next; it is copied only where something before it was not read yet."""
        self.data = b"".join((self.data, data)) if self.data else data
        self.dropped.clear()

    def read(self) -> Generator[bool, None, None]:
        """Yield False whenever more `data` is needed; end when the message is read."""
        envelope = yield from self._next("unpack")
        _check_envelope(envelope)
        self.envelope = envelope
        # The message goes to this target, whatever its envelope says.
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
        """Do one step with an unpacker of its own: one that is kept takes 40 kB a message.

        A step that lacks data starts over only when twice as much has come, so that a message in
        tiny parts costs no more than one in large parts.
        """
        tried = 0
        while True:
            if len(self.data) > 2 * tried or self.is_all:
                for size in (_SHORT, 2 * FIELD):
                    with suppress(msgpack.OutOfData):
                        return self._do(step, size)
                if len(self.data) > FIELD:
                    raise BadFrame(f"A field of a call has at most {FIELD:,} bytes.")
                tried = len(self.data)
            self.data = bytes(self.data)  # a view would keep all that it is of
            yield False

    def _do(self, step: str, size: int) -> Any:
        """Do a step with so many bytes of the data, and take those away that it needed."""
        unpacker = msgpack.Unpacker(
            max_buffer_size=2 * FIELD, max_array_len=CHUNK_ITEMS, max_map_len=CHUNK_ITEMS
        )
        unpacker.feed(self.data[:size])
        value = getattr(unpacker, step)()
        self.data = memoryview(self.data)[unpacker.tell() :]
        return value

    def _skip(self) -> Generator[bool, None, None]:
        """Skip a value of any size."""
        skipping = Skipping(self.dropped)
        while (rest := skipping.feed(self.data)) is None:
            self.data = b""
            yield False
        self.data = rest


def _check_envelope(envelope: object) -> None:
    if not isinstance(envelope, dict) or envelope.get("type") != "method":
        raise BadFrame("A message in chunks is a call.")
    if not envelope.keys() <= CALL_KEYS:
        raise BadFrame(f"A call has no {', '.join(map(shown, envelope.keys() - CALL_KEYS))}.")
    check_method(envelope)
    if envelope["method"].startswith(CACHE):
        raise BadFrame("A message in chunks cannot hold another one.")
