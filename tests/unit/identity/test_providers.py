"""The hub as a client of an OpenID issuer: whom it believes, and what it sends along."""

import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from jose import jwk, jwt

from hypha_cluster.errors import HubError, InvalidToken, PermissionDenied, ProviderFailed
from hypha_cluster.identity.providers import Provider, ProviderSettings, Request
from hypha_cluster.supervision import Supervisor
from tests.integration.test_openid import RSA, RSA_2
from tests.unit.identity.test_fetching import Parts, answer, served

ASKED = Request("the nonce", "the verifier", "https://hub.example.org/login/callback")


class Issuer:
    """What an issuer answers, by path; and what it was asked for."""

    def __init__(self) -> None:
        self.url = ""
        self.claims: dict[str, Any] = {}
        self.token: dict[str, Any] | None = None
        self.userinfo: dict[str, Any] = {}
        self.forms: list[dict[str, list[str]]] = []

    async def serve(self, path: str, body: bytes) -> Parts:
        if body:
            self.forms.append(parse_qs(body.decode()))
        documents: dict[str, Any] = {
            "/.well-known/openid-configuration": {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/auth",
                "token_endpoint": f"{self.url}/token",
                "userinfo_endpoint": f"{self.url}/me",
                "jwks_uri": f"{self.url}/keys",
            },
            "/keys": {"keys": [RSA.public]},
            "/token": self.token or {"id_token": RSA.sign(self.claims), "access_token": "x"},
            "/me": self.userinfo,
        }
        yield answer(json.dumps(documents[path]).encode())

    def say(self, **changed: Any) -> None:
        claims = {
            "iss": self.url,
            "aud": "hub",
            "sub": "ann",
            "exp": time.time() + 60,
            "iat": time.time(),
            "nonce": ASKED.nonce,
            "email": "ann@example.org",
            "email_verified": True,
        } | changed
        self.claims = {name: value for name, value in claims.items() if value is not ...}


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer()
    async with served(issuer.serve) as issuer.url:
        issuer.say()
        yield issuer


@pytest.fixture
async def provider(issuer: Issuer) -> AsyncIterator[Provider]:
    provider = made(issuer)
    yield provider
    await provider.stop()


def made(issuer: Issuer, **more: Any) -> Provider:
    return Provider(ProviderSettings("Lab", issuer.url, "hub", **more), Supervisor())


async def test_a_browser_is_sent_with_a_challenge_and_without_a_secret(provider: Provider) -> None:
    address = await provider.address(ASKED, "the state")

    query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    digest = hashlib.sha256(ASKED.verifier.encode()).digest()
    assert query == {
        "response_type": "code",
        "client_id": "hub",
        "redirect_uri": ASKED.redirect_uri,
        "scope": "openid profile email",
        "state": "the state",
        "nonce": ASKED.nonce,
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    assert ASKED.verifier not in address


async def test_a_code_is_redeemed_with_the_verifier(issuer: Issuer, provider: Provider) -> None:
    user = await provider.identify("the code", ASKED)

    assert (user.id, user.email, user.is_anonymous) == ("ann", "ann@example.org", False)
    (form,) = issuer.forms
    assert form["code"] == ["the code"]
    assert form["code_verifier"] == [ASKED.verifier]
    assert form["redirect_uri"] == [ASKED.redirect_uri]


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"nonce": "of another sign-in"}, InvalidToken),
        ({"nonce": ...}, InvalidToken),
        ({"aud": "another client"}, InvalidToken),
        ({"aud": ["hub", "other"], "azp": "other"}, InvalidToken),
        ({"iss": "https://elsewhere/"}, InvalidToken),
        ({"exp": 1}, InvalidToken),
        ({"nbf": 2_999_999_999}, InvalidToken),
        ({"sub": ...}, InvalidToken),
        ({"sub": "root"}, InvalidToken),
        ({"sub": "public"}, InvalidToken),
        ({"sub": "a/b"}, HubError),
        ({"email_verified": False}, PermissionDenied),
        ({"email_verified": ...}, PermissionDenied),
        ({"email_verified": "no"}, PermissionDenied),
        ({"email": "nobody"}, PermissionDenied),
        ({"email": ["ann@example.org"]}, PermissionDenied),
    ],
    ids=str,
)
async def test_what_is_not_for_this_hub_lets_nobody_in(
    issuer: Issuer, provider: Provider, changed: dict[str, Any], kind: type[HubError]
) -> None:
    issuer.say(**changed)

    with pytest.raises(kind):
        await provider.identify("code", ASKED)


async def test_a_token_that_somebody_else_signed_lets_nobody_in(
    issuer: Issuer, provider: Provider
) -> None:
    header = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    body = base64.urlsafe_b64encode(json.dumps(issuer.claims).encode()).rstrip(b"=").decode()
    secret = jwk.construct("hush", "HS256")
    for forged in (
        RSA_2.sign(issuer.claims, kid=RSA.kid),
        RSA_2.sign(issuer.claims),
        jwt.encode(issuer.claims, secret, "HS256", {"kid": RSA.kid}),
        f"{header}.{body}.",
        "nonsense",
    ):
        issuer.token = {"id_token": forged}
        with pytest.raises(InvalidToken) as refused:
            await provider.identify("code", ASKED)
        assert forged not in str(refused.value)


@pytest.mark.parametrize("token", [{}, {"id_token": 5}, {"error": "invalid_grant"}])
async def test_an_issuer_that_says_nothing_lets_nobody_in(
    issuer: Issuer, provider: Provider, token: dict[str, Any]
) -> None:
    issuer.token = {"access_token": "x", **token}

    with pytest.raises(ProviderFailed, match="does not say who you are"):
        await provider.identify("code", ASKED)


async def test_an_address_may_be_said_only_when_it_is_asked_for(
    issuer: Issuer, provider: Provider
) -> None:
    issuer.say(email=..., email_verified=...)
    issuer.userinfo = {"sub": "ann", "email": "ann@example.org", "email_verified": True}
    assert (await provider.identify("code", ASKED)).email == "ann@example.org"

    issuer.userinfo["sub"] = "bob"
    with pytest.raises(InvalidToken, match="another user"):
        await provider.identify("code", ASKED)


@pytest.mark.parametrize(
    ("claim", "claims", "roles"),
    [
        ("roles", {"roles": ["admin", 5]}, ("admin",)),
        ("realm_access.roles", {"realm_access": {"roles": ["admin"]}}, ("admin",)),
        ("https://claims.example/roles", {"https://claims.example/roles": ["x"]}, ("x",)),
        ("roles", {"roles": "admin"}, ()),
        ("realm_access.roles", {"realm_access": ["admin"]}, ()),
    ],
)
async def test_roles_are_where_the_operator_says(
    issuer: Issuer, claim: str, claims: dict[str, Any], roles: tuple[str, ...]
) -> None:
    """As Keycloak and Auth0 have them."""
    issuer.say(**claims)
    provider = made(issuer, roles_claim=claim)

    assert (await provider.identify("code", ASKED)).roles == roles

    await provider.stop()


async def test_an_address_may_be_trusted_by_the_operator(issuer: Issuer) -> None:
    issuer.say(email_verified=...)
    provider = made(issuer, trust_email=True)

    assert (await provider.identify("code", ASKED)).email == "ann@example.org"

    await provider.stop()


async def test_an_issuer_that_is_down_is_named() -> None:
    provider = Provider(ProviderSettings("Lab", "http://127.0.0.1:1", "hub"), Supervisor())

    with pytest.raises(ProviderFailed, match="Lab does not answer"):
        await provider.address(ASKED, "state")

    await provider.stop()
