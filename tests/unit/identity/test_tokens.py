"""The hub's own tokens: whom they speak for, until when, and how they cannot be forged."""

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from jose import jwt

from hypha_cluster.errors import BadRequest, InvalidToken, PermissionDenied, StartupError
from hypha_cluster.identity.access import Identity, Origin
from hypha_cluster.identity.tokens import APP, Place, Tokens
from hypha_cluster.protocol.limits import PAGE_TOKEN
from tests.token_rig import (
    BAD,
    JOHN,
    ORIGINAL,
    ORIGINAL_RECONNECTION,
    PLACE,
    SECRET,
    SETTINGS,
    signed,
    unsigned,
)

YEARS = 9 * 365 * 86_400


@pytest.fixture
def tokens() -> Tokens:
    return Tokens(SECRET, SETTINGS)


def expiring(identity: Identity, seconds: float) -> Identity:
    return replace(identity, expires_at=time.time() + seconds)


# Whom a token speaks for, and until when.


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
        assert claims.keys() == ORIGINAL.keys() | {"jti"}
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


# What is no token.


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


# Who made a token, and until when.


@pytest.mark.parametrize("wish", [{"expires_in": YEARS}, {}], ids=["for years", "by default"])
async def test_a_child_ends_with_its_maker(tokens: Tokens, wish: dict[str, float]) -> None:
    maker = expiring(JOHN, 60)

    child = await tokens.verify(tokens.issue_child(maker, {"scopes": ["lab"], **wish}))

    assert child.expires_at == maker.expires_at


async def test_a_grandchild_ends_with_its_grandparent(tokens: Tokens) -> None:
    maker = expiring(JOHN, 60)

    child = await tokens.verify(tokens.issue_child(maker, {"scopes": ["lab"]}))
    wish = {"scopes": ["lab"], "expires_in": YEARS}
    grandchild = await tokens.verify(tokens.issue_child(child, wish))

    assert grandchild.expires_at == maker.expires_at


async def test_a_child_may_end_before_its_maker(tokens: Tokens) -> None:
    maker = expiring(JOHN, 3600)

    child = await tokens.verify(tokens.issue_child(maker, {"scopes": ["lab"], "expires_in": 60}))

    assert child.expires_at == pytest.approx(time.time() + 60, abs=5)


async def test_who_never_ends_gives_what_is_asked_for(tokens: Tokens) -> None:
    child = await tokens.verify(tokens.issue_child(JOHN, {"scopes": ["lab"], "expires_in": YEARS}))

    assert child.expires_at == pytest.approx(time.time() + YEARS, abs=5)


@pytest.mark.parametrize("seconds", [-0.001, -3600])
def test_who_has_ended_makes_no_token(tokens: Tokens, seconds: float) -> None:
    with pytest.raises(PermissionDenied, match="has expired"):
        tokens.issue_child(expiring(JOHN, seconds), {"scopes": ["lab"]})


# What a token may hand on.

BOSS = Identity("boss", is_anonymous=False, email="boss@example.org", roles=("admin",))


async def child_of(tokens: Tokens, maker: Identity, scopes: Sequence[str]) -> Identity:
    return await tokens.verify(tokens.issue_child(maker, {"scopes": list(scopes)}))


async def test_only_an_admin_of_everything_writes_any_address_into_a_token(tokens: Tokens) -> None:
    deputy = await child_of(tokens, BOSS, ["lab"])
    wish = {"scopes": ["lab"], "email": "ann@example.org"}

    assert (await tokens.verify(tokens.issue_child(BOSS, wish))).email == "ann@example.org"
    for maker in (deputy, JOHN):
        with pytest.raises(PermissionDenied, match="can only be your own"):
            tokens.issue_child(maker, wish)


# Which token it is, so that it can be revoked.


async def test_a_token_has_an_id_of_its_own_and_says_when_it_was_made(tokens: Tokens) -> None:
    first, second = [(await tokens.verify(tokens.issue(JOHN))).origin for _ in range(2)]

    assert first
    assert second
    assert first.token != second.token
    assert first.made_at == pytest.approx(time.time(), abs=5)
    assert first.makers == ()


async def test_a_child_says_with_which_tokens_it_was_made(tokens: Tokens) -> None:
    maker = await tokens.verify(tokens.issue(JOHN))
    child = await child_of(tokens, maker, ["lab"])
    grandchild = await child_of(tokens, child, ["lab"])

    assert maker.origin
    assert child.origin
    assert grandchild.origin
    assert child.origin.makers == (maker.origin.token,)
    assert grandchild.origin.makers == (maker.origin.token, child.origin.token)


async def test_a_token_of_a_page_ends_with_what_its_reader_came_with(tokens: Tokens) -> None:
    """Else whoever has a token of a few seconds renews it by pages for ever."""
    maker = await tokens.verify(tokens.issue(JOHN, 60))
    child = await child_of(tokens, maker, ["lab"])
    page = await tokens.verify(tokens.issue_for_page(child))
    next_page = await tokens.verify(tokens.issue_for_page(page))

    for later in (page, next_page):
        assert later.origin
        assert maker.origin
        assert later.origin.makers[0] == maker.origin.token
        assert later.expires_at == child.expires_at
        assert (later.id, later.parent, later.scopes) == (child.id, child.parent, child.scopes)
    endless = await tokens.verify(tokens.issue_for_page(JOHN))
    assert endless.expires_at == pytest.approx(time.time() + PAGE_TOKEN, abs=5)


async def test_a_page_gets_no_token_of_what_has_ended_or_makes_none(tokens: Tokens) -> None:
    app = replace(JOHN, origin=Origin(f"{APP}1", 0.0))

    for nobody in (expiring(JOHN, -1), app):
        with pytest.raises(PermissionDenied):
            tokens.issue_for_page(nobody)


async def test_a_reconnection_token_is_of_the_token_that_its_client_came_with(
    tokens: Tokens,
) -> None:
    maker = await tokens.verify(tokens.issue(JOHN))
    child = await child_of(tokens, maker, ["lab"])

    for identity in (maker, child):
        token = tokens.issue_reconnection(identity, PLACE)
        assert tokens.verify_reconnection(token).identity.origin == identity.origin
    anonymous = tokens.issue_reconnection(Identity("nobody"), PLACE)
    assert tokens.verify_reconnection(anonymous).identity.origin is None


async def test_a_token_of_the_original_is_known_by_what_it_looks_like(tokens: Tokens) -> None:
    token = signed(ORIGINAL)

    first, again = [(await tokens.verify(f"{p}@imjoy@{token}")).origin for p in "ab"]
    other = (await tokens.verify(f"a@imjoy@{signed(ORIGINAL | {'pc': None})}")).origin

    assert first == again
    assert first
    assert first.made_at == ORIGINAL["iat"]
    assert other != first


async def test_what_does_not_say_when_it_was_made_was_made_before_everything(
    tokens: Tokens,
) -> None:
    undated = {name: value for name, value in ORIGINAL.items() if name != "iat"}

    origin = (await tokens.verify(f"a@imjoy@{signed(undated)}")).origin

    assert origin
    assert origin.made_at == 0
