"""What pages of others may try with the browser of somebody who has logged in.

The person logs in by the login page of a real hub; whoever attacks has a page elsewhere, a web
application on the same hub, or a cookie that they put into the person's browser.
"""

import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urljoin, urlsplit

import httpx2
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import InvalidStatus

from hypha_cluster.identity.access import Identity
from hypha_cluster.identity.accounts import Account
from hypha_cluster.registry.accounts import Accounts
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import open_redis
from tests.gateways import Gateway, Value
from tests.http import ask
from tests.http_feature_routes import FEATURE_ROWS
from tests.login_rig import PAGE, PASSWORD, Person, check, hash_of, key_of, start
from tests.raw_client import RawClient
from tests.sse_client import EventSource, Refused
from tests.token_rig import SECRET, token_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOB: Final = Identity("bob", False, "bob@example.org")
EVIL: Final = "https://evil.example"
# What a browser says of a form, or a request, that a page elsewhere has made it send.
FOREIGN: Final[list[dict[str, str]]] = [
    {"Origin": EVIL},
    {"Origin": "null"},
    {"Origin": EVIL, "Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
    {"Origin": "http://127.0.0.1:1"},
]


class Site(NamedTuple):
    """Two gateways, and what Bob offers to his workspace alone."""

    first: str
    second: str
    bob: RawClient


@pytest.fixture(scope="module")
def prefix() -> str:
    return f"browser-{secrets.token_hex(4)}"


@pytest.fixture(scope="module")
def urls(
    valkey_url: str, tmp_path_factory: pytest.TempPathFactory, prefix: str
) -> Iterator[tuple[str, str]]:
    logs = tmp_path_factory.mktemp("browser")
    settings: dict[str, Value] = {
        "redis_url": valkey_url,
        "redis_prefix": prefix,
        "jwt_secret": SECRET,
    }
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(Gateway(logs / f"{name}.log", **settings)) for name in "ab"
        )
        yield first.url, second.url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(urls: tuple[str, str], valkey_url: str, prefix: str) -> AsyncIterator[Site]:
    redis = open_redis(valkey_url, timeout=5.0)
    await redis.start()
    accounts = Accounts(redis, Keys(prefix))
    await accounts.add(Account("ann", "ann@example.org", ("admin",), hash_of(PASSWORD)))
    await accounts.add(Account("bob", "bob@example.org", (), hash_of(PASSWORD)))
    await redis.aclose()
    async with await RawClient.connect(urls[1], token=token_of(BOB)) as bob:
        await offer_page(bob, "site", "protected", {"body": "private"})
        yield Site(*urls, bob)


async def offer_page(
    client: RawClient, service: str, visibility: str, answer: dict[str, Any]
) -> list[dict[str, Any]]:
    """A web application of functions; answer the events that it gets."""
    events: list[dict[str, Any]] = []

    def index(event: dict[str, Any]) -> dict[str, Any]:
        events.append(event)
        return answer

    await client.offer(service, visibility, index=index)
    about = client.functions["services.built-in.get_service"](service) | {"type": "functions"}
    client.functions["services.built-in.get_service"] = lambda wanted: about
    info = {"id": f"{client.client_id}:{service}", "type": "functions", "config": about["config"]}
    await client.manager("update_client_info", {"id": client.client_id, "services": [info]})
    return events


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def logged_in(site: Site) -> AsyncIterator[Person]:
    async with Person() as bob:
        await bob.log_in(site.first, "bob")
        yield bob


@pytest_asyncio.fixture(loop_scope="module")
async def person(site: Site, logged_in: Person) -> AsyncIterator[Person]:
    """Bob, who has logged in; afterwards he is logged in still, and his program goes on."""
    yield logged_in
    for url in (site.first, site.second):
        account = await logged_in.open(f"{url}/account")
        assert "bob@example.org" in account
    assert await site.bob.manager("echo", 1) == 1


# Fixation.


async def test_a_cookie_that_was_put_there_before_becomes_nobodys_session(site: Site) -> None:
    """Neither a made-up one, nor one with which somebody else has logged in."""
    async with Person() as mallory, Person() as victim:
        await mallory.log_in(site.first, "ann")
        for planted in ("made-up", "A" * 32, mallory.cookies["hypha"]):
            victim.cookies.clear()
            victim.cookies.set("hypha", planted, domain=urlsplit(site.first).hostname or "")
            await victim.log_in(site.first, "bob")
            named = [each.value for each in victim.cookies.jar if each.name == "hypha"]
            assert planted not in named[-1:]

            async with Person(cookies={"hypha": planted}) as thief:
                page = await thief.open(f"{site.second}/account")
                assert "bob@example.org" not in page
        assert "ann@example.org" in await mallory.open(f"{site.first}/account")


