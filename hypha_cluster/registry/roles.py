"""Roles: what one gateway does for the whole cluster, until it ends or gives the role up."""

import secrets
from typing import Final

from hypha_cluster.links.client import RedisClient, Word
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import Script

LEASE: Final = 8.0  # seconds without a renewal, after which a role is free
RENEWAL: Final = 2.0  # seconds between two renewals, and between two attempts to take it


class Role:
    """A lease on one role, as one gateway takes it. A gateway has one object for each role."""

    def __init__(self, redis: RedisClient, keys: Keys, name: str) -> None:
        self._key = keys.role(name)
        self._epoch = secrets.token_hex(8)
        self._take = Script(redis, "take_lease")
        self._renew = Script(redis, "renew_lease")
        self._drop = Script(redis, "drop_lease")

    async def take(self) -> bool:
        """Take the role if it is free; say whether this gateway has it now, for LEASE seconds."""
        lease: list[Word] = [self._epoch, self._key, int(LEASE * 1000), 0]
        return await self._take([self._key], lease) is None

    async def renew(self) -> bool:
        """Renew the lease; say whether the role is still this gateway's. RedisUnavailable."""
        renewed: int = await self._renew([self._key], [self._epoch, int(LEASE * 1000)])
        return renewed == 1

    async def give_up(self) -> None:
        """Let others have it at once."""
        await self._drop([self._key], [self._epoch])
