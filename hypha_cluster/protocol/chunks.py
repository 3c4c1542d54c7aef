"""Messages that come in chunks through a peer's message cache, and those that the hub sends so.

A message of more than 513,024 bytes is sent as calls of the target's `message_cache`: `create`,
`append` …, `process`, which puts it together and dispatches it like a frame (PROTOCOL 4). What a
guard would stop in a frame could hide in the chunks, so the hub follows each message as it passes
(PROTOCOL 2.5) without keeping more of it than msgpack needs to find its way.
"""

from collections.abc import Generator, Iterator, Set
from secrets import token_urlsafe
from typing import Any, Final, NamedTuple

import msgpack

from hypha_cluster.errors import BadFrame
from hypha_cluster.protocol.envelope import Frame
from hypha_cluster.protocol.guard import (
    BODY_KEYS,
    CACHE,
    CALL_KEYS,
    NO_REFERENCES,
    check_built_in,
    check_method,
    check_promise,
    shown,
)
from hypha_cluster.protocol.limits import CHUNK, CHUNK_ITEMS, MESSAGES, PATH
from hypha_cluster.protocol.references import Reference, References

_SMALL: Final = 1_024  # bytes of an unpacker's buffer at first; it grows with what it is fed
_PARAMETERS: Final = {
    "create": ("key", "heartbeat", "overwrite"),
    "append": ("key", "data", "heartbeat"),
    "process": ("key", "heartbeat"),
    "remove": ("key",),
}


class CacheCall(NamedTuple):
    """One call of a message cache: what is done, to which message, with which bytes.

    heartbeat: whether the message answers a session of the target's, whose id is then the key.
    """

    action: str
    key: str
    data: bytes
    heartbeat: bool


def parse_cache_call(frame: Frame) -> CacheCall:
    """Read a call of a message cache."""
    action = frame.envelope["method"].removeprefix(CACHE)
    if action not in _PARAMETERS:
        raise BadFrame(f"A message cache has no {shown(action)}.")
    given = _bind(_PARAMETERS[action], frame.body)
    key, data = given.get("key"), given.get("data", b"")
    if not isinstance(key, str) or len(key) > PATH:
        raise BadFrame(
            f"message_cache.{action} takes a key, as text of {PATH:,} characters at most."
        )
    if not isinstance(data, bytes) or ("data" in given) != (action == "append"):
        raise BadFrame("message_cache.append takes bytes.")
    return CacheCall(action, key, data, bool(given.get("heartbeat")))


def _bind(parameters: tuple[str, ...], body: dict[str, Any]) -> dict[str, Any]:
    """Arguments by name; 0.5.6 passes some by keyword, the others none."""
    args = list(body.get("args", []))
    kwargs = args.pop() if body.get("with_kwargs") and args else {}
    if len(args) > len(parameters) or not isinstance(kwargs, dict):
        raise BadFrame(f"A message cache takes {', '.join(parameters)}.")
    given = dict(zip(parameters, args, strict=False)) | kwargs
    if not given.keys() <= set(parameters):
        raise BadFrame(f"A message cache takes {', '.join(parameters)}.")
    return given


class _Message:
    """What has come of one message, read by msgpack as far as it goes."""

    def __init__(self, source: str, target: str, max_size: int, heartbeat: bool) -> None:
        self.heartbeat = heartbeat
        self.in_flight = False
        self._max_size = max_size
        self._size = 0
        # What is made a value of, and not skipped, has no long lists; announcing one costs memory.
        self._unpacker = msgpack.Unpacker(
            max_buffer_size=max_size,
            read_size=min(_SMALL, max_size),
            max_array_len=CHUNK_ITEMS,
            max_map_len=CHUNK_ITEMS,
        )
        self._steps = _read(self._unpacker, source, target)
        self._references = References(source, target)
        self._done = False

    @property
    def kept(self) -> int:
        """Bytes held back because the value that they belong to has not ended."""
        behind: int = self._size - self._unpacker.tell()
        return behind

    def append(self, data: bytes) -> Set[Reference]:
        """Read on; answer to which services of others functions in these bytes lead."""
        self._size += len(data)
        if self._size > self._max_size:
            raise BadFrame(f"A message in chunks has at most {self._max_size} bytes.")
        if self._done and data:
            raise BadFrame("The message in chunks goes on behind its end.")
        try:
            self._unpacker.feed(data)
            self._done = next(self._steps, True)
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise BadFrame(f"The message in chunks is not valid msgpack: {error}.") from None
        return self._references.feed(data)

    def finish(self) -> None:
        """The whole message has come."""
        if not self._done:
            raise BadFrame("The message in chunks ends in the middle of a msgpack value.")


class Step(NamedTuple):
    """What of a call of a cache goes to the target.

    session: the one there that waits for the message, to be kept from timing out. is_last:
    whether the message has come whole, or was given up. references: services of others to which
    functions in these bytes lead.
    """

    args: list[Any]
    session: str | None
    is_last: bool
    key: tuple[str, str]
    message: _Message
    references: Set[Reference]


