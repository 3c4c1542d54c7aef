"""The commands by which the registry speaks to Redis, each sent at once and awaited when needed.

What is sent in one turn of the event loop is written together, so there is no pipeline: send
several, then await them. All keys of a command are in one slot; what must be done as one is a
script.
"""

import asyncio
import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.links.commands import Commands
from hypha_cluster.metrics import RedisMeter

_log = logging.getLogger(__name__)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Word = str | bytes | int


class Reply(Generic[T_co]):
    """The reply to a command that was sent: to be awaited now, later, or not at all.

    Raises RedisUnavailable when Redis is away, or refuses. Then nobody knows whether it was done.
    """

    __slots__ = ("_command", "_read", "_reply")

    def __init__(
        self, command: str, reply: asyncio.Future[Any], read: Callable[[Any], T_co]
    ) -> None:
        self._command = command
        self._reply = reply
        self._read = read

    def __await__(self) -> Generator[Any, None, T_co]:
        reply = yield from self._reply.__await__()
        if isinstance(reply, Exception):
            raise self._failure(reply)
        return self._read(reply)

    def _failure(self, error: Exception) -> RedisUnavailable:
        if isinstance(error, RedisUnavailable):
            return error
        _log.warning("Redis refuses %s: %s", self._command, error)
        return RedisUnavailable("The hub's Redis does not do its work at the moment; try again.")


async def settled(replies: Iterable[Reply[T]]) -> list[T]:
    """The replies to several commands, in their order."""
    return [await reply for reply in replies]


