"""Messages that come in chunks through a peer's message cache, and those that the hub sends so.

A message of more than 513,024 bytes is sent as calls of the target's `message_cache`: `create`,
`append` …, `process`, which puts it together and dispatches it like a frame (protocol.md 4). What a
guard would stop in a frame could hide in the chunks, so the hub follows each message as it passes
(protocol.md 2.5) without keeping it.
"""

from collections.abc import Iterator, Set
from secrets import token_urlsafe
from typing import Any, Final, NamedTuple, NoReturn

from hypha_cluster.errors import BadFrame, HubError, Overloaded
from hypha_cluster.protocol.envelope import Frame
from hypha_cluster.protocol.guard import CACHE, NO_REFERENCES, shown
from hypha_cluster.protocol.limits import CHUNK, HUB_MESSAGES, IDLE_MESSAGE, MESSAGES, PATH
from hypha_cluster.protocol.message import Carried, Message
from hypha_cluster.protocol.references import Reference
from hypha_cluster.protocol.room import Room

_PARAMETERS: Final = {
    "create": ("key", "heartbeat", "overwrite"),
    "append": ("key", "data", "heartbeat"),
    "process": ("key", "heartbeat"),
    "remove": ("key",),
}
_BEGUN: Final = 256  # bytes that a message takes before any of it has come


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


class Step(NamedTuple):
    """A checked call of a message cache. args: those with which it goes on to the target.

    session: the session of the target that waits for the message and must not time out, if any.
    is_last: whether the message has come whole, or was given up. references: services of others to
    which functions in these bytes lead. carried: what the message is, once it has come whole.
    """

    args: list[Any]
    session: str | None
    is_last: bool
    key: tuple[str, str]
    message: Message
    references: Set[Reference]
    carried: Carried | None


class Leftover(NamedTuple):
    """What the cache of `target` still holds of a message that does not go on.

    method: the function that it calls; None if that had not come yet.
    """

    target: str
    key: str
    session: str | None
    method: str | None


class ChunkGuard:
    """Follows the messages that one client, `source`, is sending in chunks.

    max_message_size: bytes that one message may have, and that all may have that are on their way.
    """

    def __init__(self, source: str, max_message_size: int) -> None:
        self._source = source
        self._max_message_size = max_message_size
        # By target and key; the one that has rested longest comes first.
        self._messages: dict[tuple[str, str], Message] = {}
        self._size = 0  # bytes that have come of all of them
        self._leftovers: list[Leftover] = []
        # All who send to a client share its cache, so each connection has keys of its own: else two
        # connections could write into one message, and neither part alone would show what it is.
        self._own = f"{token_urlsafe(9)}."

    def __len__(self) -> int:
        """How many messages are on their way."""
        return len(self._messages)

    def check(self, frame: Frame, target: str, now: float = 0.0) -> Step:
        """Follow a call of the message cache of `target`; return what to forward.

        The target must hold what was followed here and nothing else. So a message begins with an
        empty entry, whatever was there (`overwrite`), in a place of this connection's own; and it
        goes on when the target is known to have taken what came before.
        """
        call = parse_cache_call(frame)
        key = (target, call.key)
        if call.action == "create":
            if replaced := self._drop(key):
                replaced.is_given_up = True  # and nothing is left of it
            message = Message(self._source, target, self._max_message_size, call.heartbeat)
            self._keep(key, message, now)
            return self._step(key, message, [False, True])
        message = self._messages.get(key) or _unknown(call.key)
        try:
            return self._go_on(key, message, call, now)
        except BadFrame:
            self._give_up(key)
            raise

    def _go_on(self, key: tuple[str, str], message: Message, call: CacheCall, now: float) -> Step:
        if message.in_flight:
            raise BadFrame("Wait for the answer to one part of a message before you send the next.")
        if call.action == "append":
            self._size += len(call.data)
            references = message.append(call.data)
            self._drop(key)
            self._keep(key, message, now)  # behind those that wait longer
            return self._step(key, message, [call.data, False], references)
        carried, references = None, NO_REFERENCES
        if call.action == "process":
            carried, references = message.finish(), message.called()
        self._drop(key)
        args = [] if carried is None else [False]
        return self._step(key, message, args, references, carried)

    def _step(
        self,
        key: tuple[str, str],
        message: Message,
        args: list[Any],
        references: Set[Reference] = NO_REFERENCES,
        carried: Carried | None = None,
    ) -> Step:
        message.in_flight = True
        session, is_last = key[1] if message.heartbeat else None, key not in self._messages
        return Step(
            [self._own + key[1], *args], session, is_last, key, message, references, carried
        )

    def arrived(self, step: Step) -> None:
        """The target has taken it."""
        step.message.in_flight = False

    def failed(self, step: Step) -> None:
        """It is not known whether the target has taken it, so its message cannot go on."""
        if self._messages.get(step.key) is step.message:
            self._drop(step.key)
        self._leave(step.key, step.message)

    def goes_on(self, step: Step) -> bool:
        """Whether its message has not been given up since."""
        return not step.message.is_given_up

    # What comes to nothing.

    def give_up_all(self) -> None:
        """The client is gone, and sends no more of what it has begun."""
        for key in list(self._messages):
            self._give_up(key)

    def take_leftovers(self) -> list[Leftover]:
        """What to remove from the caches of targets, which only the hub can: it knows the keys."""
        leftovers, self._leftovers = self._leftovers, []
        return leftovers

    def _give_up(self, key: tuple[str, str]) -> None:
        if (message := self._drop(key)) is not None:
            self._leave(key, message)

    def _leave(self, key: tuple[str, str], message: Message) -> None:
        """Note what is left of a message, once."""
        if not message.is_given_up:
            message.is_given_up = True
            session = key[1] if message.heartbeat else None
            leftover = Leftover(key[0], self._own + key[1], session, message.method)
            self._leftovers.append(leftover)

    def _keep(self, key: tuple[str, str], message: Message, now: float) -> None:
        """Note that a message goes on; give up those that rest too long, and what is too much.

        Senders never announce that they gave a message up.
        """
        message.touched = now
        self._messages[key] = message
        self._size += message.size
        while self._messages:
            oldest, rests = next(iter(self._messages.items()))
            is_idle = rests.touched < now - IDLE_MESSAGE
            is_much = self._size > self._max_message_size or len(self._messages) > MESSAGES
            if not (is_idle or is_much):
                return
            self._give_up(oldest)

    def _drop(self, key: tuple[str, str]) -> Message | None:
        """Follow a message no longer."""
        message = self._messages.pop(key, None)
        self._size -= message.size if message is not None else 0
        return message


