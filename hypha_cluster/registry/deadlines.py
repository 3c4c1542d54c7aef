"""Addresses by the time at which something is due for them, by the clock of Redis."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from hypha_cluster.links.client import RedisClient, Reply
from hypha_cluster.registry.scripts import Script

HELD: Final = 10.0  # seconds until somebody else may take what somebody took and has not done


class Due(NamedTuple):
    """Addresses that were taken, and the time in ms that they have in the list meanwhile."""

    time: int
    addresses: list[str]


class Deadlines:
    """One such list; several nodes take from it at once, and none gets what another one has."""

    def __init__(self, redis: RedisClient, key: str) -> None:
        self._redis = redis
        self._key = key
        self._due = Script(redis, "due")
        self._done = Script(redis, "done")

    def put(self, times: Mapping[str, int]) -> Reply[int]:
        """Note when addresses are due, in ms."""
        return self._redis.zadd(self._key, times)

    async def take(self, many: int) -> Due:
        """The first of those that are due; they come back after HELD seconds unless `done`."""
        time, *addresses = await self._due([self._key], [many, int(HELD * 1000)])
        return Due(time, [address.decode() for address in addresses])

    def done(self, times: Mapping[str, int]) -> Reply[None]:
        """Remove addresses, each only if it still has the time that is given."""
        return self._done([self._key], [word for item in times.items() for word in reversed(item)])
