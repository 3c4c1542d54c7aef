"""What the pages of instances have logged: readable on any gateway, and after their end."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from hypha_cluster.links.client import RedisClient
from hypha_cluster.protocol.limits import APP_LOG
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import Script

KINDS: Final = ("error", "warning", "log", "info", "debug")
_KEPT: Final = 86_400_000  # ms, from the last entry


class Entry(NamedTuple):
    """One thing that was logged. at: Unix time."""

    at: float
    kind: str
    text: str


class InstanceLogs:
    """Writes and reads logs; each kind of entry has a stream of its own."""

    def __init__(self, redis: RedisClient, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._write = Script(redis, "log_instance")

    async def write(
        self, address: str, kind: str, texts: Sequence[str], *, kept: int = APP_LOG
    ) -> None:
        """kept: how many entries of this kind there are at most from now on."""
        await self._write([self._keys.instance_log(address, kind)], [kept, _KEPT, *texts])

    async def read(self, address: str, kind: str, offset: int, limit: int) -> list[Entry]:
        """Some entries of one kind, the oldest first; none of a kind that there is not."""
        if kind not in KINDS:
            return []
        key = self._keys.instance_log(address, kind)
        found = await self._redis.xrange(key, offset + limit)
        return [
            Entry(int(name.partition(b"-")[0]) / 1000, kind, fields[1].decode())
            for name, fields in found[offset:]
        ]

    async def all(self, address: str) -> dict[str, list[Entry]]:
        """All entries, by their kind; those of errors even when there are none."""
        found = {kind: await self.read(address, kind, 0, APP_LOG) for kind in KINDS}
        return {kind: entries for kind, entries in found.items() if entries or kind == "error"}

    async def last(self, address: str, kind: str) -> str:
        """The text of the newest entry of a kind; empty if there is none."""
        found = await self._redis.xlast(self._keys.instance_log(address, kind))
        return found[0][1][1].decode() if found else ""
