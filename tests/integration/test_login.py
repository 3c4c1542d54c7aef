"""Logging in with a password: every step at any gateway, and nobody in between gets anything."""

import json
import re
from urllib.parse import parse_qsl, urlencode

import pytest

from hypha_cluster.registry.accounts import Invitation
from tests.conformance.python_scene import eventually
from tests.conftest import GatewayFactory
from tests.gateways import Gateway
from tests.http import ask
from tests.integration.test_tokens import info_of
from tests.login_rig import PAGE, PASSWORD, SERVICE, Person, Site, check, key_of, start
from tests.raw_client import RawClient, Rejected
from tests.token_rig import SECRET, tokens_of

pytest_plugins = ["tests.login_fixtures"]


async def test_a_program_gets_a_token_that_connects(site: Site, ann: Person) -> None:
    started = await start(site.first)
    key = key_of(started["login_url"])
    assert started["login_url"] == f"{site.first}{PAGE}?key={key}"
    assert started["report_url"] == f"{site.first}{SERVICE}/report"
    assert await check(site.second, started["key"]) is False

    consent = await ann.log_in(site.second, "ann", key=key)
    assert "ann@example.org" in consent
    assert key[-4:] in consent
    done = await ann.answer(site.first, consent)
    assert "You are logged in" in done

    token = await check(site.second, started["key"], 10)
    info = await info_of(site.first, token=token)
    assert info["workspace"] == "ann"
    assert info["user_info"]["email"] == "ann@example.org"
    assert info["user_info"]["roles"] == ["admin"]
    assert not info["user_info"]["is_anonymous"]
    assert (await check(site.first, started["key"]))[0] == 404


async def test_a_program_waits_until_its_user_has_logged_in(site: Site, ann: Person) -> None:
    async with await RawClient.connect(site.first) as program:
        service = await program.manager("get_service", "public/*:hypha-login")
        assert service["start"]["_rtarget"] == "public/workspace-manager"
        manager, prefix = "public/workspace-manager", "services.hypha-login."
        context = await program.call(manager, f"{prefix}start")
        waiting = program.place(
            {"type": "method", "to": manager, "method": f"{prefix}check"},
            {"args": [context["key"], 60]},
        )
        consent = await ann.log_in(site.second, "ann", key=key_of(context["login_url"]))
        assert program.client_id in consent
        await ann.answer(site.second, consent)

        token = await waiting

    assert (await tokens_of().verify(token)).id == "ann"


async def test_who_refuses_gives_no_token(site: Site, ann: Person) -> None:
    started = await start(site.first)
    consent = await ann.log_in(site.first, "ann", key=key_of(started["login_url"]))

    done = await ann.answer(site.first, consent, "refuse")

    assert "Refused" in done
    assert await check(site.first, started["key"]) == (403, "The login was refused on its page.")


async def test_who_has_signed_in_is_asked_for_each_program(site: Site, ann: Person) -> None:
    await ann.log_in(site.first, "ann")

    for url in (site.first, site.second):
        started = await start(site.first)
        consent = await ann.open(f"{url}{PAGE}?key={key_of(started['login_url'])}")
        assert "act as you" in consent
        assert await check(site.first, started["key"]) is False
        await ann.answer(url, consent)
        assert isinstance(await check(site.second, started["key"]), str)


async def test_an_answer_counts_once(site: Site, ann: Person) -> None:
    started = await start(site.first)
    consent = await ann.log_in(site.first, "ann", key=key_of(started["login_url"]))
    await ann.answer(site.first, consent)

    again = await ann.answer(site.first, consent, "refuse")

    assert (again.status, "has ended already" in again) == (409, True)
    assert isinstance(await check(site.first, started["key"]), str)


async def test_a_login_completes_though_the_gateway_that_began_it_was_killed(
    site: Site, ann: Person
) -> None:
    started = await start(site.first)
    site.gateways[0].kill()

    consent = await ann.log_in(site.second, "ann", key=key_of(started["login_url"]))
    await ann.answer(site.second, consent)

    token = await check(site.second, started["key"], 10)
    assert (await info_of(site.second, token=token))["workspace"] == "ann"