@pytest.mark.parametrize(
    "cookie",
    [
        "hypha=planted",
        "hypha=planted; Path=/account",
        "HYPHA=planted",
        "=hypha=planted",
        " hypha=planted",
        "__Host-hypha=planted; Secure; Path=/",
        "__host-hypha=planted",
        "hypha-away=planted",
    ],
)
async def test_no_web_application_plants_a_cookie_of_the_hubs(
    site: Site, person: Person, cookie: str
) -> None:
    before = dict(person.cookies)
    async with await RawClient.connect(site.first) as mallory:
        for headers in ({"Set-Cookie": cookie}, [["Set-Cookie", cookie], ["x", "y"]]):
            await offer_page(mallory, "trap", "public", {"body": "hello", "headers": headers})
            page = await person.open(f"{site.second}/{mallory.workspace}/apps/trap/")
            assert page.text == "hello"
            assert "set-cookie" not in page.headers

    assert dict(person.cookies) == before


async def test_no_web_application_sees_the_cookie(site: Site, person: Person) -> None:
    async with await RawClient.connect(site.first) as mallory:
        events = await offer_page(mallory, "trap", "public", {"body": "hello"})
        address = f"{site.second}/{mallory.workspace}/apps/trap/"
        await person.open(address)
        await person.send(address, {"a": "b"})

    assert len(events) == 2
    assert person.cookies["hypha"] not in str(events)
    assert all(event["context"]["user"] is None or "token" not in event for event in events)


# Forms and requests of other pages.

FORMS: Final = sorted(
    {
        row.path.partition("?")[0]
        for row in FEATURE_ROWS
        if row.method == "POST" and row.path.startswith(("/login", "/account"))
    }
)


async def test_all_forms_are_known() -> None:
    assert {"/login/answer", "/login/sign-in", "/account/make-token"} <= set(FORMS)
    assert len(FORMS) >= 8


@pytest.mark.parametrize("form", FORMS)
async def test_no_form_of_another_page_does_anything(site: Site, person: Person, form: str) -> None:
    """With all that could be in it but what only the hub's own page has: that is one of them."""
    page = await person.open(f"{site.first}/account")
    started = await start(site.first)
    fields = {
        "name": "bob",
        "password": PASSWORD,
        "key": key_of(started["login_url"]),
        "answer": "allow",
        "user": "bob",
        "action": "block",
        "scopes": "",
        "days": "30",
        "email": "evil@example.org",
        "code": "x",
        "token": "x",
    }
    for headers in FOREIGN:
        for csrf in (page.fields["csrf"], "", "made up"):
            sent = {**fields, "csrf": csrf}
            answer = await person.send(f"{site.second}{form}", sent, **headers)
            assert answer.status in (401, 403), (headers, answer.status)
    for csrf in ("", "made up", page.fields["csrf"][::-1]):  # of the same origin: an application's
        if form not in ("/login/sign-in", "/login/invitation"):  # which need no session
            answer = await person.send(f"{site.first}{form}", {**fields, "csrf": csrf})
            assert answer.status == 403, answer.status
    assert await check(site.first, started["key"]) is False


@pytest.mark.parametrize("form", FORMS)
async def test_no_form_is_sent_by_an_address_alone_or_in_another_shape(
    site: Site, person: Person, form: str
) -> None:
    page = await person.open(f"{site.first}/account")
    query = f"csrf={page.fields.get('csrf', '')}&answer=allow&action=block&user=bob"

    by_get = await person.open(f"{site.first}{form}?{query}")
    assert by_get.status in (401, 404, 405), by_get.status
    for kind in ("text/plain", "multipart/form-data; boundary=b", "application/json"):
        answer = await person.send(f"{site.first}{form}?{query}", {}, Content_Type=kind)
        assert 400 <= answer.status < 500, (kind, answer.status)


