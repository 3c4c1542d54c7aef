"""What reads tokens: the hub's own, an issuer's, those for coming back, tickets and keys."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Any, Final, cast

from jose import jwk

from hypha_cluster.errors import HubError, InvalidToken
from hypha_cluster.identity.access import Identity
from hypha_cluster.identity.openid import OpenIdKeys
from hypha_cluster.identity.tokens import Tokens, TokenSettings
from hypha_cluster.registry.logins import code_of, public_part
from tests.fuzz.parts import check_refusal, lines, run
from tests.token_rig import SETTINGS

SECRET: Final = "what only the hub knows"  # of this target
_ISSUERS: Final = "what only the issuer knows"
_REAL: Final = {"john", "jane"}  # for whom tokens in the corpus were made, by the hub
_FOREIGN: Final = TokenSettings("https://issuer/", "hub", "https://hub/", 60.0, 60.0)


class Keys:
    """Those of an issuer; it has none of the kinds that a hub would take for it."""

    issuer = _FOREIGN.issuer

    async def find(self, kid: str | None, algorithm: str) -> object:
        raise InvalidToken("Invalid token: its key is not one of the issuer's.")


_TOKENS: Final = Tokens(SECRET, SETTINGS, cast(OpenIdKeys, Keys()))
_KEY: Final = jwk.construct(_ISSUERS, "HS256")
_FROM_ISSUER: Final = Tokens(_ISSUERS, SETTINGS)


def tokens(data: bytes) -> None:
    """The first byte says which kind it is to be. A line and the rest: a header and its claims."""
    kind, text = data[0] if data else 0, data[1:]
    ways: tuple[Callable[[bytes], object], ...] = (_access, _returning, _signed_claims, _keys)
    try:
        ways[kind % len(ways)](text)
    except HubError as error:
        check_refusal(error)


def _access(text: bytes) -> None:
    token = text.decode("utf-8", "surrogateescape")
    identity: Identity = run(_TOKENS.verify(token))
    assert identity.id in _REAL, "somebody has made a token"


def _returning(text: bytes) -> None:
    reconnection = _TOKENS.verify_reconnection(text.decode("utf-8", "surrogateescape"))
    assert reconnection.identity.id in _REAL, "somebody has made a token"


def _signed_claims(text: bytes) -> None:
    """Any header and any claims, well signed: whoever has the key may say anything in them."""
    header, claims = lines(text, 1)
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, claims))
    digest = hmac.digest(_ISSUERS.encode(), signed, hashlib.sha256)
    token = (signed + b"." + base64.urlsafe_b64encode(digest).rstrip(b"=")).decode()
    for verify in (_verified, _FROM_ISSUER.verify_reconnection):
        try:
            _check_identity(verify(token))
        except HubError as error:
            check_refusal(error)


def _verified(token: str) -> object:
    return run(_FROM_ISSUER.verify(f"x@imjoy@{token}"))


def _check_identity(found: Any) -> None:
    identity: Identity = getattr(found, "identity", found)
    assert identity.id
    assert identity.id not in ("root", "public")
    assert identity.id.isprintable()
    assert all(type(role) is str for role in identity.roles)
    assert identity.expires_at is None or 0 < identity.expires_at < 1e12
    Identity.from_wire(identity.to_wire())


def _keys(text: bytes) -> None:
    """The key of a login, which is in an address."""
    key = text.decode("utf-8", "surrogateescape")
    assert key.startswith(public_part(key))
    assert public_part(key).endswith(code_of(key))
