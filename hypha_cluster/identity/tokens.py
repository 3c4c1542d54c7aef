"""Issuing and verifying tokens, and the secret that all nodes sign with (protocol.md 7)."""

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from jose import jwk, jwt
from jose.exceptions import JOSEError

from hypha_cluster import audit
from hypha_cluster.audit import Event
from hypha_cluster.errors import BadRequest, InvalidToken, PermissionDenied, StartupError
from hypha_cluster.identity.access import Identity, Origin
from hypha_cluster.identity.openid import ES256, RS256, OpenIdKeys
from hypha_cluster.identity.page_seals import PageSeals
from hypha_cluster.identity.signed import claims_of, header_of, roles_of, text_of, time_of, user_of
from hypha_cluster.protocol.guard import shown
from hypha_cluster.protocol.limits import CHILD_TOKEN, PAGE_TOKEN, TOKEN_LIFETIME, VERIFIED_TOKENS
from hypha_cluster.randomness import unguessable

APP: Final = "app:"  # what the token ids of pages of server apps begin with
_LISTED: Final = "listed_"  # those of tokens that a user finds on the account page
PAGE: Final = "page:"  # those of the hub's own pages
_PREFIX: Final = "@imjoy@"
_ALGORITHM: Final = "HS256"
LEEWAY: Final = 30.0  # seconds by which an issuer's clock may be ahead
_VERIFIED: Final = 10.0  # seconds; callers over HTTP bring the same token again and again


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


class Place(NamedTuple):
    """What a reconnection token is for: an address, as one run of a program has it."""

    workspace: str
    client: str
    program: str


class Reconnection(NamedTuple):
    """What a reconnection token says: who may take which place again."""

    identity: Identity
    place: Place


def is_page_of_app(identity: Identity) -> bool:
    """Whether somebody came by the ticket of an instance of a server app."""
    return identity.origin is not None and identity.origin.token.startswith(APP)


def is_listed(token: str) -> bool:
    """Whether a token of this id is one that its user finds on the account page."""
    return token.startswith(_LISTED)


def listed_id() -> str:
    """The id of a token that is to be found there."""
    return f"{_LISTED}{unguessable()}"


def generated_id() -> str:
    return unguessable()


