"""The tokens that users find on their account page, so that they can end them by name."""

import json
import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from hypha_cluster.errors import Conflict, NotFound
from hypha_cluster.links.client import RedisClient
from hypha_cluster.protocol.limits import ISSUED_TOKENS, LISTED_LOGINS
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import Script

_USED: Final = "used:"  # what a field begins with that says when a token was last used


class IssuedToken(NamedTuple):
    """What is kept about a token, without the token itself. made, expires, used: Unix times.

    by_login: whether a program got it by a login; then its name is the program's. used: 0: never.
    """

    id: str
    name: str
    scopes: tuple[str, ...]
    made: float
    expires: float
    by_login: bool = False
    used: float = 0.0

    def to_json(self) -> str:
        """All but the id, and when it was used, which have fields of their own."""
        return json.dumps([self.name, self.scopes, self.made, self.expires, self.by_login])


class IssuedTokens:
    """Keeps what users have to know of their tokens, until those expire."""

    def __init__(self, redis: RedisClient, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._note = Script(redis, "note_token")

    async def of_user(self, user: str) -> list[IssuedToken]:
        """Those that have not expired, the newest first."""
        return _living(await self._kept(user))

    async def _kept(self, user: str) -> list[IssuedToken]:
        fields = await self._redis.hgetall(self._keys.tokens(user))
        return _read({name.decode(): value for name, value in fields.items()})

    async def add(self, user: str, token: IssuedToken) -> None:
        """Keep one more, and forget those that have expired; Conflict when there are too many.

        Of those by a login only the newest are kept: a program that logs in each day must not
        fill the page.
        """
        kept = await self._kept(user)
        living = _living(kept)
        logins = [each for each in living if each.by_login]
        if token.by_login:
            living = [each for each in living if each not in logins[LISTED_LOGINS - 1 :]]
        elif len(living) - len(logins) >= ISSUED_TOKENS:
            raise Conflict(f"You have {ISSUED_TOKENS} tokens; end some first.")
        over = [each.id for each in kept if each not in living]
        await self._note(keys=[self._keys.tokens(user)], args=[token.id, token.to_json(), *over])

    async def get(self, user: str, token: str) -> IssuedToken:
        """One token of a user's; NotFound."""
        kept = await self._redis.hget(self._keys.tokens(user), token)
        if kept is None or token.startswith(_USED):
            raise NotFound("You have no such token any more.")
        return _read({token: kept})[0]

    async def forget(self, user: str, *tokens: str) -> None:
        """Take tokens off the list."""
        await self._note(keys=[self._keys.tokens(user)], args=["", "", *tokens])


def _living(tokens: list[IssuedToken]) -> list[IssuedToken]:
    now = time.time()
    living = [token for token in tokens if token.expires > now]
    return sorted(living, key=lambda token: -token.made)


def _read(fields: Mapping[str, bytes]) -> list[IssuedToken]:
    tokens = []
    for token, value in fields.items():
        if not token.startswith(_USED):
            name, scopes, made, expires, by_login = json.loads(value)
            used = float(fields.get(f"{_USED}{token}", 0))
            about = (name, tuple(scopes), made, expires, by_login, used)
            tokens.append(IssuedToken(token, *about))
    return tokens
