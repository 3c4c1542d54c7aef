"""The listing of public services, by name, whichever their workspace."""

import json
from collections.abc import Mapping
from typing import Any

from hypha_cluster.links.client import RedisClient, settled
from hypha_cluster.registry.encoding import Infos
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import Script


def is_public(info: Mapping[str, Any]) -> bool:
    return bool(info.get("config", {}).get("visibility") == "public")


class PublicListing:
    """Keeps the index of public services; an entry is only removed by comparing it."""

    def __init__(self, redis: RedisClient, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._unlist = Script(redis, "unlist")

    async def add(self, address: str, infos: Infos) -> None:
        public = {sid: info for sid, info in infos.items() if is_public(json.loads(info))}
        if not public:
            return
        entries = [
            self._redis.hset(self._keys.public(service), {f"{address}:{service}": info})
            for service, info in public.items()
        ]
        await settled([*entries, self._redis.sadd(self._keys.public_names(), *public)])

    async def remove(self, address: str, infos: Infos) -> None:
        for service, info in infos.items():
            if not is_public(json.loads(info)):
                continue
            key = self._keys.public(service)
            left = await self._unlist(keys=[key], args=[f"{address}:{service}", info])
            if not left:
                await self._redis.srem(self._keys.public_names(), service)
                if await self._redis.exists(key):  # another one came between the two
                    await self._redis.sadd(self._keys.public_names(), service)

    async def all(self) -> list[dict[str, Any]]:
        """Info of every public service, whichever its workspace, with its full id."""
        names = await self._redis.smembers(self._keys.public_names())
        listings = [self._redis.hgetall(self._keys.public(name.decode())) for name in names]
        return [
            {**json.loads(info), "id": full_id.decode()}
            for listing in await settled(listings)
            for full_id, info in listing.items()
        ]

    async def named(self, service: str) -> list[tuple[str, dict[str, Any]]]:
        """Full id and info of the public services of this name."""
        listing = await self._redis.hgetall(self._keys.public(service))
        return [(full_id.decode(), json.loads(info)) for full_id, info in listing.items()]
