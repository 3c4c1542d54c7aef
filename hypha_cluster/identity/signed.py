"""Signed tokens (JWT): read with the one key and algorithm that they must be signed with."""

import re
import time
from typing import Any, Final

from jose import jwt
from jose.backends.base import Key
from jose.exceptions import ExpiredSignatureError, JOSEError

from hypha_cluster.errors import InvalidToken
from hypha_cluster.identity.access import PUBLIC, ROOT
from hypha_cluster.protocol.guard import shown
from hypha_cluster.protocol.limits import NAME, TOKEN

_FORM: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)
_MAX_TIME: Final = 1e12  # seconds; a float and msgpack have no trouble with it
_OPTIONS: Final[dict[str, Any]] = {
    **{f"require_{claim}": True for claim in ("aud", "exp", "iss", "sub")},
    "verify_at_hash": False,  # of an access token that nobody else has seen
}


def header_of(token: str) -> dict[str, Any]:
    if len(token) > TOKEN:
        raise InvalidToken(f"Invalid token: it has more than {TOKEN} characters.")
    if not _FORM.fullmatch(token):
        raise InvalidToken("Invalid token: it is not three parts with dots between.")
    try:
        header = jwt.get_unverified_header(token)
    except JOSEError:
        raise InvalidToken("Invalid token: its header cannot be read.") from None
    if "crit" in header:
        raise InvalidToken("Invalid token: it uses extensions that are not known here.")
    return header


def claims_of(
    token: str, key: Key, algorithm: str, audience: str, issuer: str, leeway: float = 0
) -> dict[str, Any]:
    """The claims of a token that is what it should be; no error quotes the token.

    leeway: seconds by which the clock of its issuer may be ahead.
    """
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=audience,
            issuer=issuer,
            options={**_OPTIONS, "leeway": leeway},
        )
    except ExpiredSignatureError:
        raise InvalidToken("The token has expired; get a new one.") from None
    except JOSEError as error:
        raise InvalidToken(f"Invalid token: {error}") from None
    except (TypeError, ValueError, OverflowError, RecursionError):
        # What jose makes of times that are no numbers, and of lists in lists in lists.
        raise InvalidToken("Invalid token: its claims make no sense.") from None
    if time_of(claims["exp"]) <= time.time():
        raise InvalidToken("The token has expired; get a new one.")
    return claims


def time_of(value: Any) -> float:
    """Check a point in time, so that nothing stumbles over it later."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= _MAX_TIME:
        raise InvalidToken("Invalid token: a time in it is no number of seconds.")
    return float(value)


def text_of(claims: dict[str, Any], name: str, limit: float = NAME) -> str | None:
    value = claims.get(name)
    if not isinstance(value, str | None) or len(value or "") > limit:
        raise InvalidToken(f"Invalid token: {name!r} in it is no text of a fit length.")
    return value


def roles_of(claims: dict[str, Any], name: str) -> tuple[str, ...]:
    roles = claims.get(name) or []
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise InvalidToken(f"Invalid token: {name!r} in it is no list of texts.")
    return tuple(roles)


def user_of(claims: dict[str, Any]) -> str:
    """The user's id, which is the name of their workspace too."""
    user = text_of(claims, "sub")
    if not user or not user.isprintable():
        raise InvalidToken("Invalid token: it does not say whose it is.")
    if user in (ROOT.id, PUBLIC):
        raise InvalidToken(f"Invalid token: {shown(user)} is the hub itself, which never connects.")
    return user
