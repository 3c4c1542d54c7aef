"""The hub's own tokens: whom they let in, and how they cannot be forged or abused."""

import asyncio
import base64
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgpack
import pytest
from jose import jwt
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from hypha_cluster.config import Config
from hypha_cluster.errors import BadRequest, InvalidToken, StartupError
from hypha_cluster.identity.access import Identity
from hypha_cluster.identity.tokens import Place, Tokens, TokenSettings
from hypha_cluster.web.lookup import token_of
from tests.conftest import GatewayFactory
from tests.gateways import SECOND, Hub
from tests.raw_client import RawClient, Rejected

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


@asynccontextmanager
async def attached(url: str, **query: str) -> AsyncIterator[dict[str, Any]]:
    """Connect as a client does, ask the manager who and where one is, and stay."""
    client = secrets.token_hex(8)
    address = f"ws://{urlsplit(url).netloc}/ws?{urlencode({'client_id': client} | query)}"
    call = {
        "type": "method",
        "to": "workspace-manager",
        "method": "services.default.get_connection_info",
        "session": "s",
    }
    answers = {
        name: {"_rtype": "method", "_rtarget": client, "_rmethod": f"s.{name}", "_rpromise": False}
        for name in ("resolve", "reject")
    }
    async with connect(address, open_timeout=20 * SECOND) as socket:
        await socket.send(msgpack.packb(call) + msgpack.packb({"args": [], "promise": answers}))
        unpacker = msgpack.Unpacker()
        unpacker.feed(await socket.recv())
        envelope, body = unpacker
        assert envelope["method"] == "s.resolve", body
        yield body["args"][0]


async def info_of(url: str, **query: str) -> dict[str, Any]:
    async with attached(url, **query) as info:
        return info


async def refusal_of(url: str, **query: str) -> str:
    """Return why the connection was refused; the token that was given is no part of it."""
    with pytest.raises(InvalidStatus) as refused:
        await info_of(url, **query)
    response = refused.value.response
    assert response.status_code == 403
    assert response.body
    reason = response.body.decode()
    for part in query["token"].split("."):
        assert len(part) < 9 or part not in reason
    return reason


@pytest.fixture
def tokens() -> Tokens:
    return Tokens(SECRET, SETTINGS)


