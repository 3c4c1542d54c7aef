"""What the pages of instances have logged: readable on any gateway, and after their end."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple, Self

from hypha_cluster.errors import BadRequest
from hypha_cluster.links.client import RedisClient
from hypha_cluster.protocol.guard import shown
from hypha_cluster.protocol.limits import APP_LOG
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import Script

KINDS: Final = ("error", "warning", "log", "info", "debug")
_KEPT: Final = 86_400_000  # ms, from the last entry
_PLACE: Final = re.compile(r"(\d{1,15}-\d{1,10})?")


class Entry(NamedTuple):
    """One thing that was logged. at: Unix time."""

    at: float
    kind: str
    text: str


class Cursor(NamedTuple):
    """How far somebody has read a log. places: of each kind the last entry's id, or nothing."""

    places: tuple[str, ...] = ("",) * len(KINDS)

    @classmethod
    def of(cls, text: str) -> Self:
        """The same from its text, which is empty at the start of a log; BadRequest."""
        if not text:
            return cls()
        places = tuple(text.split(","))
        if len(places) != len(KINDS) or not all(map(_PLACE.fullmatch, places)):
            raise BadRequest(f"'after' is the cursor of an entry, not {shown(text)}.")
        return cls(places)

    def __str__(self) -> str:
        return ",".join(self.places)

    def behind(self, kind: str, place: str) -> "Cursor":
        """The same, after an entry of a kind was read."""
        number = KINDS.index(kind)
        return Cursor((*self.places[:number], place, *self.places[number + 1 :]))


class InstanceLogs:
    """Writes and reads logs; each kind of entry has a stream of its own."""

    def __init__(self, redis: RedisClient, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._write = Script(redis, "log_instance")

    async def write(
        self, address: str, kind: str, texts: Sequence[str], *, kept: int = APP_LOG
    ) -> None:
        """Add entries of one kind. kept: how many of the newest stay, at most."""
        channel = self._keys.log_channel(address)
        await self._write([self._keys.instance_log(address, kind)], [kept, _KEPT, channel, *texts])

    async def read(self, address: str, kind: str, offset: int, limit: int) -> list[Entry]:
        """Some entries of one kind, the oldest first; none if there is no such kind."""
        if kind not in KINDS:
            return []
        key = self._keys.instance_log(address, kind)
        found = await self._redis.xrange(key, offset + limit)
        return [_entry(kind, name, fields) for name, fields in found[offset:]]

    async def all(self, address: str) -> dict[str, list[Entry]]:
        """All entries, by their kind; those of errors even when there are none."""
        found = {kind: await self.read(address, kind, 0, APP_LOG) for kind in KINDS}
        return {kind: entries for kind, entries in found.items() if entries or kind == "error"}

    async def since(self, address: str, cursor: Cursor) -> list[tuple[Entry, Cursor]]:
        """What was logged after a cursor, by time; each entry with the cursor behind it."""
        asked = [
            (kind, self._redis.xrange(self._keys.instance_log(address, kind), APP_LOG, after=place))
            for kind, place in zip(KINDS, cursor.places, strict=True)
        ]
        found = [
            (*_numbers(name), kind, name.decode(), _entry(kind, name, fields))
            for kind, reply in asked
            for name, fields in await reply
        ]
        read = []
        for _, _, kind, place, entry in sorted(found):
            cursor = cursor.behind(kind, place)
            read.append((entry, cursor))
        return read

    async def last(self, address: str, kind: str) -> str:
        """The text of the newest entry of a kind; empty if there is none."""
        found = await self._redis.xlast(self._keys.instance_log(address, kind))
        return found[0][1][1].decode() if found else ""


def _entry(kind: str, name: bytes, fields: list[bytes]) -> Entry:
    return Entry(_numbers(name)[0] / 1000, kind, fields[1].decode())


def _numbers(name: bytes) -> tuple[int, int]:
    """The two parts of an entry's id: a time in ms, and a number within it."""
    at, _, number = name.partition(b"-")
    return int(at), int(number)
