"""Whose event stream it is that a frame is posted for: any gateway may get it."""

from typing import Final

from cachetools import TTLCache

from hypha_cluster.errors import Conflict
from hypha_cluster.links.client import RedisClient
from hypha_cluster.protocol.limits import KNOWN_STREAMS
from hypha_cluster.registry.keys import Keys

# Whoever has a stream says so every 15 s.
_LATE: Final = 80.0  # seconds that may pass beyond the grace of a client
_KNOWN: Final = 5.0  # seconds for which a gateway remembers an address


class Streams:
    """Addresses of clients, each by the digest of a secret that its client alone knows.

    grace: seconds for which a client that is between two streams keeps its place.
    """

    def __init__(self, redis: RedisClient, keys: Keys, grace: float) -> None:
        self._redis = redis
        self._keys = keys
        self._lifetime = int((grace + _LATE) * 1000)
        self._known: TTLCache[str, str] = TTLCache(KNOWN_STREAMS, _KNOWN)

    async def open(self, digest: str, address: str) -> None:
        """Note whose stream it is; Conflict when it is that of another client."""
        key = self._keys.stream(digest)
        if not await self._redis.set_if_new(key, address, self._lifetime):
            found = await self._redis.get(key)
            if found is not None and found.decode() != address:
                raise Conflict("The session_id is in use by another client; take a new one.")
            await self.keep(digest, address)

    async def keep(self, digest: str, address: str) -> None:
        """Note a stream for longer, or again if Redis has lost it."""
        await self._redis.set_for(self._keys.stream(digest), address, self._lifetime)

    async def find(self, digest: str) -> str | None:
        """The address of the client; None when there is no such stream, and was none lately."""
        known: str | None = self._known.get(digest)
        if known is None:
            found = await self._redis.get(self._keys.stream(digest))
            if found is None:
                return None
            known = self._known[digest] = found.decode()
        return known