async def test_the_address_of_the_page_is_not_enough_to_fetch_the_token(
    site: Site, ann: Person
) -> None:
    started, others = await start(site.first), await start(site.first)
    key = key_of(started["login_url"])
    consent = await ann.log_in(site.first, "ann", key=key)
    await ann.answer(site.first, consent)

    for guess in (key, key + others["key"][22:], started["key"][:-1]):
        assert (await check(site.first, guess))[0] == 404


async def test_what_the_original_pages_report_is_checked(site: Site) -> None:
    report = f"{site.first}{SERVICE}/report"
    started = await start(site.first)
    user = (await site.accounts.all())[0].identity()
    bad = ["nonsense", tokens_of("another secret").issue(user), tokens_of().issue(user, -1)]

    for token in bad:
        assert (await ask(f"{report}?key={started['key']}&token={token}")).status == 401
    for token in ("", "null"):
        assert 400 <= (await ask(f"{report}?key={started['key']}&token={token}")).status < 500
    assert await check(site.first, started["key"]) is False

    good = tokens_of().issue(user)
    assert (await ask(f"{report}?key={started['key']}&token={good}")).value is None
    assert (await ask(f"{report}?key={started['key']}&token={good}x")).status in (401, 409)
    assert await check(site.second, started["key"]) == good
    assert (await ask(f"{report}?key={started['key']}&token={good}")).status == 409


async def test_an_operator_may_have_tokens_reported_by_post_alone(
    gateway_factory: GatewayFactory, site: Site
) -> None:
    """Else they stand in the logs of whatever is on the way."""
    url = gateway_factory(jwt_secret=SECRET, login_report="post").url
    report, started = f"{url}{SERVICE}/report", await start(url)
    good = tokens_of().issue((await site.accounts.all())[0].identity())

    refused = await ask(f"{report}?key={started['key']}&token={good}")
    assert (refused.status, lower(refused.headers)["allow"]) == (405, "POST")
    assert await check(url, started["key"]) is False

    said = json.dumps({"key": started["key"], "token": good}).encode()
    assert (await ask(report, said, Content_Type="application/json")).status == 200
    assert await check(site.first, started["key"]) == good


def lower(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("parse_token", "token="),
        ("revoke_token", "token="),
        ("revoke_user", "user=bob"),
        ("revoke_workspace", "workspace=bob"),
    ],
)
async def test_nothing_ends_by_get_nor_is_told_a_secret(
    site: Site, function: str, arguments: str
) -> None:
    admin, user = (tokens_of().issue(a.identity()) for a in await site.accounts.all())
    query = f"{arguments}{user if arguments.endswith('token=') else ''}"
    said = {"Authorization": f"Bearer {admin}"}

    answer = await ask(f"{site.first}{SERVICE}/{function}?{query}", **said)
    asked = f"workspace=public&service_id=hypha-login&function_key={function}"
    old_answer = await ask(f"{site.first}/services/call?{asked}&function_kwargs=%7B%7D", **said)

    assert answer.status == old_answer.status == 405
    assert "by POST" in answer.value["detail"]
    # Nor by a POST whose arguments stand in the address all the same.
    named = json.dumps(dict(parse_qsl(query)))
    old_query = f"{asked}&{urlencode({'function_kwargs': named})}"
    posted = await ask(f"{site.first}{SERVICE}/{function}?{query}", b"", **said)
    old_posted = await ask(f"{site.first}/services/call?{old_query}", b"", **said)
    assert posted.status == old_posted.status == 405
    assert (await info_of(site.first, token=user))["workspace"] == "bob"


