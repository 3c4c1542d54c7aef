"""Issuing and verifying tokens, and the secret that all nodes sign with (PROTOCOL 7)."""

import secrets
import time
import uuid
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from jose import JWTError, jwt
from redis.asyncio import Redis

from hypha_cluster.access import Identity
from hypha_cluster.errors import InvalidToken
from hypha_cluster.store.connection import translated
from hypha_cluster.store.keys import Keys

_PREFIX: Final = "@imjoy@"
_ALGORITHM: Final = "HS256"


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """What tokens are made with; lifetimes in seconds."""

    issuer: str
    audience: str
    namespace: str
    lifetime: float
    reconnection_lifetime: float

    @property
    def reconnection_audience(self) -> str:
        """Its own, so that a reconnection token is no access token and the reverse."""
        return f"{self.audience}#reconnection"


class Reconnection(NamedTuple):
    """What a reconnection token says: who may take which address again."""

    identity: Identity
    workspace: str
    client: str


@translated
async def shared_secret(redis: Redis, keys: Keys) -> str:
    """The secret that all nodes of this cluster share; made by the first that asks."""
    await redis.set(keys.secret(), secrets.token_urlsafe(48), nx=True)
    secret = await redis.get(keys.secret())
    assert secret is not None
    return secret.decode() if isinstance(secret, bytes) else secret


def generated_id() -> str:
    return uuid.uuid4().hex


class Tokens:
    """Signs and verifies tokens with one shared secret."""

    def __init__(self, secret: str, settings: TokenSettings) -> None:
        self._secret = secret
        self._settings = settings

    def issue(self, identity: Identity, lifetime: float | None = None) -> str:
        """An access token; lifetime in seconds, None for the configured one."""
        expires_in = self._settings.lifetime if lifetime is None else lifetime
        claims = self._claims(identity, self._settings.audience, expires_in)
        return f"{identity.id}{_PREFIX}{self._sign(claims)}"

    def issue_child(self, caller: Identity, config: dict[str, Any]) -> str:
        """A token for somebody else, who may do less than the caller (PROTOCOL 7.3).

        config: scopes (workspace names), expires_in (seconds), email, parent_client.
        """
        child = Identity(
            id=generated_id(),
            email=config.get("email"),
            roles=caller.roles,
            parent=caller.parent or caller.id,
            scopes=tuple(config["scopes"]),
        )
        lifetime = config.get("expires_in") or self._settings.lifetime
        claims = self._claims(child, self._settings.audience, lifetime)
        claims["pc"] = config.get("parent_client")
        return f"{child.id}{_PREFIX}{self._sign(claims)}"

    def issue_reconnection(self, identity: Identity, workspace: str, client: str) -> str:
        lifetime = self._settings.reconnection_lifetime
        claims = self._claims(identity, self._settings.reconnection_audience, lifetime)
        claims |= {"ws": workspace, "cid": client, "anonymous": identity.is_anonymous}
        # The user's own expiry, not the token's, goes on to bind them (PROTOCOL 1.6).
        claims["user_exp"] = identity.expires_at
        return self._sign(claims)

    def _claims(self, identity: Identity, audience: str, lifetime: float) -> dict[str, Any]:
        now = time.time()
        namespace = self._settings.namespace
        return {
            "iss": self._settings.issuer,
            "aud": audience,
            "sub": identity.id,
            "iat": int(now),
            "exp": now + lifetime,
            "gty": "client-credentials",
            "scope": " ".join(identity.scopes),
            "parent": identity.parent,
            f"{namespace}email": identity.email,
            f"{namespace}roles": list(identity.roles),
        }

    def _sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self._secret, algorithm=_ALGORITHM)

    def verify(self, token: str) -> Identity:
        """Whom an access token of this hub speaks for."""
        signed = token.partition(_PREFIX)[2] if _PREFIX in token else token
        claims = self._verify(signed, self._settings.audience)
        email = claims.get(f"{self._settings.namespace}email")
        return self._identity(claims, anonymous=not email, expires_at=claims["exp"])

    def verify_reconnection(self, token: str) -> Reconnection:
        claims = self._verify(token, self._settings.reconnection_audience)
        identity = self._identity(
            claims, anonymous=bool(claims.get("anonymous")), expires_at=claims.get("user_exp")
        )
        if identity.expires_at is not None and identity.expires_at < time.time():
            raise InvalidToken("The token that this client connected with has expired.")
        return Reconnection(identity, str(claims.get("ws")), str(claims.get("cid")))

    def _verify(self, token: str, audience: str) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                audience=audience,
                issuer=self._settings.issuer,
                options={f"require_{claim}": True for claim in ("aud", "exp", "iss", "sub")},
            )
        except JWTError as error:
            # The message is jose's, which never quotes the token.
            raise InvalidToken(f"Invalid token: {error}") from None

    def _identity(
        self, claims: dict[str, Any], *, anonymous: bool, expires_at: float | None
    ) -> Identity:
        namespace = self._settings.namespace
        return Identity(
            id=claims["sub"],
            is_anonymous=anonymous,
            email=claims.get(f"{namespace}email"),
            roles=tuple(claims.get(f"{namespace}roles") or ()),
            parent=claims.get("parent"),
            scopes=tuple(str(claims.get("scope") or "").split()),
            expires_at=expires_at,
        )