class RedisClient:
    """Sends commands to whichever server has the key, over one connection to each.

    A command whose connection broke before the reply is sent again, so it may be done twice.
    scripts: those that the servers are made to know, by the names that they have in the metrics.
    """

    def __init__(self, commands: Commands, scripts: Mapping[str, bytes]) -> None:
        self._commands = commands
        self._script_names = {script_hash(script): name for name, script in scripts.items()}
        self.operations: Counter[str] = Counter()

    async def start(self) -> None:
        """Connect; RedisUnavailable if that fails."""
        await self._commands.start()

    async def aclose(self) -> None:
        await self._commands.aclose()
        await self._commands.servers.aclose()

    @property
    def meter(self) -> RedisMeter:
        """What the connections have been used for."""
        return self._commands.meter

    @property
    def is_single(self) -> bool:
        """Whether all keys are at one server, so that one script may have any of them."""
        return not self._commands.servers.is_cluster

    @property
    def is_open(self) -> bool:
        """Whether all keys are at one server, and a command for it is written at once."""
        return self._commands.is_open

    def by_slot(self, items: Iterable[T], key: Callable[[T], str]) -> list[list[T]]:
        """Items in groups whose keys one script may have."""
        groups: defaultdict[int, list[T]] = defaultdict(list)
        for item in items:
            groups[self._commands.servers.slot(key(item))].append(item)
        return list(groups.values())

    async def ordered(self, *replies: Reply[Any]) -> None:
        """Return when whatever is sent from now on is done after these commands.

        A single server does its commands in the order in which they are sent, so nothing waits.
        """
        if not self.is_single:
            await settled(replies)

    # Any type.

    def get(self, key: str) -> Reply[bytes | None]:
        return self._send(key, _as_it_is, "GET", key)

    def set_if_new(self, key: str, value: str, lifetime: int | None = None) -> Reply[bool]:
        """Set a key that is not there; say whether it was new. lifetime: in ms."""
        expiry: tuple[Word, ...] = () if lifetime is None else ("PX", lifetime)
        return self._send(key, bool, "SET", key, value, "NX", *expiry)

    def set_for(self, key: str, value: str, lifetime: int) -> Reply[bytes]:
        """Set a key that expires. lifetime: in ms."""
        return self._send(key, _as_it_is, "SET", key, value, "PX", lifetime)

    def pexpire(self, key: str, lifetime: int) -> Reply[bool]:
        """Have a key expire; say whether it was there. lifetime: in ms."""
        return self._send(key, bool, "PEXPIRE", key, lifetime)

    def pttl(self, key: str) -> Reply[int]:
        """How long it lasts, in ms; less than 0 when it is not there."""
        return self._send(key, int, "PTTL", key)

    def exists(self, key: str) -> Reply[bool]:
        return self._send(key, bool, "EXISTS", key)

    def delete(self, *keys: str) -> Reply[int]:
        return self._send(keys[0], int, "DEL", *keys)

    # Hashes.

    def hget(self, key: str, field: str) -> Reply[bytes | None]:
        return self._send(key, _as_it_is, "HGET", key, field)

    def hmget(self, key: str, *fields: str) -> Reply[list[bytes | None]]:
        return self._send(key, _as_it_is, "HMGET", key, *fields)

    def hgetall(self, key: str) -> Reply[dict[bytes, bytes]]:
        return self._send(key, _pairs, "HGETALL", key)

    def hkeys(self, key: str) -> Reply[list[bytes]]:
        return self._send(key, _as_it_is, "HKEYS", key)

    def hlen(self, key: str) -> Reply[int]:
        return self._send(key, int, "HLEN", key)

    def hset(self, key: str, fields: Mapping[str, str]) -> Reply[int]:
        return self._send(
            key, int, "HSET", key, *(word for item in fields.items() for word in item)
        )

    def hdel(self, key: str, *fields: str) -> Reply[int]:
        return self._send(key, int, "HDEL", key, *fields)

    # Sets.

    def smembers(self, key: str) -> Reply[list[bytes]]:
        return self._send(key, _as_it_is, "SMEMBERS", key)

    def srandmember(self, key: str, count: int) -> Reply[list[bytes]]:
        return self._send(key, _as_it_is, "SRANDMEMBER", key, count)

    def scard(self, key: str) -> Reply[int]:
        return self._send(key, int, "SCARD", key)

    def sadd(self, key: str, *members: str | bytes) -> Reply[int]:
        return self._send(key, int, "SADD", key, *members)

    def srem(self, key: str, *members: str | bytes) -> Reply[int]:
        return self._send(key, int, "SREM", key, *members)

    # Lists.

    def lrange(self, key: str) -> Reply[list[bytes]]:
        """All that is in it."""
        return self._send(key, _as_it_is, "LRANGE", key, 0, -1)

    # Sorted sets.

    def zadd(self, key: str, scores: Mapping[str, int]) -> Reply[int]:
        words = (word for member, score in scores.items() for word in (score, member))
        return self._send(key, int, "ZADD", key, *words)

    def zrem(self, key: str, *members: str | bytes) -> Reply[int]:
        return self._send(key, int, "ZREM", key, *members)

    def zrange(self, key: str) -> Reply[list[bytes]]:
        """All members, by their scores."""
        return self._send(key, _as_it_is, "ZRANGE", key, 0, -1)

    # Streams.

    def xrange(
        self, key: str, count: int, *, after: str = ""
    ) -> Reply[list[tuple[bytes, list[bytes]]]]:
        """The oldest entries, each with its id, then its fields and their values in turn.

        after: the id of an entry; only those behind it are wanted.
        """
        start = f"({after}" if after else "-"
        return self._send(key, _as_it_is, "XRANGE", key, start, "+", "COUNT", count)

    def xlast(self, key: str) -> Reply[list[tuple[bytes, list[bytes]]]]:
        """The newest entry alone."""
        return self._send(key, _as_it_is, "XREVRANGE", key, "+", "-", "COUNT", 1)

    # Scripts.

    def evalsha(self, sha: str, keys: Sequence[str], args: Iterable[Word] = ()) -> Reply[Any]:
        """Call a script that is known."""
        return self._send(keys[0], _as_it_is, "EVALSHA", sha, len(keys), *keys, *args)

    # All of them.

    async def keys_like(self, pattern: str) -> AsyncIterator[str]:
        """All keys of all servers that match; slow, so never for a frame or a request."""
        for slot in self._commands.servers.some_slots():
            cursor: Word = 0
            while True:
                words = ("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
                cursor, keys = await self._send_to(slot, _as_it_is, words)
                for key in keys:
                    yield key.decode()
                if cursor == b"0":
                    break

    def _send(self, key: str, read: Callable[[Any], T], *words: Word) -> Reply[T]:
        return self._send_to(self._commands.servers.slot(key), read, words)

    def _send_to(self, slot: int, read: Callable[[Any], T], words: tuple[Word, ...]) -> Reply[T]:
        name = str(words[0]).lower()
        if name == "evalsha":
            name = self._script_names[str(words[1])]
        self.operations[name] += 1
        return Reply(name, self._commands.ask(slot, words), read)


def script_hash(script: bytes) -> str:
    """The hash by which a server knows a script."""
    return hashlib.sha1(script).hexdigest()


def _as_it_is(reply: Any) -> Any:
    return reply


def _pairs(reply: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(reply[::2], reply[1::2], strict=True))