async def test_bad_tokens_for_one_login_are_bounded(site: Site) -> None:
    started, other = await start(site.first), await start(site.first)
    bad = tokens_of("another secret").issue((await site.accounts.all())[0].identity())
    for number in range(10):
        url = (site.first, site.second)[number % 2]
        answer = await ask(f"{url}{SERVICE}/report?key={started['key']}&token={bad}")
        assert answer.status == 401

    good = tokens_of().issue((await site.accounts.all())[0].identity())
    answer = await ask(f"{site.first}{SERVICE}/report?key={started['key']}&token={good}")
    assert (answer.status, "try again in 10 minutes" in answer.value["detail"]) == (429, True)

    answer = await ask(f"{site.first}{SERVICE}/report?key={other['key']}&token={good}")
    assert answer.status == 200


async def test_logins_of_one_address_are_bounded_over_all_gateways(
    gateway_factory: GatewayFactory, ann: Person, site: Site
) -> None:
    """Where addresses count: they do not behind a proxy that says nothing of whom it asks for."""
    settings: dict[str, str] = {"trusted_proxies": "203.0.113.0/24", "jwt_secret": SECRET}
    urls = [gateway_factory(**settings).url for _ in range(2)]
    begun = await start(urls[0])
    for number in range(99):
        assert (await ask(f"{urls[number % 2]}{SERVICE}/start")).status == 200

    for url in urls:
        refused = await ask(f"{url}{SERVICE}/start")
        assert refused.status == 429
        assert 0 < int(lower(refused.headers)["retry-after"]) <= 600
    async with await RawClient.connect(urls[0]) as program:
        with pytest.raises(Rejected, match="Too many logins"):
            await program.call("public/workspace-manager", "services.hypha-login.start")

    consent = await ann.log_in(urls[1], "ann", key=key_of(begun["login_url"]))
    await ann.answer(urls[1], consent)
    assert isinstance(await check(urls[0], begun["key"], 5), str)
    assert (await start(site.first))["key"]  # an address that does not count


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("key=unknown&timeout=0", 404, "Invalid key, key does not exist."),
        ("key=unknown", 404, "Invalid key, key does not exist."),
        ("timeout=0", 400, ""),
        ("key=&timeout=0", 400, "'key' is a text"),
        ("key=abc&timeout=soon", 400, "'timeout' is a number"),
        ("key=abc&timeout=nan", 400, "'timeout' is a number"),
    ],
)
async def test_a_bad_check_is_told_what_is_wrong(
    site: Site, query: str, status: int, text: str
) -> None:
    answer = await ask(f"{site.first}{SERVICE}/check?{query}")

    assert answer.status in (status, 422)
    assert text in answer.value["detail"] or answer.status == 422


async def test_a_login_that_takes_too_long_says_so(
    gateway_factory: GatewayFactory,
) -> None:
    url = gateway_factory(login_time=10).url
    started = await start(url)

    status, text = await check(url, started["key"], 0.2)
    assert (status, text) == (504, "Login timeout")


# Passwords.


async def test_a_wrong_password_lets_nobody_in(site: Site, ann: Person) -> None:
    for name, password in (("ann", "wrong"), ("nobody", PASSWORD), ("", ""), ("ann", "")):
        page = await ann.log_in(site.first, name, password)
        assert page.status == 401
        assert "not the password, or there is no such user" in page
        assert password not in page or not password
    assert not ann.cookies


async def test_who_tries_too_often_has_to_wait_at_all_gateways(site: Site, ann: Person) -> None:
    for number in range(10):
        page = await ann.log_in((site.first, site.second)[number % 2], "ann", "wrong")
        assert page.status == 401

    for url in (site.first, site.second):
        page = await ann.log_in(url, "ann")
        assert page.status == 429
        assert "try again in 10 minutes" in page
        assert 0 < int(page.headers["retry-after"]) <= 600
    assert (await ann.log_in(site.first, "bob")).path == "/account"


async def test_an_address_will_do_for_a_name(site: Site, ann: Person) -> None:
    page = await ann.log_in(site.first, "ANN@example.org")

    assert page.path == "/account"


# Cookies and forms.


