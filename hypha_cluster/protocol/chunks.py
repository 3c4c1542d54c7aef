"""Messages that come in chunks through a peer's message cache, and those that the hub sends so.

A message of more than 513,024 bytes is sent as calls of the target's `message_cache`: `create`,
`append` …, `process`, which puts it together and dispatches it like a frame (PROTOCOL 4). What a
guard would stop in a frame could hide in the chunks, so the hub follows each message as it passes
(PROTOCOL 2.5) without keeping more of it than msgpack needs to find its way.
"""

from collections.abc import Generator, Iterator
from typing import Any, Final, NamedTuple

import msgpack

from hypha_cluster.errors import BadFrame
from hypha_cluster.protocol.envelope import Frame
from hypha_cluster.protocol.guard import BODY_KEYS, CALL_KEYS, check_method, check_promise

CACHE: Final = "services.built-in.message_cache."
CHUNK_SIZE: Final = 512_000
MAX_SINGLE_FRAME: Final = 513_024
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
        raise BadFrame(f"A message cache has no {action!r}.")
    given = _bind(_PARAMETERS[action], frame.body)
    key, data = given.get("key"), given.get("data", b"")
    if not isinstance(key, str):
        raise BadFrame(f"message_cache.{action} takes a key, as text.")
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


class ChunkGuard:
    """Follows the messages that one client, `source`, is sending in chunks.

    max_message_size: bytes that one message may have, and that all of them may keep here.
    """

    def __init__(self, source: str, max_message_size: int) -> None:
        self._source = source
        self._max_message_size = max_message_size
        self._messages: dict[tuple[str, str], _Message] = {}

    def __len__(self) -> int:
        """How many messages are on their way."""
        return len(self._messages)

    def check(self, frame: Frame, target: str) -> list[Any]:
        """Follow a call of the message cache of `target`; answer the arguments to forward.

        The target must hold what was followed here and nothing else, so a message begins with an
        empty entry, whatever was there (`overwrite`), and is a heartbeat's all along or never.
        """
        call = parse_cache_call(frame)
        key = (target, call.key)
        if call.action == "create":
            self._messages[key] = _Message(self._source, self._max_message_size, call.heartbeat)
            return [call.key, call.heartbeat, True]
        if call.action == "remove":
            self._messages.pop(key, None)
            return [call.key]
        heartbeat = self._follow(key, call)
        data = [call.data] if call.action == "append" else []
        return [call.key, *data, heartbeat]

    def _follow(self, key: tuple[str, str], call: CacheCall) -> bool:
        message = self._messages.pop(key, None)
        if message is None:
            raise BadFrame(f"No message {call.key!r} was begun on this connection; send it again.")
        if call.action == "append":
            message.append(call.data)
            self._messages[key] = message
            self._check_total(key)
        else:
            message.finish()
        return message.heartbeat

    def _check_total(self, key: tuple[str, str]) -> None:
        if sum(message.kept for message in self._messages.values()) > self._max_message_size:
            del self._messages[key]
            raise BadFrame(
                f"The messages that a client has on their way have at most "
                f"{self._max_message_size} bytes together."
            )


class _Message:
    """What has come of one message, read by msgpack as far as it goes."""

    def __init__(self, source: str, max_size: int, heartbeat: bool) -> None:
        self.heartbeat = heartbeat
        self._source = source
        self._max_size = max_size
        self._size = 0
        self._unpacker = msgpack.Unpacker(max_buffer_size=max_size)
        self._steps = self._read()
        self._done = False

    @property
    def kept(self) -> int:
        """Bytes held back because the value that they belong to has not ended."""
        behind: int = self._size - self._unpacker.tell()
        return behind

    def append(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._max_size:
            raise BadFrame(f"A message in chunks has at most {self._max_size} bytes.")
        if self._done:
            raise BadFrame("The message in chunks goes on behind its end.")
        try:
            self._unpacker.feed(data)
            self._done = next(self._steps, True)
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise BadFrame(f"The message in chunks is not valid msgpack: {error}.") from None

    def finish(self) -> None:
        """The whole message has come."""
        if not self._done:
            raise BadFrame("The message in chunks ends in the middle of a msgpack value.")

    def _read(self) -> Iterator[bool]:
        """Yield False whenever more bytes are needed; end when the message is read."""
        envelope = yield from self._next("unpack")
        _check_inner_envelope(envelope)
        count = yield from self._next("read_map_header")
        for _ in range(count):
            key = yield from self._next("unpack")
            if key not in BODY_KEYS:
                raise BadFrame(f"The body of a call has no {key!r}.")
            if key == "promise":
                check_promise((yield from self._next("unpack")), self._source)
            else:
                yield from self._next("skip")

    def _next(self, step: str) -> Generator[bool, None, Any]:
        """Do one step of the unpacker; it goes on where it was when its bytes ran out."""
        while True:
            try:
                return getattr(self._unpacker, step)()
            except msgpack.OutOfData:
                yield False


def _check_inner_envelope(envelope: object) -> None:
    if not isinstance(envelope, dict) or envelope.get("type") != "method":
        raise BadFrame("A message in chunks is a call.")
    if not envelope.keys() <= CALL_KEYS:
        raise BadFrame(f"A call has no {', '.join(map(repr, envelope.keys() - CALL_KEYS))}.")
    check_method(envelope)
    if envelope["method"].startswith(CACHE):
        raise BadFrame("A message in chunks cannot hold another one.")


class Assembler:
    """Puts messages together that are sent to the hub itself in chunks."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, str], list[bytes]] = {}

    def take(self, source: str, call: CacheCall) -> bytes | None:
        """Do one call of the message cache; `process` answers the whole message."""
        key = (source, call.key)
        if call.action == "create":
            self._parts[key] = []
            return None
        if key not in self._parts:
            raise BadFrame(f"No message {call.key!r} was begun here; send it again from its start.")
        if call.action == "append":
            self._parts[key].append(call.data)
            return None
        parts = self._parts.pop(key)
        return b"".join(parts) if call.action == "process" else None

    def forget(self, source: str) -> None:
        """The sender left; what it had begun is of no use."""
        for key in [key for key in self._parts if key[0] == source]:
            del self._parts[key]


def split(message: bytes) -> Iterator[bytes]:
    for start in range(0, len(message), CHUNK_SIZE):
        yield message[start : start + CHUNK_SIZE]
