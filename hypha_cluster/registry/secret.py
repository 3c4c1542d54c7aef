"""The secret that signs tokens, where none is configured: made once, and shared by all nodes."""

import secrets

from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.keys import Keys


async def shared_secret(redis: RedisClient, keys: Keys) -> str:
    """The secret that all nodes of this cluster share; made by the first that asks."""
    await redis.set_if_new(keys.secret(), secrets.token_urlsafe(48))
    secret = await redis.get(keys.secret())
    assert secret is not None
    return secret.decode()
