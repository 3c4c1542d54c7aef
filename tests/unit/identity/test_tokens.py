"""What tokens are made of, and whom they may outlive."""

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from hypha_cluster.errors import PermissionDenied
from hypha_cluster.identity.access import Identity
from hypha_cluster.identity.tokens import Tokens, TokenSettings

SETTINGS = TokenSettings("https://hub/", "the hub", "https://claims/", 10_800, 18_000)
JOHN = Identity("john", is_anonymous=False, email="john@example.org", roles=("curator",))
YEARS = 9 * 365 * 86_400


@pytest.fixture
def tokens() -> Tokens:
    return Tokens("a secret", SETTINGS)


def expiring(identity: Identity, seconds: float) -> Identity:
    return replace(identity, expires_at=time.time() + seconds)


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
