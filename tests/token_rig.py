"""Tokens of a hub whose secret the tests know: good ones, and bad ones of every kind."""

import base64
import json
import time
from typing import Any

from jose import jwt

from hypha_cluster.config import Config
from hypha_cluster.identity.access import Identity
from hypha_cluster.identity.tokens import Place, Tokens, TokenSettings

SECRET = "what the gateways of this cluster share"
CONFIG = Config()
NAMESPACE = CONFIG.auth0_namespace
SETTINGS = TokenSettings(
    issuer=CONFIG.auth0_issuer,
    audience=CONFIG.auth0_audience,
    namespace=NAMESPACE,
    lifetime=CONFIG.token_lifetime,
    reconnection_lifetime=CONFIG.reconnection_token_lifetime,
)
JOHN = Identity("john", is_anonymous=False, email="john@example.org", roles=("curator",))

# As `hypha` 0.15.53 made them with this secret; only the times are ours.
ORIGINAL: dict[str, Any] = {
    "iss": "https://imjoy.io/",
    "sub": "QCPALmigwzGBzNig9BkY7L",
    "aud": "https://imjoy.eu.auth0.com/api/v2/",
    "iat": time.time(),
    "exp": time.time() + 600.5,
    "scope": "lab1 lab2",
    "parent": "john",
    "pc": "lab1/client",
    "gty": "client-credentials",
    "https://api.imjoy.io/roles": ["curator"],
    "https://api.imjoy.io/email": "jane@example.org",
}
PLACE = Place("lab", "client", "run")
ORIGINAL_RECONNECTION = {
    **{name: value for name, value in ORIGINAL.items() if name != "pc"},
    "cid": "client",
    "ws": "lab1",
}


def signed(claims: dict[str, Any], **headers: Any) -> str:
    return jwt.encode(claims, SECRET, headers=headers)


def unsigned(header: object, claims: object) -> str:
    return ".".join(map(encoded, (json.dumps(header), json.dumps(claims), "")))


def encoded(part: str) -> str:
    return base64.urlsafe_b64encode(part.encode()).decode().rstrip("=")


def with_claims(**changed: Any) -> str:
    """Return a token that is well signed, but says something else."""
    return f"x@imjoy@{signed(ORIGINAL | changed)}"


def without_claim(name: str) -> str:
    return f"x@imjoy@{signed({key: ORIGINAL[key] for key in ORIGINAL.keys() - {name}})}"


def tokens_of(secret: str = SECRET) -> Tokens:
    """What makes tokens as the gateways do that have this secret."""
    return Tokens(secret, SETTINGS)


def token_of(identity: Identity) -> str:
    return tokens_of().issue(identity)


HS256 = json.dumps({"alg": "HS256"})
BAD = {
    "another secret": "x@imjoy@" + jwt.encode(ORIGINAL, "another"),
    "another algorithm": "x@imjoy@" + jwt.encode(ORIGINAL, SECRET, algorithm="HS512"),
    "no algorithm": "x@imjoy@" + unsigned({"alg": "none"}, ORIGINAL),
    "unsigned": "x@imjoy@" + unsigned({"alg": "HS256"}, ORIGINAL),
    "an algorithm that is a list": "x@imjoy@" + unsigned({"alg": ["HS256"]}, ORIGINAL),
    "an unknown extension": "x@imjoy@" + signed(ORIGINAL, crit=["b64"], b64=False),
    "no prefix": signed(ORIGINAL),
    "expired": with_claims(exp=time.time() - 0.5),
    "never expires": without_claim("exp"),
    "expires at infinity": with_claims(exp=float("inf")),
    "expires at nan": with_claims(exp=float("nan")),
    "expires too late for a float": with_claims(exp=10**400),
    "expires at a text": with_claims(exp=str(time.time() + 60)),
    "expires at true": with_claims(exp=True),
    "expires at null": with_claims(exp=None),
    "issued at infinity": with_claims(iat=float("inf")),
    "not valid yet": with_claims(nbf=time.time() + 600),
    "another audience": with_claims(aud="https://elsewhere/"),
    "an audience that is null": with_claims(aud=None),
    "no audience": without_claim("aud"),
    "another issuer": with_claims(iss="https://imjoy.io"),
    "no issuer": without_claim("iss"),
    "nobody": without_claim("sub"),
    "an empty user": with_claims(sub=""),
    "a user in two lines": with_claims(sub="a\nb"),
    "a user with a long name": with_claims(sub="a" * 257),
    "the hub's user": with_claims(sub="root"),
    "the hub's workspace": with_claims(sub="public"),
    "scopes in a list": with_claims(scope=["lab"]),
    "roles in a text": with_claims(**{f"{NAMESPACE}roles": "admin"}),
    "an email address that is a list": with_claims(**{f"{NAMESPACE}email": ["a@example.org"]}),
    "a parent that is a map": with_claims(parent={"id": "root"}),
    "claims in a list": f"x@imjoy@{encoded(HS256)}.{encoded('[]')}.AAAA",
    "a header in a list": f"x@imjoy@{encoded('[]')}.{encoded('{}')}.AAAA",
    "a header that is too deep": f"x@imjoy@{encoded('[' * 6000)}.{encoded('{}')}.AAAA",
    "a header that is no text": "x@imjoy@_w._w._w",
    "two parts": "x@imjoy@a.b",
    "four parts": "x@imjoy@a.b.c.d",
    "a lone surrogate": "x@imjoy@a.b.\udc80",
    "a token in a token": f"x@imjoy@x@imjoy@{signed(ORIGINAL)}",
    "too long": with_claims(padding="a" * 16_384),
    "only a prefix": "x@imjoy@",
}
