"""Logins that programs wait for, and who has signed in with a browser: on any gateway."""

import hashlib
import json
import secrets
from enum import StrEnum
from typing import Final, NamedTuple

from hypha_cluster.errors import Conflict, NotFound
from hypha_cluster.identity.access import Identity, Origin
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import Script

_PART: Final = 22  # characters of 16 random bytes
_REMEMBERED: Final = 300_000  # ms; then it is no longer known that there was such a login


class LoginState(StrEnum):
    """How a login stands, as its program sees it."""

    PENDING = "pending"
    DONE = "done"
    REFUSED = "refused"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class Waiting(NamedTuple):
    """Who waits for a login: what the page shows, for its reader to compare."""

    program: str
    code: str


class SignIn(NamedTuple):
    """What the hub has to know when a browser comes back from an issuer. login: its key, or ''."""

    provider: str
    nonce: str
    verifier: str
    browser: str
    login: str


class Logins:
    """Keeps logins until they end. login_time: seconds that a login may take.

    A key has two halves. The first is in the address of the page; only the program has the second,
    so whoever sees the address cannot fetch the token.
    """

    def __init__(self, redis: RedisClient, keys: Keys, login_time: float) -> None:
        self._redis = redis
        self._keys = keys
        self._login_time = int(login_time * 1000)
        self._start = Script(redis, "start_login")
        self._report = Script(redis, "report_login")
        self._check = Script(redis, "check_login")

    async def start(self, program: str) -> str:
        """Begin a login for a program; return its whole key."""
        public, secret = secrets.token_urlsafe(16), secrets.token_urlsafe(16)
        await self._start(
            keys=[self._keys.login(public)],
            args=[self._login_time, _REMEMBERED, "secret", _digest(secret), "program", program],
        )
        return public + secret

    async def waiting(self, key: str) -> Waiting:
        """Who waits; NotFound when nobody does any more."""
        public = public_part(key)
        program, state = await self._redis.hmget(self._keys.login(public), "program", "state")
        if program is None or state != b"pending":
            raise NotFound("No program waits for this login any more; have it begin anew.")
        return Waiting(program.decode(), code_of(public))

    async def program(self, key: str) -> str:
        """Who began a login, whether or not it has ended; empty if that is forgotten."""
        program = await self._redis.hget(self._keys.login(public_part(key)), "program")
        return (program or b"").decode()

    async def report(self, key: str, token: str | None) -> None:
        """End a login with a token, or with None when the user refuses it."""
        state = LoginState.REFUSED if token is None else LoginState.DONE
        answer = await self._report(
            keys=[self._keys.login(public_part(key))],
            args=[state, token or "", self._login_time, secrets.token_hex(8)],
        )
        outcome = answer.decode()
        if outcome == "unknown":
            raise NotFound("Invalid key, key does not exist.")
        if outcome == "expired":
            raise NotFound(f"Login session expired, {self._limit}.")
        if outcome == "twice":
            raise Conflict("This login has ended already; have the program begin anew.")

    async def check(self, key: str) -> tuple[LoginState, str]:
        """How a login stands, and its token; that is handed over once."""
        login = self._keys.login(public_part(key))
        args = [_digest(key[_PART:]), secrets.token_hex(8)]
        state, *token = (part.decode() for part in await self._check(keys=[login], args=args))
        return LoginState(state), token[0] if token else ""

    @property
    def expired(self) -> str:
        return f"Login session expired, {self._limit}."

    @property
    def _limit(self) -> str:
        return f"the maximum login time is {self._login_time / 1000:g} seconds"

    # Browsers that are at an issuer's.

    async def leave_for(self, sign_in: SignIn, lifetime: float) -> str:
        """Remember a browser that goes to sign in; return the state that it has to bring back."""
        state = secrets.token_urlsafe(16)
        kept = json.dumps(sign_in)
        await self._redis.set_for(self._keys.sign_in(state), kept, int(lifetime * 1000))
        return state

    async def back_with(self, state: str) -> SignIn:
        """What was remembered, once; NotFound."""
        key = self._keys.sign_in(state)
        kept = await self._redis.get(key)
        if kept is None or not await self._redis.delete(key):
            raise NotFound("This sign-in has ended, or takes too long; begin anew.")
        return SignIn(*json.loads(kept))

    # Browsers that have signed in.

    async def remember(self, identity: Identity, lifetime: float) -> str:
        """Give a browser a secret for its cookie that says who has signed in with it."""
        secret = secrets.token_urlsafe(24)
        origin = identity.origin or Origin("", 0.0)
        kept = json.dumps({"user": identity.to_wire(), "made_at": origin.made_at})
        await self._redis.set_for(self._keys.browser(_digest(secret)), kept, int(lifetime * 1000))
        return secret

    async def remembered(self, secret: str) -> Identity | None:
        """Who has signed in with this cookie."""
        kept = await self._redis.get(self._keys.browser(_digest(secret)))
        if kept is None:
            return None
        fields = json.loads(kept)
        origin = Origin(_digest(secret)[:32], fields["made_at"])
        return Identity.from_wire(fields["user"], origin)

    async def forget(self, secret: str) -> None:
        """Sign a browser out."""
        await self._redis.delete(self._keys.browser(_digest(secret)))


class Attempts:
    """Counts attempts over all gateways: `most` are allowed within `period` seconds."""

    def __init__(self, redis: RedisClient, keys: Keys, most: int, period: float) -> None:
        self._keys = keys
        self._most = most
        self._period = int(period * 1000)
        self._count = Script(redis, "count_attempt")

    async def left_out(self, what: str) -> float:
        """Seconds for which there were too many already; 0 if there may be one more."""
        return await self._counted(what, 0)

    async def count(self, what: str) -> None:
        """There was one more."""
        await self._counted(what, 1)

    async def _counted(self, what: str, more: int) -> float:
        key = self._keys.attempts(_digest(what))
        count, left = await self._count(keys=[key], args=[self._period, more])
        return left / 1000 if count >= self._most else 0.0


def public_part(key: str) -> str:
    """The half of a key that stands in the address of the page."""
    return key[:_PART]


def code_of(key: str) -> str:
    """The end of that half, with which the address that the program shows ends, too."""
    return public_part(key)[-4:]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