async def test_a_token_is_good_no_longer_than_it_says(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, made = tokens.issue(JOHN, 60), time.time()
    await tokens.verify(token)

    monkeypatch.setattr(time, "time", lambda: made + 58)
    await tokens.verify(token)  # … and so it is remembered for a while

    monkeypatch.setattr(time, "time", lambda: made + 61)
    with pytest.raises(InvalidToken, match="expired"):
        await tokens.verify(token)


async def test_a_token_says_who_its_bearer_is(tokens: Tokens) -> None:
    identity = await tokens.verify(tokens.issue(JOHN, 60))

    assert identity.expires_at == pytest.approx(time.time() + 60, abs=5)
    assert identity == Identity(
        "john",
        is_anonymous=False,
        email="john@example.org",
        roles=("curator",),
        expires_at=identity.expires_at,
    )


async def test_a_user_without_an_email_address_is_anonymous(tokens: Tokens) -> None:
    child = await tokens.verify(tokens.issue_child(JOHN, {"scopes": ["lab"]}))

    assert child.is_anonymous
    assert (child.parent, child.scopes, child.roles) == ("john", ("lab",), ("curator",))


async def test_tokens_of_the_original_server_are_accepted(tokens: Tokens) -> None:
    identity = await tokens.verify(f"{ORIGINAL['sub']}@imjoy@{signed(ORIGINAL)}")

    assert identity == Identity(
        ORIGINAL["sub"],
        is_anonymous=False,
        email="jane@example.org",
        roles=("curator",),
        parent="john",
        scopes=("lab1", "lab2"),
        expires_at=ORIGINAL["exp"],
    )


def test_tokens_carry_what_the_original_servers_do(tokens: Tokens) -> None:
    for token in (tokens.issue(JOHN), tokens.issue_child(JOHN, {"scopes": ["lab"]})):
        claims = jwt.get_unverified_claims(token.partition("@imjoy@")[2])
        assert claims.keys() == ORIGINAL.keys()
    claims = jwt.get_unverified_claims(tokens.issue_reconnection(JOHN, PLACE))
    assert claims.keys() == ORIGINAL_RECONNECTION.keys() | {"user_exp", "prg"}


@pytest.mark.parametrize("prefix", ["", "john@imjoy@"])
async def test_a_reconnection_token_is_no_access_token(tokens: Tokens, prefix: str) -> None:
    ours = tokens.issue_reconnection(JOHN, PLACE)

    for token in (ours, signed(ORIGINAL_RECONNECTION)):
        with pytest.raises(InvalidToken):
            await tokens.verify(prefix + token)


def test_an_access_token_is_no_reconnection_token(tokens: Tokens) -> None:
    access = tokens.issue(JOHN)

    for token in (access, access.partition("@imjoy@")[2], signed(ORIGINAL_RECONNECTION)):
        with pytest.raises(InvalidToken):
            tokens.verify_reconnection(token)


def test_a_reconnection_token_says_which_client_comes_back(tokens: Tokens) -> None:
    token = tokens.issue_reconnection(JOHN, Place("w" * 256, "c" * 256, "p" * 16))

    assert tokens.verify_reconnection(token) == (JOHN, Place("w" * 256, "c" * 256, "p" * 16))


def test_a_reconnection_token_does_not_outlive_the_users_own(tokens: Tokens) -> None:
    expired = Identity("john", expires_at=time.time() - 1)

    with pytest.raises(InvalidToken, match="expired"):
        tokens.verify_reconnection(tokens.issue_reconnection(expired, PLACE))


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


@pytest.mark.parametrize("token", BAD.values(), ids=BAD.keys())
async def test_a_bad_token_is_refused(tokens: Tokens, token: str) -> None:
    with pytest.raises(InvalidToken) as refused:
        await tokens.verify(token)

    parts = token.removeprefix("x@imjoy@").split(".")
    assert not any(part in str(refused.value) for part in parts if len(part) > 1)


async def test_a_hub_without_an_issuer_accepts_only_its_own_tokens(tokens: Tokens) -> None:
    with pytest.raises(InvalidToken, match="only tokens that it made"):
        await tokens.verify(unsigned({"alg": "RS256", "kid": "1"}, ORIGINAL))


async def test_a_secret_that_looks_like_json_is_still_a_secret() -> None:
    for secret in ('["a", "b"]', '{"keys": []}', "null", " 12 "):
        tokens = Tokens(secret, SETTINGS)
        assert (await tokens.verify(tokens.issue(JOHN))).id == "john"


async def test_a_public_key_is_no_secret() -> None:
    with pytest.raises(StartupError, match="jwt_secret"):
        Tokens("-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----", SETTINGS)


@pytest.mark.parametrize("value", [b"binary", 1, {}, ["ws/client"]])
def test_a_parent_client_is_a_text(tokens: Tokens, value: object) -> None:
    with pytest.raises(BadRequest, match="parent_client"):
        tokens.issue_child(JOHN, {"scopes": ["lab"], "parent_client": value})


async def test_scopes_are_written_once(tokens: Tokens) -> None:
    token = tokens.issue_child(JOHN, {"scopes": ["lab"] * 10_000 + ["shed"]})

    assert (await tokens.verify(token)).scopes == ("lab", "shed")


def test_a_token_that_would_be_refused_for_its_length_is_not_made(tokens: Tokens) -> None:
    with pytest.raises(BadRequest, match="too long"):
        tokens.issue_child(JOHN, {"scopes": [f"workspace-{n}" for n in range(1000)]})


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (None, None),
        ("", None),
        ("a.b.c", "a.b.c"),
        ("  a.b.c ", "a.b.c"),
        ("Bearer a.b.c", "a.b.c"),
        ("bearer   a.b.c", "a.b.c"),
        ("BEARER u@imjoy@a.b.c", "u@imjoy@a.b.c"),
    ],
)
def test_a_header_may_have_the_token_alone(header: str | None, token: str | None) -> None:
    assert token_of(header) == token


