"""`hypha-login`: how programs get a token, and end one."""

import asyncio
import time
from typing import Any
from unittest.mock import Mock

import pytest

from hypha_cluster.errors import (
    BadRequest,
    CallTimeout,
    InvalidToken,
    NotFound,
    Overloaded,
    PermissionDenied,
    TooMany,
)
from hypha_cluster.features.login import service as module
from hypha_cluster.features.login.attempts import LoginAttempts
from hypha_cluster.features.login.service import LoginService, TokenBook
from hypha_cluster.features.login.terms import LoginSettings
from hypha_cluster.identity.access import Identity, Workspace
from hypha_cluster.registry.issued import IssuedTokens
from hypha_cluster.registry.logins import Attempts, public_part
from tests.unit.features.rig import ADA, ANN, BOB, URL, Ground

GUEST = Identity("guest")


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_EVERY", 0.01)


def service_of(ground: Ground, **settings: Any) -> LoginService:
    attempts = LoginAttempts(
        Attempts(ground.redis, ground.keys, 3, 600.0), Attempts(ground.redis, ground.keys, 3, 600.0)
    )
    book = TokenBook(ground.revocations, IssuedTokens(ground.redis, ground.keys))
    chosen = LoginSettings(**settings)
    return LoginService(ground.logins, ground.gatekeeper, ground.tokens, book, attempts, chosen)


@pytest.fixture
def login(ground: Ground) -> LoginService:
    return service_of(ground)


async def test_a_program_waits_for_the_token_that_a_page_reports(
    ground: Ground, login: LoginService
) -> None:
    me = ground.context(GUEST)
    started = await login.start(me)
    key, address = started["key"], started["login_url"]
    assert address == f"{URL}/public/apps/hypha-login/?key={public_part(key)}"
    assert await login.check(me, key, 0) is False
    waiting = asyncio.ensure_future(login.check(me, key, 30))
    await asyncio.sleep(0)

    token = ground.token(ANN)
    await login.report(me, public_part(key), token)

    assert await waiting == token
    with pytest.raises(NotFound, match="Invalid key"):
        await login.check(me, key, 0)


async def test_who_waits_too_long_is_told_so(ground: Ground, login: LoginService) -> None:
    me = ground.context(GUEST)
    key = (await login.start(me))["key"]

    with pytest.raises(CallTimeout, match="Login timeout"):
        await login.check(me, key, 0.05)


async def test_a_login_that_was_refused_is_told_so(ground: Ground, login: LoginService) -> None:
    me = ground.context(GUEST)
    key = (await login.start(me))["key"]
    await ground.logins.report(public_part(key), None)

    with pytest.raises(PermissionDenied, match="refused on its page"):
        await login.check(me, key)


async def test_only_a_valid_token_ends_a_login_and_wrong_ones_are_counted(
    ground: Ground, login: LoginService
) -> None:
    me = ground.context(GUEST, source="address 198.51.100.7")
    key = (await login.start(me))["key"]
    for _ in range(3):
        with pytest.raises(InvalidToken):
            await login.report(me, public_part(key), "ann@imjoy@nonsense")

    with pytest.raises(TooMany, match="tokens that are not valid"):
        await login.report(me, public_part(key), ground.token(ANN))
    assert await login.check(me, key, 0) is False


async def test_logins_of_one_address_are_bounded(ground: Ground, login: LoginService) -> None:
    nobody = ground.context(GUEST, source="")
    connected: Any = Mock(subjects=["user guest", "address 198.51.100.7"])
    me = ground.context(GUEST, connection=connected)
    for _ in range(3):
        await login.start(me)

    with pytest.raises(TooMany, match="logins begun at this address"):
        await login.start(me)
    assert (await login.start(nobody))["key"]