class Tokens:
    """Signs and verifies tokens with one shared secret; others with the keys of their issuer."""

    def __init__(
        self,
        secret: str,
        settings: TokenSettings,
        openid: OpenIdKeys | None = None,
        on_use: Callable[[Identity], None] = lambda _: None,
    ) -> None:
        """on_use: hears who brings a token of this hub, each time that it is really verified."""
        self._settings = settings
        self._openid = openid
        self._on_use = on_use
        self.page_seals = PageSeals(secret)
        # Hash of a token → until when it need not be verified again, and whom it speaks for.
        self._verified: dict[bytes, tuple[float, Identity]] = {}
        try:
            # As a Key: jose would read a secret that happens to be JSON as what it spells.
            self._key = jwk.construct(secret, _ALGORITHM)
        except JOSEError as error:
            raise StartupError(f"jwt_secret cannot be used: {error}") from None

    async def stop(self) -> None:
        if self._openid:
            await self._openid.stop()

    # Issuing.

    def issue(
        self, identity: Identity, lifetime: float | None = None, token_id: str | None = None
    ) -> str:
        """An access token; lifetime in seconds, None for the configured one."""
        seconds = self._settings.lifetime if lifetime is None else lifetime
        return self._issue(identity, time.time() + seconds, None, token_id)

    def issue_child(
        self, caller: Identity, config: dict[str, Any], token_id: str | None = None
    ) -> str:
        """A token for somebody else, who may do less than the caller, and ends no later.

        config: scopes (workspace names), expires_in (seconds), email, parent_client
        (protocol.md 7.3); whether the caller may hand on each scope is checked before.
        token_id: by default a new one. PermissionDenied when the email is somebody else's, or the
        caller's own token has expired.
        """
        parent_client = config.get("parent_client")
        if not isinstance(parent_client, str | None):
            raise BadRequest(
                f"'parent_client' of a token is a client id, not {shown(parent_client)}."
            )
        _check_makes_tokens(caller)
        _check_lifetime(config.get("expires_in"))
        _check_email(config.get("email"), caller)
        child = Identity(
            id=generated_id(),
            email=config.get("email"),
            roles=caller.roles,
            parent=caller.parent or caller.id,
            scopes=tuple(dict.fromkeys(config["scopes"])),
            origin=_origin_of_child(caller),
        )
        lifetime = config.get("expires_in") or self._settings.lifetime
        token = self._issue(child, _end_of_child(caller, lifetime), parent_client, token_id)
        if len(token) > CHILD_TOKEN:
            raise BadRequest("The token would be too long; leave out some of its scopes.")
        audit.note(Event.TOKEN_MADE, user=child.id, maker=caller.id, scopes=child.scopes)
        return token

    def issue_for_page(self, identity: Identity) -> str:
        """A token with which a page of the hub calls as the user who looks at it.

        It lasts for PAGE_TOKEN seconds, and no longer than what they came with, with which it is
        also revoked. PermissionDenied if that has ended, or may make no tokens.
        """
        _check_makes_tokens(identity)
        bearer = replace(identity, origin=_origin_of_child(identity))
        end = _end_of_child(identity, PAGE_TOKEN)
        return self._issue(bearer, end, token_id=PAGE + generated_id())

    def _issue(
        self,
        identity: Identity,
        expires_at: float,
        parent_client: str | None = None,
        token_id: str | None = None,
    ) -> str:
        claims = self._claims(identity, self._settings.audience, expires_at)
        claims |= {"jti": token_id or generated_id(), "pc": parent_client}
        return f"{identity.id}{_PREFIX}{self._sign(claims)}"

    def issue_reconnection(self, identity: Identity, place: Place) -> str:
        expires_at = time.time() + self._settings.reconnection_lifetime
        claims = self._claims(identity, self._settings.reconnection_audience, expires_at)
        claims |= {"ws": place.workspace, "cid": place.client, "prg": place.program}
        # The user's own expiry, not the token's, goes on to bind them (protocol.md 1.6).
        claims["user_exp"] = identity.expires_at
        if identity.origin is not None:
            claims |= {"tok": identity.origin.token, "tok_iat": identity.origin.made_at}
        return self._sign(claims)

    def _claims(self, identity: Identity, audience: str, expires_at: float) -> dict[str, Any]:
        namespace, origin = self._settings.namespace, identity.origin
        made_with = {"via": " ".join(origin.makers)} if origin and origin.makers else {}
        return {
            **made_with,
            "iss": self._settings.issuer,
            "aud": audience,
            "sub": identity.id,
            "iat": time.time(),
            "exp": expires_at,
            "gty": "client-credentials",
            "scope": " ".join(identity.scopes),
            "parent": identity.parent,
            f"{namespace}email": identity.email,
            f"{namespace}roles": list(identity.roles),
        }

    def _sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM)

    # Verifying. Which key is tried depends on the form of a token, so its header cannot choose.

    async def verify(self, token: str) -> Identity:
        """Whom an access token speaks for, of this hub or of its issuer (protocol.md 7.1).

        Only the hub's own are remembered: an issuer may withdraw its keys.
        """
        _, marker, signed = token.partition(_PREFIX)
        if not marker:
            return await self._verify_foreign(token)
        key, now = hashlib.sha256(token.encode(errors="surrogatepass")).digest(), time.time()
        until, identity = self._verified.get(key, (0.0, None))
        if identity is None or until <= now:
            identity = self._verify_access(signed)
            self._on_use(identity)
            if len(self._verified) >= VERIFIED_TOKENS:
                del self._verified[next(iter(self._verified))]
            assert identity.expires_at is not None
            self._verified[key] = (min(now + _VERIFIED, identity.expires_at), identity)
        return identity

    def _verify_access(self, signed: str) -> Identity:
        claims = self._verify_own(signed, self._settings.audience)
        if "cid" in claims:
            # The original gives its reconnection tokens the audience of access tokens.
            raise InvalidToken("Invalid token: it is for reconnecting only.")
        token = text_of(claims, "jti") or _digest(signed)
        origin = Origin(token, _made_at(claims, "iat"), _via(claims))
        return self._identity(claims, claims["exp"], origin)

    def verify_reconnection(self, token: str) -> Reconnection:
        claims = self._verify_own(token, self._settings.reconnection_audience)
        workspace, client, program = (text_of(claims, name) for name in ("ws", "cid", "prg"))
        if workspace is None or client is None or program is None:
            raise InvalidToken("Invalid token: it does not say which client it is for.")
        expires_at = claims.get("user_exp")
        if expires_at is not None and time_of(expires_at) <= time.time():
            raise InvalidToken("The token that this client connected with has expired.")
        place = Place(workspace, client, program)
        origin = None
        if access := text_of(claims, "tok"):
            origin = Origin(access, _made_at(claims, "tok_iat"), _via(claims))
        identity = self._identity(claims, expires_at, origin)
        self._on_use(identity)
        return Reconnection(identity, place)

    def _verify_own(self, token: str, audience: str) -> dict[str, Any]:
        if header_of(token).get("alg") != _ALGORITHM:
            raise InvalidToken(f"Invalid token: this hub signs with {_ALGORITHM}.")
        return claims_of(token, self._key, _ALGORITHM, audience, self._settings.issuer)

    async def _verify_foreign(self, token: str) -> Identity:
        header = header_of(token)
        algorithm, kid = header.get("alg"), text_of(header, "kid")
        if algorithm not in (RS256, ES256):
            raise InvalidToken(
                f"Invalid token: it is none of this hub's, whose whole text is <user>{_PREFIX}"
                f"<token>, and none of an issuer's, which are signed with {RS256} or {ES256}."
            )
        if self._openid is None:
            raise InvalidToken(
                "This hub accepts only tokens that it made itself; its operator names another "
                "issuer with --openid-issuer."
            )
        key = await self._openid.find(kid, algorithm)
        issuer, audience = self._openid.issuer, self._settings.audience
        claims = claims_of(token, key, algorithm, audience, issuer, LEEWAY)
        # Only this hub makes children: a claim of this name means something else elsewhere.
        origin = Origin(_digest(token), _made_at(claims, "iat"))
        return self._identity({**claims, "parent": None}, claims["exp"], origin)

    def _identity(
        self, claims: dict[str, Any], expires_at: float | None, origin: Origin | None
    ) -> Identity:
        email = text_of(claims, f"{self._settings.namespace}email")
        return Identity(
            id=user_of(claims),
            is_anonymous=not email,
            email=email,
            roles=roles_of(claims, f"{self._settings.namespace}roles"),
            parent=text_of(claims, "parent"),
            scopes=tuple((text_of(claims, "scope", math.inf) or "").split()),
            expires_at=expires_at,
            origin=origin,
        )


