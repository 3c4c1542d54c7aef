"""Who somebody is: by a password, by an invitation, or by coming back from an issuer."""

import time
from typing import Any

import pytest

from hypha_cluster.errors import (
    BadRequest,
    Conflict,
    InvalidToken,
    NotFound,
    PermissionDenied,
    TooMany,
)
from hypha_cluster.features.login.signing_in import SigningIn
from hypha_cluster.features.login.terms import LoginSettings
from hypha_cluster.identity.access import Identity
from hypha_cluster.registry.accounts import ADMIN, Invitation
from hypha_cluster.registry.logins import Attempts
from tests.unit.features.rig import PASSWORD, Ground

HERE = "198.51.100.7"
BACK = "https://hub.example/login/callback"


class Issuer:
    """An issuer that knows one user. user: who comes back from it."""

    user = Identity("carl", False, "carl@example.org")

    async def address(self, asked: Any, state: str) -> str:
        return f"https://issuer.example/?state={state}&nonce={asked.nonce}"

    async def identify(self, code: str, asked: Any) -> Identity:
        if code != "good":
            raise InvalidToken("The issuer does not know this code.")
        return self.user


def signing_in(ground: Ground, *, most: int = 3, **settings: Any) -> SigningIn:
    attempts = tuple(Attempts(ground.redis, ground.keys, each, 600.0) for each in (most, 9))
    issuers: Any = {"First": Issuer(), "Second": Issuer()}
    chosen = LoginSettings(**settings)
    close, anywhere = attempts
    return SigningIn(
        chosen, ground.accounts, ground.logins, (close, anywhere), issuers, ground.workspaces
    )


@pytest.mark.parametrize("name", ["ann", "ann@example.org", "ANN@example.org"])
async def test_a_password_says_who_somebody_is(ground: Ground, name: str) -> None:
    identity = await signing_in(ground).by_password(name, PASSWORD, HERE)

    assert (identity.id, identity.email) == ("ann", "ann@example.org")
    assert identity.origin is not None
    assert abs(identity.origin.made_at - time.time()) < 60


async def test_who_does_not_know_it_learns_nothing_of_who_there_is(ground: Ground) -> None:
    said = []
    for name in ("ann", "nobody"):
        with pytest.raises(InvalidToken) as refused:
            await signing_in(ground).by_password(name, "wrong", HERE)
        said.append(str(refused.value))

    assert said[0] == said[1]


async def test_who_guesses_too_often_is_shut_out_even_with_the_right_one(ground: Ground) -> None:
    way_in = signing_in(ground, most=2)
    for name in ("ann", "ann@example.org"):  # which is the same user
        with pytest.raises(InvalidToken):
            await way_in.by_password(name, "wrong", HERE)

    with pytest.raises(TooMany, match="wrong passwords"):
        await way_in.by_password("ann", PASSWORD, HERE)
    assert (await way_in.by_password("ann", PASSWORD, "198.51.100.8")).id == "ann"
    assert (await way_in.by_password("bob", PASSWORD, HERE)).id == "bob"


async def test_where_there_are_no_passwords_nobody_has_one(ground: Ground) -> None:
    with pytest.raises(PermissionDenied, match="Nobody logs in with a password here"):
        await signing_in(ground, login="none").by_password("ann", PASSWORD, HERE)


async def test_an_invitation_makes_one_account(ground: Ground) -> None:
    way_in = signing_in(ground)
    code = await ground.accounts.invite(Invitation("", (ADMIN,)))

    identity = await way_in.by_invitation(code, "eve", "eve@example.org", PASSWORD)

    assert (identity.id, identity.roles) == ("eve", (ADMIN,))
    assert (await way_in.by_password("eve", PASSWORD, HERE)).id == "eve"
    with pytest.raises(InvalidToken):
        await way_in.by_invitation(code, "mallory", "m@example.org", PASSWORD)