async def test_a_cookie_is_for_the_hub_alone(site: Site, ann: Person) -> None:
    fields = {"name": "ann", "password": PASSWORD, "key": ""}

    plain = await ann.send(f"{site.first}/login/sign-in", fields)
    async with Person(follow_redirects=False) as other:
        secure = await other.send(
            f"{site.first}/login/sign-in",
            fields,
            X_Forwarded_Proto="https",
            Origin=site.first.replace("http:", "https:"),
        )

    assert plain.path == "/account"
    cookie = secure.headers["set-cookie"]
    assert re.match(r"__Host-hypha=[\w-]{32}; ", cookie)
    for part in ("HttpOnly", "Path=/", "SameSite=lax", "Secure"):
        assert part in cookie
    assert "Domain" not in cookie


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"},
    ],
    ids=str,
)
async def test_another_pages_form_does_nothing(
    site: Site, ann: Person, headers: dict[str, str]
) -> None:
    started = await start(site.first)
    consent = await ann.log_in(site.first, "ann", key=key_of(started["login_url"]))
    fields = {**consent.fields, "answer": "allow"}

    for path, sent in {
        "/login/answer": fields,
        "/login/sign-out": consent.fields,
        "/login/sign-in": {"name": "bob", "password": PASSWORD},
    }.items():
        page = await ann.send(f"{site.first}{path}", sent, **headers)
        assert page.status in (401, 403), path
    assert await check(site.first, started["key"]) is False
    assert "ann@example.org" in await ann.open(consent.url)


async def test_a_form_without_the_secret_of_its_page_does_nothing(site: Site, ann: Person) -> None:
    started = await start(site.first)
    consent = await ann.log_in(site.first, "ann", key=key_of(started["login_url"]))

    for csrf in ("", "made up", consent.fields["csrf"][:-1]):
        fields = {**consent.fields, "csrf": csrf, "answer": "allow"}
        assert (await ann.send(f"{site.first}/login/answer", fields)).status == 403

    assert await check(site.first, started["key"]) is False