def _digest(token: str) -> str:
    """What stands for the id of a token that the hub has not given one."""
    return hashlib.sha256(token.encode()).hexdigest()[:32]


def _made_at(claims: dict[str, Any], name: str) -> float:
    """When a token was made; 0 if it does not say, so that any revocation covers it."""
    value = claims.get(name)
    return 0.0 if value is None or isinstance(value, str) else time_of(value)


def _via(claims: dict[str, Any]) -> tuple[str, ...]:
    return (*(text_of(claims, "via", math.inf) or "").split(),)


def _origin_of_child(maker: Identity) -> Origin | None:
    """The tokens with which a child is made; its own id and date are set when it is signed."""
    if maker.origin is None:
        return None
    return Origin("", 0.0, (*maker.origin.makers, maker.origin.token))


def _end_of_child(maker: Identity, lifetime: float) -> float:
    """When a token that somebody makes ends: with their own at the latest.

    Else whoever has found a token of a few seconds could make it last for years.
    """
    now = time.time()
    if maker.expires_at is None:
        return now + lifetime
    if maker.expires_at <= now:
        raise PermissionDenied(
            "The token that you connected with has expired, so it makes no other; get a new one."
        )
    return min(now + lifetime, maker.expires_at)


def _check_makes_tokens(maker: Identity) -> None:
    if is_page_of_app(maker):
        raise PermissionDenied("The page of a server app makes no tokens.")


def _check_lifetime(seconds: object) -> None:
    if seconds is None:
        return
    if type(seconds) not in (int, float) or not 0 < seconds <= TOKEN_LIFETIME:  # type: ignore[operator]
        raise BadRequest(f"'expires_in' of a token is a number of seconds, not {shown(seconds)}.")


def _check_email(email: object, maker: Identity) -> None:
    """A service may trust the e-mail address of its caller, so nobody may make one up."""
    if email not in (None, maker.email) and not maker.is_admin:
        raise PermissionDenied("'email' of a token can only be your own; leave it out.")