class ChunkGuard:
    """Follows the messages that one client, `source`, is sending in chunks.

    max_message_size: bytes that one message may have, and that all of them may keep here.
    """

    def __init__(self, source: str, max_message_size: int) -> None:
        self._source = source
        self._max_message_size = max_message_size
        self._messages: dict[tuple[str, str], _Message] = {}
        # A cache is shared by all who send to its owner, so each connection has keys of its own:
        # else two could write into one message, each of them followed for itself.
        self._own = f"{token_urlsafe(9)}."

    def __len__(self) -> int:
        """How many messages are on their way."""
        return len(self._messages)

    def check(self, frame: Frame, target: str) -> Step:
        """Follow a call of the message cache of `target`; answer what to forward.

        The target must hold what was followed here and nothing else. So a message begins with an
        empty entry, whatever was there (`overwrite`), in a place of this connection's own; and it
        goes on when the target is known to have taken what came before.
        """
        call = parse_cache_call(frame)
        key = (target, call.key)
        if call.action == "create":
            self._messages.pop(key, None)
            message = _Message(self._source, target, self._max_message_size, call.heartbeat)
            self._messages[key] = message
            self._make_room()
            return self._step(key, message, [False, True])
        message = self._take(key, call)
        if call.action == "remove":
            return self._step(key, message, [])
        if call.action == "process":
            message.finish()
            return self._step(key, message, [False])
        references = message.append(call.data)
        self._messages[key] = message
        self._make_room()
        return self._step(key, message, [call.data, False], references)

    def _take(self, key: tuple[str, str], call: CacheCall) -> _Message:
        message = self._messages.pop(key, None)
        if message is None:
            raise BadFrame(
                f"No message {shown(call.key)} was begun on this connection; send it again."
            )
        if message.in_flight:
            raise BadFrame("Wait for the answer to one part of a message before the next.")
        return message

    def _step(
        self,
        key: tuple[str, str],
        message: _Message,
        args: list[Any],
        references: Set[Reference] = NO_REFERENCES,
    ) -> Step:
        message.in_flight = True
        session, is_last = key[1] if message.heartbeat else None, key not in self._messages
        return Step([self._own + key[1], *args], session, is_last, key, message, references)

    def arrived(self, step: Step) -> None:
        """The target has taken it."""
        step.message.in_flight = False

    def failed(self, step: Step) -> None:
        """Whether the target has taken it is not known; so its message cannot go on."""
        if self._messages.get(step.key) is step.message:
            del self._messages[step.key]

    def _make_room(self) -> None:
        """Give up what was begun and left, which nobody ever says of a message."""
        kept = sum(message.kept for message in self._messages.values())
        while kept > self._max_message_size or len(self._messages) > MESSAGES:
            oldest = next(iter(self._messages))
            kept -= self._messages.pop(oldest).kept


def _read(unpacker: msgpack.Unpacker, source: str, target: str) -> Iterator[bool]:
    """Yield False whenever more bytes are needed; end when the message is read."""
    envelope = yield from _next(unpacker, "unpack")
    _check_inner_envelope(envelope)
    check_built_in(envelope["method"], source, target)  # that is where it goes, whatever it says
    count = yield from _next(unpacker, "read_map_header")
    for _ in range(count):
        key = yield from _next(unpacker, "unpack")
        if key not in BODY_KEYS:
            raise BadFrame(f"The body of a call has no {shown(key)}.")
        if key == "promise":
            check_promise((yield from _next(unpacker, "unpack")), source)
        else:
            yield from _next(unpacker, "skip")


def _next(unpacker: msgpack.Unpacker, step: str) -> Generator[bool, None, Any]:
    """Do one step of the unpacker; it goes on where it was when its bytes ran out."""
    while True:
        try:
            return getattr(unpacker, step)()
        except msgpack.OutOfData:
            yield False


def _check_inner_envelope(envelope: object) -> None:
    if not isinstance(envelope, dict) or envelope.get("type") != "method":
        raise BadFrame("A message in chunks is a call.")
    if not envelope.keys() <= CALL_KEYS:
        raise BadFrame(f"A call has no {', '.join(map(shown, envelope.keys() - CALL_KEYS))}.")
    check_method(envelope)
    if envelope["method"].startswith(CACHE):
        raise BadFrame("A message in chunks cannot hold another one.")


class Assembler:
    """Puts messages together that are sent to the hub itself in chunks.

    max_size: bytes that all messages of one sender may have here together.
    """

    def __init__(self, max_size: int = 2**28) -> None:
        self._max_size = max_size
        self._messages: dict[str, dict[str, bytearray]] = {}

    def take(self, source: str, call: CacheCall) -> bytes | None:
        """Do one call of the message cache; `process` answers the whole message."""
        messages = self._messages.setdefault(source, {})
        if call.action == "create":
            messages.pop(call.key, None)
            messages[call.key] = bytearray()
            if len(messages) > MESSAGES:
                del messages[next(iter(messages))]
            return None
        if call.key not in messages:
            raise BadFrame(
                f"No message {shown(call.key)} was begun here; send it again from its start."
            )
        if call.action == "append":
            messages[call.key] += call.data
            self._check_size(messages, call.key)
            return None
        message = messages.pop(call.key)
        if not messages:
            del self._messages[source]
        return bytes(message) if call.action == "process" else None

    def _check_size(self, messages: dict[str, bytearray], key: str) -> None:
        if sum(map(len, messages.values())) > self._max_size:
            del messages[key]
            raise BadFrame(
                f"The messages that a client sends to the hub in chunks have at most "
                f"{self._max_size} bytes together."
            )

    def forget(self, source: str) -> None:
        """The sender left; what it had begun is of no use."""
        self._messages.pop(source, None)


def split(message: bytes) -> Iterator[bytes]:
    for start in range(0, len(message), CHUNK):
        yield message[start : start + CHUNK]
