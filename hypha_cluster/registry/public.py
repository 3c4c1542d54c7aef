"""The listing of public services, by name, whichever their workspace.

It is in other slots than the services of the workspaces. So the script that changes a service also
notes it as unsettled (`Keys.unsettled`): the listing may be wrong about it. Whoever changed it then
settles it here.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from hypha_cluster.links.client import RedisClient, Reply, settled
from hypha_cluster.protocol.address import workspace_of
from hypha_cluster.registry.encoding import Infos, flatten, pairs
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import Script

NOT_LISTED: Final = ""  # stands for the info of a service that the listing should not have


def is_public(info: Mapping[str, Any]) -> bool:
    return bool(info.get("config", {}).get("visibility") == "public")


def as_listed(info: str) -> str:
    """What the listing should say of a service with this info, as JSON."""
    # Most infos do not have the word at all, so they need not be read.
    return info if '"public"' in info and is_public(json.loads(info)) else NOT_LISTED


class PublicListing:
    """Keeps the index of public services."""

    def __init__(self, redis: RedisClient, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._settle = Script(redis, "settle")

    async def settle(self, address: str, infos: Infos) -> None:
        """Make the listing say of a client's services what their workspace says.

        infos: what the workspace says, as far as is known; NOT_LISTED for one that is not public.
        """
        while infos:
            await self._remove(address, [each for each, info in infos.items() if not info])
            added = self._add(address, {each: info for each, info in infos.items() if info})
            await self._redis.ordered(*added)
            answer = self._check(address, infos)
            await settled(added)
            infos = pairs(await answer)  # what has changed meanwhile

    def _add(self, address: str, infos: Infos) -> list[Reply[int]]:
        if not infos:
            return []
        added = [
            self._redis.hset(self._keys.public(service), {f"{address}:{service}": info})
            for service, info in infos.items()
        ]
        return [*added, self._redis.sadd(self._keys.public_names(), *infos)]

    async def _remove(self, address: str, services: list[str]) -> None:
        removed, left = [], []
        for service in services:
            key = self._keys.public(service)
            removed.append(self._redis.hdel(key, f"{address}:{service}"))
            left.append(self._redis.exists(key))
        await settled(removed)
        are_left = zip(services, await settled(left), strict=True)
        await self._forget([name for name, is_left in are_left if not is_left])

    async def _forget(self, names: list[str]) -> None:
        """Forget names that no public service has any more."""
        if not names:
            return
        await self._redis.srem(self._keys.public_names(), *names)
        left = [self._redis.exists(self._keys.public(name)) for name in names]
        again = [name for name, is_left in zip(names, await settled(left), strict=True) if is_left]
        if again:  # another one came between the two
            await self._redis.sadd(self._keys.public_names(), *again)

    def _check(self, address: str, infos: Infos) -> Reply[list[bytes]]:
        keys, workspace = self._keys, workspace_of(address)
        return self._settle(
            keys=[keys.client_public(address), keys.services(workspace), keys.unsettled(address)],
            args=[address[len(workspace) + 1 :], *flatten(infos)],
        )

    async def all(self) -> list[dict[str, Any]]:
        """Info of every public service, whichever its workspace, with its full id."""
        names = await self._redis.smembers(self._keys.public_names())
        listings = [self._redis.hgetall(self._keys.public(name.decode())) for name in names]
        return [
            {**json.loads(info), "id": full_id.decode()}
            for listing in await settled(listings)
            for full_id, info in listing.items()
        ]

    async def named(self, service: str) -> list[str]:
        """Full ids of the public services of this name."""
        return [full_id.decode() for full_id in await self._redis.hkeys(self._keys.public(service))]