async def test_a_script_of_another_page_reads_nothing(site: Site, ann: Person) -> None:
    started = await start(site.first)
    consent = await ann.log_in(site.first, "ann", key=key_of(started["login_url"]))

    for headers in (
        {"Origin": "https://evil.example", "Sec_Fetch_Mode": "cors"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "cors"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"},
    ):
        page = await ann.open(consent.url, **headers)
        assert "csrf" not in page.fields
        assert "ann@example.org" not in page


async def test_who_signs_out_is_out_everywhere(site: Site, ann: Person) -> None:
    started = await start(site.first)
    consent = await ann.log_in(site.first, "ann", key=key_of(started["login_url"]))
    cookie = ann.cookies["hypha"]

    page = await ann.send(f"{site.second}/login/sign-out", consent.fields)

    assert "Password" in page
    async with Person(cookies={"hypha": cookie}) as thief:
        for url in (site.first, site.second):
            assert "Password" in await thief.open(f"{url}{PAGE}")


async def test_signing_in_gives_a_new_cookie(site: Site, ann: Person) -> None:
    """Whoever has put a cookie into somebody's browser does not share what they sign in to."""
    await ann.log_in(site.first, "ann")
    before = ann.cookies["hypha"]

    await ann.send(f"{site.first}/login/sign-in", {"name": "bob", "password": PASSWORD})

    assert ann.cookies["hypha"] != before


async def test_pages_are_protected_from_others(site: Site, ann: Person) -> None:
    page = await ann.open(f"{site.first}{PAGE}")

    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script" not in page.text
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["cache-control"] == "no-store"
    assert "http" not in page.text.replace("<!doctype html>", "")


@pytest.mark.parametrize("word", ["<script>alert(1)</script>", '"><b>', "{{ 7*7 }}"])
async def test_what_others_say_is_text(site: Site, ann: Person, word: str) -> None:
    page = await ann.send(f"{site.first}/login/sign-in", {"name": word, "password": "x"})
    raw = await ask(f"{site.first}{PAGE}?key={'%3Cb%3E'}")

    assert word in page
    assert b"<b>" not in raw.body
    assert "49" not in page


async def test_no_address_leads_to_another_site(site: Site, ann: Person) -> None:
    for path in (
        f"{PAGE}?key=//evil.example",
        f"{PAGE}?key=https://evil.example&next=https://evil.example",
        "/login/callback?state=x&redirect_uri=https://evil.example",
        "/login/to/evil?key=x",
    ):
        page = await ann.open(f"{site.first}{path}")
        assert page.url.startswith(site.first)
        assert page.status in (200, 404)


async def test_all_of_it_works_below_a_path(
    gateway_factory: GatewayFactory, site: Site, ann: Person
) -> None:
    url = gateway_factory(jwt_secret=SECRET, base_path="/my/engine").url + "/my/engine"
    started = await start(url)
    assert started["login_url"].startswith(f"{url}{PAGE}?key=")

    consent = await ann.log_in(url, "ann", key=key_of(started["login_url"]))
    assert 'href="/my/engine/pages/style.css"' in consent
    assert 'action="/my/engine/login/answer"' in consent
    await ann.answer(url, consent)

    assert isinstance(await check(url, started["key"], 5), str)
    assert (await ask(f"{url}/pages/style.css")).status == 200


async def test_where_the_page_is_only_a_trusted_proxy_says(gateway_factory: GatewayFactory) -> None:
    said = {"X_Forwarded_Host": "evil.example", "X_Forwarded_Proto": "https"}
    for trusted, address in (("private", "https://evil.example"), ("203.0.113.0/24", "http://127")):
        url = gateway_factory(trusted_proxies=trusted).url
        started = (await ask(f"{url}{SERVICE}/start", **said)).value
        assert started["login_url"].startswith(address)


# The first admin, and other invitations.


async def test_the_first_admin_is_invited_once(
    gateway_factory: GatewayFactory, ann: Person
) -> None:
    gateway = gateway_factory()
    invitation = await told(gateway)
    fields = {"code": invitation.partition("code=")[2], "email": "ann@example.org"}
    page = await ann.open(f"{gateway.url}/login/invitation?code={fields['code']}")
    assert "Make yourself the admin" in page

    for bad in ({"name": "ann", "password": "short"}, {"name": "a b", "password": PASSWORD}):
        page = await ann.send(f"{gateway.url}/login/invitation", {**fields, **bad})
        assert page.status == 400
        assert 'role="alert"' in page
    sent = {**fields, "name": "ann", "password": PASSWORD}
    assert (await ann.send(f"{gateway.url}/login/invitation", sent)).path == "/account"

    assert (await ann.send(f"{gateway.url}/login/invitation", sent)).status == 401
    assert (await ann.log_in(gateway.url, "ann")).path == "/account"
    again = gateway_factory()
    assert "Become the admin" not in again.log()


async def told(gateway: Gateway) -> str:
    """What the operator is told to open."""

    async def is_told() -> bool:
        return "Become the admin" in gateway.log()

    await eventually(is_told)
    found = re.search(r"Become the admin, once: (\S+)", gateway.log())
    assert found
    return found[1]


async def test_an_invitation_to_choose_a_password_holds_once(site: Site, ann: Person) -> None:
    code = await site.accounts.invite(Invitation("bob"))
    page = await ann.open(f"{site.first}/login/invitation?code={code}")
    assert "bob" in page

    sent = {**page.fields, "password": "another password"}
    assert (await ann.send(f"{site.first}/login/invitation", sent)).path == "/account"

    assert (await ann.send(f"{site.first}/login/invitation", sent)).status == 401
    assert (await ann.log_in(site.first, "bob")).status == 401
    assert (await ann.log_in(site.first, "bob", "another password")).path == "/account"


async def test_no_secret_is_in_a_log(site: Site, ann: Person) -> None:
    started = await start(site.first)
    consent = await ann.log_in(site.first, "ann", key=key_of(started["login_url"]))
    await ann.answer(site.first, consent)
    token = await check(site.first, started["key"], 5)
    await info_of(site.first, token=token)

    logs = "".join(gateway.log() for gateway in site.gateways)
    for secret in (
        PASSWORD,
        token,
        token.partition("@imjoy@")[2],
        started["key"],
        ann.cookies["hypha"],
    ):
        assert secret not in logs