@pytest.mark.parametrize("header", ["Bearer", "Bearer  ", "Bearer a b", "Basic dTpw", " "])
def test_a_header_of_another_kind_is_refused(header: str) -> None:
    with pytest.raises(InvalidToken, match="Authorization"):
        token_of(header)


async def test_a_gateway_lets_the_bearer_of_a_token_in(
    gateway_factory: GatewayFactory, tokens: Tokens
) -> None:
    gateway = gateway_factory(jwt_secret=SECRET)

    info = await info_of(gateway.url, token=tokens.issue(JOHN))

    assert info["workspace"] == "john"
    user = info["user_info"]
    assert user["expires_at"] == pytest.approx(time.time() + CONFIG.token_lifetime, abs=60)
    assert user == JOHN.to_wire() | {"expires_at": user["expires_at"]}


async def test_a_gateway_says_why_it_refuses_a_token(
    gateway_factory: GatewayFactory, tokens: Tokens
) -> None:
    gateway = gateway_factory(jwt_secret=SECRET)
    reconnection = (await info_of(gateway.url))["reconnection_token"]

    for name in BAD.keys() - {"a lone surrogate"}:
        assert await refusal_of(gateway.url, token=BAD[name]), name
    for token in (reconnection, f"x@imjoy@{reconnection}"):
        assert "Invalid token" in await refusal_of(gateway.url, token=token)
    assert "expired" in await refusal_of(gateway.url, token=tokens.issue(JOHN, -1))


async def test_children_of_an_anonymous_user_who_has_left_are_refused(
    gateway_factory: GatewayFactory, tokens: Tokens
) -> None:
    gateway = gateway_factory(jwt_secret=SECRET)
    async with AsyncExitStack() as staying:
        async with attached(gateway.url) as parent:
            lab = parent["workspace"]
            token = tokens.issue_child(Identity(lab), {"scopes": [lab]})
            child = attached(gateway.url, token=token, workspace=lab)
            assert (await staying.enter_async_context(child))["user_info"]["parent"] == lab

        assert b"Permission denied" in await first_refusal(gateway.url, token, lab)


async def first_refusal(url: str, token: str, workspace: str) -> bytes:
    """Connect again and again, until the gateway has noticed what it should."""
    async with asyncio.timeout(20 * SECOND):
        while True:
            try:
                await info_of(url, token=token, workspace=workspace)
            except InvalidStatus as refused:
                return bytes(refused.response.body or b"")


async def test_a_token_makes_none_that_outlives_it_not_even_after_its_end(hub: Hub) -> None:
    made: list[str] = []
    wish = {"expires_in": 2}
    async with await RawClient.connect(hub.first) as owner:
        token = await owner.manager("generate_token", wish)
        at_home = {"workspace": owner.workspace}
        async with await RawClient.connect(hub.second, token=token, **at_home) as bearer:
            with pytest.raises(Rejected, match="has expired"):
                await make_until_refused(bearer, made)
        ends = [claims_of(child)["exp"] for child in made]

    assert ends
    assert set(ends) == {claims_of(token)["exp"]}


async def make_until_refused(bearer: RawClient, made: list[str]) -> None:
    async with asyncio.timeout(20 * SECOND):
        while True:
            made.append(await bearer.manager("generate_token", {"expires_in": 9e7}))


def claims_of(token: str) -> dict[str, Any]:
    return jwt.get_unverified_claims(token.partition("@imjoy@")[2])
