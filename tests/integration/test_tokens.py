"""The hub's own tokens at real gateways: whom they let in, and how they cannot be abused."""

import asyncio
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

from hypha_cluster.errors import InvalidToken
from hypha_cluster.identity.access import Identity
from hypha_cluster.identity.tokens import Tokens
from hypha_cluster.web.lookup import token_of
from tests.conftest import GatewayFactory
from tests.gateways import SECOND, Hub
from tests.raw_client import RawClient, Rejected
from tests.token_rig import BAD, CONFIG, JOHN, SECRET, SETTINGS


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
