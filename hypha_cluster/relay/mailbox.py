"""Frames for a client that is between two connections; deliver.lua puts them there."""

from redis.asyncio import Redis

from hypha_cluster.store.connection import translated
from hypha_cluster.store.keys import Keys


class Mailbox:
    """Hands out what waited for a client, once."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    @translated
    async def take(self, address: str) -> list[bytes]:
        """All frames in their order. To be called when the client has joined the bus already."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.lrange(self._keys.mail(address), 0, -1)
            pipe.delete(self._keys.mail(address), self._keys.mail_size(address))
            frames: list[bytes] = (await pipe.execute())[0]
        return frames
