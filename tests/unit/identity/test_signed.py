"""Signed tokens are read with the one key and algorithm that they must be signed with."""

import time
from typing import Any

import pytest
from jose import jwk, jwt

from hypha_cluster.errors import InvalidToken
from hypha_cluster.identity.signed import claims_of, header_of, roles_of, text_of, user_of

KEY = jwk.construct("a secret", "HS256")


def signed(**changed: Any) -> str:
    claims = {"iss": "i", "aud": "a", "sub": "ann", "exp": time.time() + 60} | changed
    return jwt.encode(claims, KEY, "HS256")


def read(token: str, leeway: float = 0) -> dict[str, Any]:
    return claims_of(token, KEY, "HS256", "a", "i", leeway)


def test_a_good_token_says_what_it_says() -> None:
    claims = read(signed(email="ann@example.org"))

    assert user_of(claims) == "ann"
    assert text_of(claims, "email") == "ann@example.org"
    assert text_of(claims, "name") is None


def test_a_hash_of_another_token_is_not_asked_for() -> None:
    assert read(signed(at_hash="of an access token"))["sub"] == "ann"


@pytest.mark.parametrize(
    ("ahead", "leeway", "holds"), [(20, 30, True), (40, 30, False), (5, 0, False)]
)
def test_an_issuers_clock_may_be_a_little_ahead(ahead: float, leeway: float, holds: bool) -> None:
    token = signed(nbf=time.time() + ahead)

    if holds:
        read(token, leeway)
    else:
        with pytest.raises(InvalidToken):
            read(token, leeway)


def test_what_has_expired_has_expired_for_any_clock() -> None:
    with pytest.raises(InvalidToken, match="expired"):
        read(signed(exp=time.time() - 1), leeway=30)


@pytest.mark.parametrize("token", ["", "a.b", "a.b.c", "x" * 20_000, "é.è.ê"])
def test_what_is_no_token_has_no_header(token: str) -> None:
    with pytest.raises(InvalidToken):
        header_of(token)


@pytest.mark.parametrize("roles", ["admin", [1], {"admin": True}])
def test_roles_are_a_list_of_texts(roles: object) -> None:
    with pytest.raises(InvalidToken):
        roles_of({"roles": roles}, "roles")
