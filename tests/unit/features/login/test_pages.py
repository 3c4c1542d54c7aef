"""The pages by which people sign in, and by which programs get their tokens."""

import pytest
from starlette.applications import Starlette

from hypha_cluster.registry.accounts import Invitation
from hypha_cluster.registry.logins import LoginState, public_part
from tests.login_rig import PAGE
from tests.unit.features.rig import ANN, PASSWORD, URL, Ground, Visitor


async def waiting(ground: Ground, program: str = "worker") -> tuple[str, str]:
    """The key of a login that a program waits for, and what its address has of it."""
    key = await ground.logins.start(program)
    return key, public_part(key)


async def test_who_signs_in_is_asked_about_the_program_and_it_gets_a_token(
    site: Starlette, ground: Ground
) -> None:
    key, public = await waiting(ground)
    async with Visitor(site) as ann:
        consent = await ann.log_in(URL, "ann", PASSWORD, public)
        assert "act as you" in consent
        assert "worker" in consent
        assert (await ground.logins.check(key))[0] is LoginState.PENDING

        done = await ann.answer(URL, consent)

    state, token = await ground.logins.check(key)
    assert ("You are logged in" in done, state) == (True, LoginState.DONE)
    assert (await ground.tokens.verify(token)).id == "ann"
    (entry,) = await ground.logins_of("ann")
    assert (entry.name, entry.by_login) == ("worker", True)


async def test_who_refuses_gives_nothing(site: Starlette, ground: Ground) -> None:
    key, public = await waiting(ground)
    ann = await Visitor.who_is(ANN, site, ground)
    consent = await ann.open(f"{URL}{PAGE}?key={public}")

    refused = await ann.answer(URL, consent, "refuse")

    assert "gets nothing" in refused
    assert (await ground.logins.check(key))[0] is LoginState.REFUSED
    assert await ground.logins_of("ann") == []


@pytest.mark.parametrize("answer", ["", "maybe"])
async def test_another_answer_is_none(site: Starlette, ground: Ground, answer: str) -> None:
    key, public = await waiting(ground)
    ann = await Visitor.who_is(ANN, site, ground)
    consent = await ann.open(f"{URL}{PAGE}?key={public}")

    assert (await ann.answer(URL, consent, answer)).status == 400
    assert (await ground.logins.check(key))[0] is LoginState.PENDING


async def test_nobody_answers_for_somebody_else(site: Starlette, ground: Ground) -> None:
    """Neither without a cookie, nor with a form that another page has made."""
    key, public = await waiting(ground)
    ann = await Visitor.who_is(ANN, site, ground)
    fields = (await ann.open(f"{URL}{PAGE}?key={public}")).fields
    async with Visitor(site) as nobody:
        assert (await nobody.send(f"{URL}/login/answer", {**fields, "answer": "allow"})).status == (
            401
        )
    evil = {"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"}
    answered = await ann.send(f"{URL}/login/answer", {**fields, "answer": "allow"}, **evil)

    assert answered.status in (401, 403)
    assert (await ground.logins.check(key))[0] is LoginState.PENDING


async def test_a_wrong_password_is_told_on_the_page_and_the_name_stays(
    site: Starlette, ground: Ground
) -> None:
    _, public = await waiting(ground)
    async with Visitor(site) as ann:
        page = await ann.log_in(URL, "ann", "wrong", public)

    assert (page.status, page.fields["key"]) == (401, public)
    assert "This is not the password" in page
    assert 'value="ann"' in page
    assert "wrong" not in page.text.replace("What is wrong", "")


async def test_who_tries_too_often_is_told_when_to_come_again(
    site: Starlette, ground: Ground
) -> None:
    async with Visitor(site) as ann:
        page = await ann.log_in(URL, "nobody", "x")
        for _ in range(50):
            if page.status == 429:
                break
            page = await ann.log_in(URL, "nobody", "x")

    assert page.status == 429
    assert 0 < int(page.headers["retry-after"]) <= 600


async def test_without_a_program_the_account_comes_next(site: Starlette, ground: Ground) -> None:
    async with Visitor(site) as ann:
        assert (await ann.log_in(URL, "ann", PASSWORD)).path == "/account"
        assert (await ann.open(f"{URL}{PAGE}")).path == "/account"

        fields = (await ann.open(f"{URL}/account")).fields
        assert (await ann.send(f"{URL}/login/sign-out", fields)).path == PAGE
        assert (await ann.open(f"{URL}/account")).path == PAGE


@pytest.mark.parametrize("key", ["nonsense", "x" * 5_000, "%00"])
async def test_a_key_of_no_login_is_told_so(site: Starlette, ground: Ground, key: str) -> None:
    async with Visitor(site) as ann:
        page = await ann.open(f"{URL}{PAGE}?key={key}")

    assert page.status == 404
    assert "That did not work" in page


async def test_an_invitation_leads_to_an_account(site: Starlette, ground: Ground) -> None:
    code = await ground.accounts.invite(Invitation("", ()))
    async with Visitor(site) as eve:
        page = await eve.open(f"{URL}/login/invitation?code={code}")
        assert page.headers["referrer-policy"] == "strict-origin"
        fields = {**page.fields, "name": "eve", "email": "eve@example.org"}
        short = await eve.send(f"{URL}/login/invitation", {**fields, "password": "short"})
        assert (short.status, 'value="eve"' in short) == (400, True)

        made = await eve.send(f"{URL}/login/invitation", {**fields, "password": PASSWORD})

        assert made.path == "/account"
        again = await eve.open(f"{URL}/login/invitation?code={code}")
    assert again.status in (401, 404)


async def test_pages_run_no_script_and_are_shown_in_no_frame(
    site: Starlette, ground: Ground
) -> None:
    async with Visitor(site) as ann:
        page = await ann.open(f"{URL}{PAGE}")

    policy = page.headers["content-security-policy"]
    assert "script-src" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["cache-control"] == "no-store"


async def test_there_are_the_issuers_that_are_named(site: Starlette, ground: Ground) -> None:
    async with Visitor(site) as ann:
        assert (await ann.open(f"{URL}/login/to/Nobody")).status == 404
        assert (await ann.open(f"{URL}/login/callback?state=x&code=y")).status in (400, 401, 404)