async def test_only_so_many_wait(
    ground: Ground, login: LoginService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOGINS", 0)
    me = ground.context(GUEST)
    key = (await login.start(me))["key"]

    with pytest.raises(Overloaded):
        await login.check(me, key, 30)
    assert await login.check(me, key, 0) is False


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda login, me: login.check(me, 5), "'key' is a text"),
        (lambda login, me: login.check(me, "x" * 5_000), "'key' is a text of at most"),
        (lambda login, me: login.check(me, "x", "soon"), "'timeout' is a number"),
        (lambda login, me: login.check(me, "x", float("nan")), "'timeout' is a number"),
        (lambda login, me: login.check(me, "x", [1]), "'timeout' is a number"),
        (lambda login, me: login.report(me, "x", None), "'token' is a text"),
        (lambda login, me: login.revoke_user(me, before=-1), "'before' is a Unix time"),
        (lambda login, me: login.revoke_user(me, before=time.time() + 99), "not later than now"),
        (lambda login, me: login.revoke_token(me, ""), "'token' is a text"),
    ],
)
async def test_what_makes_no_sense_is_told_so(
    ground: Ground, login: LoginService, call: Any, says: str
) -> None:
    with pytest.raises(BadRequest, match=says):
        await call(login, ground.context(ANN))

    assert len(ground.revocations.book) == 0


async def test_a_token_says_whom_it_speaks_for(ground: Ground, login: LoginService) -> None:
    parsed = await login.parse_token(ground.context(GUEST), ground.token(ANN))

    assert (parsed["id"], parsed["email"]) == ("ann", "ann@example.org")
    with pytest.raises(InvalidToken):
        await login.parse_token(ground.context(GUEST), "x@imjoy@nonsense")


async def test_a_token_is_ended_by_itself_with_its_children(
    ground: Ground, login: LoginService
) -> None:
    token = ground.token(ANN)
    made_with = await ground.tokens.verify(token)
    child = ground.tokens.issue_child(made_with, {"scopes": ["ann"]})

    await login.revoke_token(ground.context(GUEST), token)

    for ended in (token, child):
        with pytest.raises(InvalidToken, match="revoked"):
            await ground.gatekeeper.identify(ended)
    assert (await ground.gatekeeper.identify(ground.token(ANN))).id == "ann"


async def test_what_a_user_has_is_theirs_and_an_admins_to_end(
    ground: Ground, login: LoginService
) -> None:
    with pytest.raises(PermissionDenied, match="Only an admin"):
        await login.revoke_user(ground.context(BOB), "ann")
    with pytest.raises(PermissionDenied, match="Only a user with an e-mail address"):
        await login.revoke_user(ground.context(GUEST))
    token = ground.token(ANN)

    await login.revoke_user(ground.context(ADA), "ann")

    with pytest.raises(InvalidToken, match="revoked"):
        await ground.gatekeeper.identify(token)


async def test_a_workspace_is_its_owners_to_take_from_others(
    ground: Ground, login: LoginService
) -> None:
    await ground.workspaces.create(Workspace("lab", owners=["ann"]))
    child = await ground.tokens.verify(ground.tokens.issue_child(ANN, {"scopes": ["lab"]}))

    with pytest.raises(PermissionDenied):
        await login.revoke_workspace(ground.context(BOB), "lab")
    assert not ground.revocations.book.has_lost(child, "lab")
    await login.revoke_workspace(ground.context(ANN), "lab")

    assert ground.revocations.book.has_lost(child, "lab")


async def test_a_full_book_is_for_admins_alone(
    ground: Ground, login: LoginService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REVOCATIONS", 0)

    with pytest.raises(Overloaded, match="ask an admin"):
        await login.revoke_user(ground.context(ANN))
    await login.revoke_user(ground.context(ADA), "ann")
    assert len(ground.revocations.book) == 1


async def test_the_page_is_where_programs_look_for_it(ground: Ground, login: LoginService) -> None:
    page = await login.index(ground.context(GUEST))

    assert (page["status"], f"{URL}/public/apps/hypha-login/" in page["body"]) == (200, True)


@pytest.mark.parametrize(("report", "posted"), [("get", False), ("post", True)])
async def test_the_operator_says_whether_a_token_may_stand_in_an_address(
    ground: Ground, report: str, posted: bool
) -> None:
    service = service_of(ground, login_report=report).service()

    assert ("report" in service.posted) is posted
    assert service.posted >= {"parse_token", "revoke_token", "revoke_user", "revoke_workspace"}