def _unknown(key: str) -> NoReturn:
    raise BadFrame(f"No message {shown(key)} was begun on this connection; send it again.")


class Assembler:
    """Puts messages together that are sent to the hub itself in chunks.

    max_size: bytes that all messages of one sender may have here together. room: what all senders
    may have, also in other ones; None if there is no bound of that.
    """

    def __init__(self, max_size: int = HUB_MESSAGES, room: Room | None = None) -> None:
        self._max_size = max_size
        self._room = room
        self._messages: dict[str, dict[str, bytearray]] = {}

    def take(self, source: str, call: CacheCall) -> bytes | None:
        """Do one call of the message cache; return the whole message for `process`, else None.

        Raises BadFrame, or Overloaded where there is no room; then the message is given up.
        """
        if call.action == "create":
            self._begin(source, call.key)
            return None
        if call.key not in self._messages.get(source, {}):
            raise BadFrame(
                f"No message {shown(call.key)} was begun here; send it again from its start."
            )
        if call.action == "append":
            self._append(source, call)
            return None
        message = self._end(source, call.key)
        return bytes(message) if call.action == "process" else None

    def _begin(self, source: str, key: str) -> None:
        if key in self._messages.get(source, {}):
            self._end(source, key)
        self._hold(source, _BEGUN + len(key))
        messages = self._messages.setdefault(source, {})
        messages[key] = bytearray()
        if len(messages) > MESSAGES:
            self._end(source, next(iter(messages)))

    def _append(self, source: str, call: CacheCall) -> None:
        messages = self._messages[source]
        try:
            self._check_size(sum(map(len, messages.values())) + len(call.data))
            self._hold(source, len(call.data))
        except HubError:
            self._end(source, call.key)
            raise
        messages[call.key] += call.data

    def _check_size(self, size: int) -> None:
        if size > self._max_size:
            raise BadFrame(
                f"The messages that a client sends to the hub in chunks have at most "
                f"{self._max_size} bytes together."
            )

    def _hold(self, source: str, size: int) -> None:
        if self._room is None:
            return
        if not self._room.has(source, size):
            raise Overloaded("Too many messages in chunks are on their way to the hub; end some.")
        self._room.take(source, size)

    def _end(self, source: str, key: str) -> bytearray:
        messages = self._messages[source]
        message = messages.pop(key)
        if not messages:
            del self._messages[source]
        if self._room is not None:
            self._room.take(source, -len(message) - len(key) - _BEGUN)
        return message

    def forget(self, source: str) -> None:
        """The sender left, so nobody will finish what it had begun."""
        for key in list(self._messages.get(source, ())):
            self._end(source, key)


def split(head: bytes, body: memoryview) -> Iterator[bytes]:
    """The chunks of a message that is never whole in memory; its head is shorter than a chunk."""
    first = CHUNK - len(head)
    yield b"".join((head, body[:first]))
    for start in range(first, len(body), CHUNK):
        yield bytes(body[start : start + CHUNK])