async def test_an_invitation_of_somebody_changes_their_password_alone(ground: Ground) -> None:
    code = await ground.accounts.invite(Invitation("ann", ()))

    identity = await signing_in(ground).by_invitation(code, "bob", "b@x.org", "another password")

    assert identity.id == "ann"
    assert (await signing_in(ground).by_password("ann", "another password", HERE)).id == "ann"
    assert (await signing_in(ground).by_password("bob", PASSWORD, HERE)).id == "bob"


async def test_an_invitation_outlives_a_mistake(ground: Ground) -> None:
    way_in = signing_in(ground)
    code = await ground.accounts.invite(Invitation("", ()))
    for name, password, error in (
        ("eve", "short", BadRequest),
        ("ann", PASSWORD, Conflict),
        ("a/b", PASSWORD, BadRequest),
    ):
        with pytest.raises(error):
            await way_in.by_invitation(code, name, f"{name[0]}x@example.org", password)

    assert (await way_in.by_invitation(code, "eve", "eve@example.org", PASSWORD)).id == "eve"


async def test_who_comes_back_from_an_issuer_is_known_by_it(ground: Ground) -> None:
    way_in = signing_in(ground)
    key = await ground.logins.start("lab/worker")
    address, browser = await way_in.send_away("First", key, BACK)
    state = address.partition("state=")[2].partition("&")[0]

    identity, login = await way_in.come_back({"state": state, "code": "good"}, browser, BACK)

    assert (identity.id, login) == ("carl", key)
    with pytest.raises((NotFound, PermissionDenied, InvalidToken)):  # a state counts once
        await way_in.come_back({"state": state, "code": "good"}, browser, BACK)


async def test_users_of_another_issuer_have_its_name_before_theirs(ground: Ground) -> None:
    way_in = signing_in(ground)
    address, browser = await way_in.send_away("Second", "", BACK)
    state = address.partition("state=")[2].partition("&")[0]

    identity, _ = await way_in.come_back({"state": state, "code": "good"}, browser, BACK)

    assert identity.id == "Second|carl"


@pytest.mark.parametrize(
    ("browser", "query", "says"),
    [
        ("another", {"code": "good"}, "begun in another browser"),
        ("", {"code": "good"}, "begun in another browser"),
        (None, {"error": "access_denied" * 50}, "First has not let you in: access_denied"),
        (None, {"code": "bad"}, "does not know this code"),
    ],
)
async def test_others_come_back_as_nobody(
    ground: Ground, browser: str | None, query: dict[str, str], says: str
) -> None:
    way_in = signing_in(ground)
    address, own = await way_in.send_away("First", "", BACK)
    state = address.partition("state=")[2].partition("&")[0]

    with pytest.raises((PermissionDenied, InvalidToken), match=says) as refused:
        await way_in.come_back({"state": state, **query}, own if browser is None else browser, BACK)
    assert len(str(refused.value)) < 200


async def test_an_issuers_user_cannot_be_one_of_the_hubs_own(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Issuer, "user", Identity("ann", False, "evil@example.org"))
    way_in = signing_in(ground)
    address, browser = await way_in.send_away("First", "", BACK)
    state = address.partition("state=")[2].partition("&")[0]

    with pytest.raises(PermissionDenied, match="Another user of this hub is called ann"):
        await way_in.come_back({"state": state, "code": "good"}, browser, BACK)


async def test_admins_of_the_operators_choice_are_admins(ground: Ground) -> None:
    way_in = signing_in(ground, admins="Carl@Example.org, other@example.org")
    address, browser = await way_in.send_away("First", "", BACK)
    state = address.partition("state=")[2].partition("&")[0]

    identity, _ = await way_in.come_back({"state": state, "code": "good"}, browser, BACK)

    assert identity.roles == (ADMIN,)


async def test_there_are_the_ways_that_are_named(ground: Ground) -> None:
    way_in = signing_in(ground)

    assert way_in.providers == ["First", "Second"]
    with pytest.raises(NotFound, match="no such way to log in"):
        await way_in.send_away("Third", "", BACK)
