"""The tokens that users have made on their account page, so that they can end them by name."""

import json
import time
from typing import NamedTuple

from hypha_cluster.errors import Conflict, NotFound
from hypha_cluster.links.client import RedisClient
from hypha_cluster.protocol.limits import ISSUED_TOKENS
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import Script


class IssuedToken(NamedTuple):
    """What is kept of a token: all but the token. made, expires: Unix times."""

    id: str
    name: str
    scopes: tuple[str, ...]
    made: float
    expires: float


class IssuedTokens:
    """Keeps what users have to know of their tokens, until those expire."""

    def __init__(self, redis: RedisClient, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._note = Script(redis, "note_token")

    async def of_user(self, user: str) -> list[IssuedToken]:
        """Those that have not expired, the newest first."""
        kept = await self._redis.hgetall(self._keys.tokens(user))
        tokens = [_token(name.decode(), value) for name, value in kept.items()]
        living = [token for token in tokens if token.expires > time.time()]
        return sorted(living, key=lambda token: -token.made)

    async def add(self, user: str, token: IssuedToken) -> None:
        """Keep one more; Conflict when there are too many."""
        known = await self.of_user(user)
        if len(known) >= ISSUED_TOKENS:
            raise Conflict(f"You have {ISSUED_TOKENS} tokens; end some first.")
        value = json.dumps([token.name, token.scopes, token.made, token.expires])
        living = [kept.id for kept in known]
        await self._note(keys=[self._keys.tokens(user)], args=[token.id, value, *living])

    async def take(self, user: str, token: str) -> IssuedToken:
        """Forget one of a user's; NotFound."""
        kept = await self._redis.hget(self._keys.tokens(user), token)
        if kept is None:
            raise NotFound("You have no such token any more.")
        await self._note(keys=[self._keys.tokens(user)], args=["", token])
        return _token(token, kept)


def _token(token: str, kept: bytes) -> IssuedToken:
    name, scopes, made, expires = json.loads(kept)
    return IssuedToken(token, name, tuple(scopes), made, expires)