async def test_the_cookie_opens_no_function_no_connection_and_no_application_to_a_script(
    site: Site, person: Person
) -> None:
    """Wherever it is from: pages of web applications have the origin of the hub."""
    cookie = {"Cookie": f"hypha={person.cookies['hypha']}"}
    script = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin"}
    opened = {**script, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    framed = {**opened, "Sec-Fetch-Dest": "iframe"}
    inside = {"Referer": f"{site.first}/bob/apps/site/", "Origin": site.first}
    async with httpx2.AsyncClient(trust_env=False) as client:
        for url in (site.first, site.second):
            for method, path in (
                ("GET", "/bob/info"),
                ("GET", "/bob/services/site/index"),
                ("POST", "/bob/services/site/index"),
                ("POST", "/public/services/hypha-login/revoke_user"),
                ("GET", "/api/stats"),
            ):
                for headers in ({}, script, opened, {**script, **inside}):
                    named = {**cookie, **headers}
                    about = {"user": "bob"} if path.endswith("revoke_user") else None
                    answer = await client.request(method, f"{url}{path}", headers=named, json=about)
                    assert answer.status_code == 403, (path, headers)
            for headers in ({}, script, framed, {**script, **inside}, inside):
                answer = await client.get(f"{url}/bob/apps/site/", headers={**cookie, **headers})
                assert answer.status_code == 403, headers
                answer = await client.post(f"{url}/bob/apps/site/", headers={**cookie, **headers})
                assert answer.status_code == 403, headers
            answer = await client.get(f"{url}/bob/apps/site/", headers={**cookie, **opened})
            assert answer.text == "private"  # to who goes there
            query = {"client_id": "x", "session_id": "0123456789", "workspace": "bob"}
            with pytest.raises(Refused) as no_stream:
                await EventSource.open(url, query, **cookie)
            assert no_stream.value.status == 403
            for path in ("/ws?client_id=x&workspace=bob", "/bob/apps/site/socket"):
                address = f"{url.replace('http', 'ws', 1)}{path}"
                with pytest.raises(InvalidStatus) as refused:
                    await open_websocket(address, additional_headers={**cookie, **inside})
                assert refused.value.response.status_code in (403, 404)


async def test_a_login_that_others_began_gives_them_nothing_without_an_answer(
    site: Site, person: Person
) -> None:
    """Whoever lures somebody to its page learns nothing; its key is good once, for its program."""
    async with AsyncExitStack() as stack:
        mallory = await stack.enter_async_context(Person())
        started = await start(site.first)
        key = key_of(started["login_url"])
        page = await person.open(f"{site.first}{PAGE}?key={key}")
        assert "act as you" in page
        for fields in (page.fields, {**page.fields, "csrf": ""}):
            answer = await mallory.answer(site.first, page)
            assert answer.status == 401, fields
        assert await check(site.second, started["key"]) is False
        await person.answer(site.second, page, "refuse")
        assert (await check(site.first, started["key"]))[0] == 403
        assert (await person.answer(site.first, page)).status == 409  # replayed
        assert (await check(site.first, started["key"]))[0] in (403, 404)


# Where one is led to.

ELSEWHERE: Final = (
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "https://evil.example",
    "https:evil.example",
    "%2F%2Fevil.example",
    "%5C%5Cevil.example",
    "javascript:alert(1)",
    "/%09/evil.example",
    "@evil.example",
    ".evil.example",
)


@pytest.mark.parametrize("target", ELSEWHERE)
async def test_no_address_of_the_hub_leads_elsewhere(
    site: Site, person: Person, target: str
) -> None:
    """Whatever a link says to which page it should go on."""
    names = ("key", "next", "redirect", "redirect_uri", "return_to", "url", "back", "continue")
    query = "&".join(f"{name}={target}" for name in names)
    own = urlsplit(site.first)
    async with httpx2.AsyncClient(trust_env=False, cookies=person.cookies) as client:
        for path in (
            PAGE,
            PAGE.rstrip("/"),
            "/account",
            "/account/",
            "/login/callback",
            "/login/to/openid",
            "/apps/built-in/account-manager.html",
            "/playground/",
            "/bob/services/",
            "/bob/apps/site",
            f"/{target}/services/",
            f"/{target}/apps/site",
            f"/bob/apps/{target}",
            f"/{target}",
            f"{target}/",
        ):
            try:
                answer = await client.get(f"{site.first}/{path.lstrip('/')}?{query}")
            except httpx2.InvalidURL:
                continue
            location = answer.headers.get("location")
            if location is not None:
                led = urlsplit(urljoin(f"{site.first}{path}", location.replace("\\", "/")))
                assert (led.scheme, led.netloc) == (own.scheme, own.netloc), (path, location)
                assert "evil" not in led.netloc
        form = {"name": "bob", "password": PASSWORD, "key": target, "next": target}
        answer = await client.post(
            f"{site.first}/login/sign-in?{query}", data=form, headers={"Origin": site.first}
        )
        led = urlsplit(urljoin(site.first, answer.headers["location"].replace("\\", "/")))
        assert led.netloc == own.netloc


async def test_no_page_leads_elsewhere_or_runs_what_stands_in_its_address(site: Site) -> None:
    for target in (*ELSEWHERE, "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'):
        for path in (f"{PAGE}?key=", "/login/invitation?code=", "/login/callback?state=x&error="):
            page = await ask(f"{site.second}{path}{quote(target, safe='/:@%')}")
            assert page.status < 500
            assert b"<script>alert" not in page.body
            assert b"onerror=alert(1)>" not in page.body
            assert b'href="//evil' not in page.body
            assert b'href="javascript' not in page.body
