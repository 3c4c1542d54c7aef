"""The hub's pages as people use them: with a browser, whose network is cut but for the hub."""

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from hypha_cluster.identity.access import Identity
from hypha_cluster.web.assets.catalogue import FOLDER, find, is_complete
from hypha_cluster.web.assets.fetching import FetchFailed, fetch
from tests.browser_visit import LOOKS, PICTURES, Visit, Visiting, is_fit_for_all, visits
from tests.client_environments import locked
from tests.conformance.python_scene import eventually
from tests.conftest import GatewayFactory
from tests.gateways import POLL, SECOND, Gateway, Hub
from tests.http import ask
from tests.integration.test_http_pages import lead
from tests.login_rig import PASSWORD, Person, Site
from tests.raw_client import RawClient
from tests.redis_servers import plain_server
from tests.token_rig import JOHN, SECRET, token_of

if TYPE_CHECKING:  # a plugin, which has to be imported as one
    from tests.browser import Chromium

pytest_plugins = ["tests.browser", "tests.login_fixtures"]
pytestmark = pytest.mark.browser

HTML = "text/html,application/xhtml+xml,*/*;q=0.8"
PARSER = "/apps/built-in/imjoy-plugin-parser.html"
SHOWN = "document.getElementById('services').textContent.includes('{}')"
# Which pictures are for the docs.
WANTED = ("hub-light", "hub-dark", "hub-phone", "service-light", "playground-dark")

BOSS = Identity("boss", False, "boss@example.org", roles=("admin",))


@pytest.fixture(scope="module")
def hub(shared_gateways: Callable[[int], Gateway]) -> Hub:
    """Two gateways: what one page shows comes from both."""
    return Hub(shared_gateways(0).url, shared_gateways(1).url)


@pytest.fixture
async def visit(chromium: "Chromium", hub: Hub) -> AsyncIterator[Visiting]:
    async with visits(chromium, hub.second) as visit:
        yield visit


@pytest.fixture
async def provider(hub: Hub) -> AsyncIterator[RawClient]:
    async with await RawClient.connect(hub.first) as provider:
        await provider.offer("open", "public", echo=lambda kwargs: kwargs)
        yield provider


async def picture(visit: Visit, name: str) -> None:
    if name in WANTED:
        await visit.picture(f"pages-{name}")


async def some_life(hub: Hub, provider: RawClient) -> None:
    """Calls for half a minute, now more and now less, for a picture that shows something."""
    if not PICTURES:
        return
    async with await RawClient.connect(hub.second) as caller:
        for n in range(100):
            calls = 3 + round(40 * math.sin(n / 9) ** 2)
            echo = (provider.address, "services.open.echo", {"x": n})
            await asyncio.gather(*(caller.call(*echo) for _ in range(calls)))
            await asyncio.sleep(0.3)


# The hub.


@pytest.mark.parametrize("look", LOOKS)
async def test_the_hubs_page_is_fit_for_all(
    visit: Visiting, hub: Hub, provider: RawClient, look: str
) -> None:
    window = await visit(**LOOKS[look])
    await some_life(hub, provider)

    assert await window.go("/") == 200
    await window.until("document.querySelectorAll('#gateways tr').length > 0")

    await is_fit_for_all(window)
    await picture(window, f"hub-{look}")


async def test_the_hubs_page_draws_what_happens_meanwhile(
    visit: Visiting, hub: Hub, provider: RawClient
) -> None:
    window = await visit()
    await window.go("/")
    url = f"{hub.second}/{provider.workspace}/services/open/echo?x=1"

    async def call_on() -> None:
        while True:
            assert (await ask(url)).status == 200

    async with asyncio.TaskGroup() as group:
        calling = group.create_task(call_on())
        value = "document.getElementById('value-{}').textContent"
        await window.until(f"parseFloat({value.format('frames')}) > 0")
        await window.until(f"{value.format('redis')}.endsWith('ms')")
        await window.until(f"parseFloat({value.format('clients')}) > 0")
        calling.cancel()

    points = "document.querySelector('#chart-frames polyline').getAttribute('points')"
    await window.until(f"{points}.split(' ').length > 1")
    assert "ready" in await window.text("#gateways")


async def test_every_gateway_shows_the_same_figures(hub: Hub, provider: RawClient) -> None:
    async def shown(url: str) -> dict[str, Any]:
        found = (await ask(f"{url}/pages/figures")).value["gateways"]
        return {each["name"]: each for each in found}

    async def agree() -> bool:
        """One of them may have read them a moment before the other."""
        one, other = await shown(hub.first), await shown(hub.second)
        return len(one) > 1 and one == other and all(each["samples"] for each in one.values())

    await eventually(agree)


async def test_the_times_of_calls_are_shown_and_drawn(
    visit: Visiting, hub: Hub, provider: RawClient
) -> None:
    window = await visit(hub.first)
    await window.go("/")
    value = "document.getElementById('value-times').textContent"

    async with await RawClient.connect(hub.second) as caller, asyncio.TaskGroup() as group:

        async def call_on() -> None:
            while True:
                await caller.call(provider.address, "services.open.echo", {"x": 1})

        calling = group.create_task(call_on())
        await window.until(f"/^[0-9.]+ ms . [0-9.]+ ms$/.test({value})")
        calling.cancel()

    lines = "document.querySelectorAll('#chart-times polyline').length"
    await window.until(f"{lines} === 2")


async def test_public_services_come_and_go_by_themselves(visit: Visiting, hub: Hub) -> None:
    window = await visit()
    await window.go("/")

    async with await RawClient.connect(hub.first) as late:
        await late.offer("newly-come", "public", echo=lambda kwargs: kwargs)
        await window.until(SHOWN.format("newly-come"))
    await window.until(f"!{SHOWN.format('newly-come')}")


async def test_public_services_are_listed_and_lead_to_their_page(
    visit: Visiting, provider: RawClient
) -> None:
    window = await visit()
    await window.go("/")

    link = f'a[href*="{provider.workspace}"]'
    href = await window.do(lambda page: page.get_attribute(link, "href"))

    assert href == f"/{provider.workspace}/?service={provider.client_id}%3Aopen"


async def test_a_name_that_is_a_script_stays_text(visit: Visiting, hub: Hub) -> None:
    evil = '"><script>document.title = "caught"</script>'
    async with await RawClient.connect(hub.first) as stranger:
        await stranger.offer("evil", "public", echo=lambda kwargs: kwargs)
        info = {
            "id": "evil",
            "name": evil,
            "description": evil * 100,
            "type": evil,
            "config": {"visibility": "public"},
        }
        await stranger.manager("update_client_info", {"id": stranger.client_id, "services": [info]})
        window = await visit()
        await window.go("/")

        shown = await window.text()

    assert '"><script>' in shown
    assert await window.do(lambda page: page.title()) == "Hypha"
    assert not await window.is_too_wide()


async def test_programs_get_what_they_always_got(hub: Hub) -> None:
    for accept in ("*/*", "application/json", ""):
        answer = await ask(hub.first + "/", Accept=accept)
        assert answer.value["name"] == "Hypha"
    assert (await ask(hub.first + "/", Accept=HTML)).headers["content-type"].startswith("text/html")


async def test_every_page_runs_only_scripts_that_it_names(hub: Hub) -> None:
    """By a nonce: scripts of web applications have the same origin."""
    first, second = [await ask(hub.first + "/", Accept=HTML) for _ in range(2)]

    policy = first.headers["content-security-policy"]
    nonce = re.search(r"script-src 'nonce-([\w-]+)'", policy)
    assert nonce
    assert f'nonce="{nonce[1]}"' in first.body.decode()
    assert nonce[1] not in second.body.decode()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert first.headers["x-frame-options"] == "DENY"


async def test_figures_may_be_for_admins_only(gateway_factory: GatewayFactory) -> None:
    url = gateway_factory(figures="admins", jwt_secret=SECRET).url
    boss = {"Authorization": f"Bearer {token_of(BOSS)}"}
    john = {"Authorization": f"Bearer {token_of(JOHN)}"}

    page, mine = [await ask(f"{url}/", Accept=HTML, **who) for who in ({}, boss)]

    assert b'id="figures"' not in page.body
    assert b'id="figures"' in mine.body
    assert (await ask(f"{url}/pages/figures")).status == 403
    assert (await ask(f"{url}/pages/figures", **john)).status == 403
    assert (await ask(f"{url}/pages/figures", **boss)).value["gateways"][0]["address"] == url


async def test_an_admin_goes_on_seeing_more_than_others(visit: Visiting, site: Site) -> None:
    window = await visit(site.first)
    await sign_in(window, "ann")
    await window.go("/")
    drawn = (
        "document.querySelector('#chart-redis polyline').getAttribute('points').split(' ').length"
    )

    await window.until(f"{drawn} > 2")

    text = await window.text("#gateways")
    assert site.first.removeprefix("http://") in text
    assert site.second.removeprefix("http://") in text


async def test_figures_for_admins_only_are_drawn_anew_without_a_token(
    visit: Visiting, site: Site, gateway_factory: GatewayFactory
) -> None:
    window = await visit(gateway_factory(figures="admins", jwt_secret=SECRET).url)
    await sign_in(window, "ann")
    await window.go("/")

    async def wait(page: Any) -> str:
        async with page.expect_navigation():
            pass
        return str(await page.content())

    again = await window.do(wait)

    assert 'id="figures"' in again
    assert "data-token" not in again


async def test_the_page_is_there_while_redis_is_not(
    tmp_path: Path, gateway_factory: GatewayFactory
) -> None:
    with plain_server(tmp_path / "redis") as server:
        url = gateway_factory(redis_url=server.url, relay_timeout=0.5).url
        server.freeze()
        try:
            page = await ask(f"{url}/", Accept=HTML)
        finally:
            server.thaw()

    assert page.status == 200
    assert b"Redis does not answer:" in page.body
    assert b"They cannot be listed now" in page.body


# A workspace.


async def sign_in(window: Visit, name: str) -> None:
    await window.go("/public/apps/hypha-login/")

    async def fill(page: Any) -> None:
        await page.get_by_label("Name").fill(name)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/account")

    await window.do(fill)


class Bob(NamedTuple):
    """A person with a password, whose program offers `math`, and a window in which they log in."""

    site: Site
    program: RawClient
    window: Visit

    async def sign_in(self) -> None:
        await sign_in(self.window, "bob")


@pytest.fixture
async def bob(visit: Visiting, site: Site) -> AsyncIterator[Bob]:
    token = token_of(Identity("bob", is_anonymous=False, email="bob@example.org"))
    window = await visit(site.second)
    async with await RawClient.connect(site.first, token=token) as program:
        await program.offer("math", "protected", add=lambda kwargs: sum(kwargs.values()))
        yield Bob(site, program, window)


async def test_the_page_of_a_workspace_shows_its_services_and_clients(bob: Bob) -> None:
    await bob.sign_in()

    assert await bob.window.go("/bob/") == 200

    text = await bob.window.text()
    assert "math" in text
    assert bob.program.client_id in text
    assert "online" in text


async def test_a_service_that_is_registered_meanwhile_appears_by_itself(bob: Bob) -> None:
    await bob.sign_in()
    await bob.window.go("/bob/")

    await bob.program.offer("later", "protected", echo=lambda kwargs: kwargs)
    await bob.window.until(SHOWN.format("later"))
    await bob.program.manager("update_client_info", {"id": bob.program.client_id, "services": []})
    await bob.window.until(f"!{SHOWN.format('later')}")


async def offer_many(program: RawClient, names: list[str]) -> None:
    config = {"visibility": "protected"}
    infos = [{"id": f"s{n}", "name": name, "config": config} for n, name in enumerate(names)]
    await program.manager("update_client_info", {"id": program.client_id, "services": infos})


COUNT = "document.querySelectorAll('#services li').length"


async def test_of_many_services_the_first_are_shown_and_others_are_found(bob: Bob) -> None:
    names = [f"service {n:03}" for n in range(300)]
    await offer_many(bob.program, names)
    await bob.sign_in()
    await bob.window.go("/bob/")
    assert "And 100 more" in await bob.window.text("#more")
    first = await bob.window.text("#services h3")

    await offer_many(bob.program, ["a new one", *names])
    await bob.window.until(SHOWN.format("a new one"))
    still = await bob.window.do(lambda page: page.locator("#services h3").nth(1).inner_text())
    await bob.window.do(lambda page: page.get_by_label("Find").fill("Service 29"))

    async def find(page: Any) -> None:
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/bob/?find=*")

    await bob.window.do(find)
    await bob.window.until(f"location.search === '?find=Service+29' && {COUNT} === 10")

    assert first == still == "service 000"
    assert await bob.window.do(lambda page: page.locator("#more").is_hidden())
    await is_fit_for_all(bob.window)


@pytest.mark.parametrize("look", LOOKS)
async def test_a_workspace_that_is_empty_or_has_long_names_is_fit_for_all(
    visit: Visiting, bob: Bob, look: str
) -> None:
    window = await visit(bob.site.second, **LOOKS[look])
    await sign_in(window, "bob")
    await offer_many(bob.program, [])
    await window.go("/bob/")
    assert await window.do(lambda page: page.locator("#none").is_visible())
    await is_fit_for_all(window)

    await offer_many(bob.program, ["x" * 1000, "<b>bold</b> " * 50, "ü" * 300])
    await window.until(f"{COUNT} === 3")

    assert await window.do(lambda page: page.locator("#none").is_hidden())
    assert "<b>bold</b>" in await window.text("#services")
    await is_fit_for_all(window)
    await window.do(lambda page: page.locator("#services a").first.click())
    await is_fit_for_all(window)


async def test_who_comes_and_goes_is_seen_and_the_focus_stays(bob: Bob) -> None:
    await bob.sign_in()
    await bob.window.go("/bob/")
    await bob.window.do(lambda page: page.locator("#services a").first.focus())
    clients = "document.getElementById('clients').textContent.includes('{}')"

    token = token_of(Identity("bob", is_anonymous=False, email="bob@example.org"))
    async with await RawClient.connect(bob.site.first, "aaa-second", token=token) as second:
        await second.offer("aaa", "protected", echo=lambda kwargs: kwargs)
        await bob.window.until(clients.format("aaa-second"))
        await bob.window.until(SHOWN.format("aaa"))
        focused = await bob.window.do(
            lambda page: page.evaluate("document.activeElement.closest('li')?.textContent ?? ''")
        )
    await bob.window.until(f"!{clients.format('aaa-second')}")

    assert "math" in focused


async def test_a_form_calls_a_function_as_the_one_who_looks(bob: Bob) -> None:
    await bob.sign_in()
    await bob.window.go(f"/bob/?service={bob.program.client_id}:math")

    async def call(page: Any) -> str:
        await page.get_by_label("Arguments").fill('{"a": 2, "b": 40}')
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await page.locator(".result").wait_for()
        return str(await page.inner_text(".result"))

    assert await bob.window.do(call) == "42"
    await is_fit_for_all(bob.window)


@pytest.mark.parametrize("look", LOOKS)
async def test_what_a_person_sees_who_has_signed_in_is_fit_for_all(
    visit: Visiting, bob: Bob, look: str
) -> None:
    window = await visit(bob.site.second, **LOOKS[look])
    await sign_in(window, "bob")
    service = f"/bob/?service={bob.program.client_id}:math"

    for path in ("/", "/bob/", service, "/api-docs"):
        assert await window.go(path) == 200
        if path == "/api-docs":
            await window.until("document.querySelectorAll('.opblock').length > 0")
        await is_fit_for_all(window)


async def test_a_stranger_is_led_to_the_login(visit: Visiting, bob: Bob) -> None:
    window = await visit(bob.site.first, **LOOKS["phone"])

    assert await window.go("/bob/") == 403

    text = await window.text()
    assert "not open to you" in text
    assert "math" not in text
    assert bob.program.client_id not in text
    await is_fit_for_all(window)
    assert await window.go(f"/bob/?service={bob.program.client_id}:math") == 403
    window.complaints.clear()  # the browser says that it got an error


async def test_a_protected_application_opens_for_who_has_logged_in(
    visit: Visiting, bob: Bob
) -> None:
    await offer_page(bob.program)
    stranger = await visit(bob.site.first)
    assert await stranger.go("/bob/apps/page/") == 403
    stranger.complaints.clear()
    await bob.sign_in()

    assert await bob.window.go("/bob/apps/page/") == 200

    assert await bob.window.text("body") == "for bob"


@pytest.mark.parametrize("path", ["/", "/playground", "/bob/", "/account"])
async def test_a_page_of_an_application_cannot_look_into_a_page_that_it_opens(
    bob: Bob, path: str
) -> None:
    await offer_page(bob.program)
    await bob.sign_in()
    await bob.window.go("/bob/apps/page/")

    async def look(page: Any) -> object:
        async with page.expect_popup() as opening:
            await page.evaluate(f"void (window.opened = open('{path}'))")
        popup = await opening.value
        await popup.wait_for_selector("main h1")
        seen = await page.evaluate(
            "(() => { try { return opened.document?.body?.innerText ?? null } "
            "catch { return null } })()"
        )
        await popup.close()
        return seen

    assert not await bob.window.do(look)


async def offer_page(program: RawClient) -> None:
    """A protected application, of functions, which says who asks."""
    await program.offer(
        "page",
        index=lambda event: {
            "status": 200,
            "headers": {"Cross-Origin-Opener-Policy": "same-origin"},
            "body": f"for {event['context']['user']['id']}",
        },
    )
    config = {"visibility": "protected"}
    info = {"id": "page", "name": "page", "type": "functions", "config": config}
    await program.manager("update_client_info", {"id": program.client_id, "services": [info]})


async def test_a_page_of_an_application_cannot_read_the_page(bob: Bob) -> None:
    """Applications share the origin; the cookie counts for what a person opens."""
    await bob.sign_in()
    await bob.window.go("/bob/")

    read = await bob.window.do(
        lambda page: page.evaluate(
            "fetch('/bob/', {headers: {accept: 'text/html'}}).then(answer => answer.text())"
        )
    )

    assert "not open to you" in read
    bob.window.complaints.clear()


async def test_there_is_no_page_of_what_is_not_there(visit: Visiting) -> None:
    window = await visit()

    assert await window.go("/nowhere/") == 404

    assert "Workspace not found: nowhere" in await window.text()
    window.complaints.clear()


@pytest.mark.parametrize("look", LOOKS)
async def test_a_public_service_is_called_by_anybody(
    visit: Visiting, provider: RawClient, look: str
) -> None:
    window = await visit(**LOOKS[look])
    await window.go(f"/{provider.workspace}/?service={provider.client_id}:open")

    async def call(page: Any) -> str:
        await page.get_by_label("Arguments").fill('{"x": [1, "two"]}')
        await page.get_by_role("button", name="Call echo").click()
        await page.locator(".result").wait_for()
        return str(await page.inner_text(".result"))

    assert json.loads(await window.do(call)) == {"x": [1, "two"]}
    await is_fit_for_all(window)
    await picture(window, f"service-{look}")


async def test_arguments_that_are_no_json_are_named(visit: Visiting, provider: RawClient) -> None:
    window = await visit()
    await window.go(f"/{provider.workspace}/?service={provider.client_id}:open")

    async def call(page: Any) -> None:
        await page.get_by_label("Arguments").fill("{x")
        await page.get_by_role("button", name="Call echo").click()

    await window.do(call)
    await window.until("document.querySelector('form [role=status]').textContent.includes('JSON')")


async def test_without_a_slash_browsers_are_led_there_and_programs_find_nothing(hub: Hub) -> None:
    assert lead(f"{hub.first}/public", Accept=HTML).location == "./public/"
    assert lead(f"{hub.first}/public").status == 404
    assert lead(f"{hub.first}/public/").status == 404


# Tokens in pages.

VISIT = {"Accept": HTML, "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}


def token_in(text: str) -> str:
    return "".join(re.findall(r'data-token="([^"]*)"', text))


async def test_a_page_has_no_token_for_who_brings_one(site: Site) -> None:
    """Else the page renews what is about to end, or has been revoked."""
    me = {"Authorization": f"Bearer {token_of(BOSS)}"}

    pages = [await ask(site.first + path, **VISIT, **me) for path in ("/playground", "/", "/boss/")]

    assert [page.status for page in pages] == [200] * 3
    assert [token_in(page.body.decode()) for page in pages] == [""] * 3


@pytest.mark.parametrize(
    ("mode", "place", "hinted"),
    [
        ("", "", True),
        ("navigate", "", True),
        ("", "document", True),
        ("navigate", "iframe", False),
        ("cors", "empty", False),
        ("", "empty", False),
    ],
)
async def test_a_page_has_no_token_unless_the_browser_says_that_a_person_opens_it(
    site: Site, ann: Person, mode: str, place: str, hinted: bool
) -> None:
    """By http browsers say nothing of it, and any script under the origin reads what it fetches."""
    await ann.log_in(site.first, "ann")
    asked = {"Accept": HTML, "Sec_Fetch_Mode": mode, "Sec_Fetch_Dest": place}

    pages = [
        await ann.open(site.first + path, **asked) for path in ("/playground", "/", "/public/")
    ]

    assert [token_in(page.text) for page in pages] == [""] * 3
    assert [("does not say whether you or a script" in page) for page in pages] == [hinted] * 3
    opened = await ann.open(f"{site.first}/playground", **VISIT)
    assert token_in(opened.text)


async def test_who_signs_out_ends_the_tokens_of_pages_that_are_open(
    site: Site, ann: Person
) -> None:
    await ann.log_in(site.first, "ann")
    page = await ann.open(f"{site.second}/playground", **VISIT)
    bearer = {"Authorization": f"Bearer {token_in(page.text)}"}
    assert (await ask(f"{site.second}/api/stats", **bearer)).status == 200

    account = await ann.open(f"{site.first}/account")
    await ann.send(f"{site.first}/login/sign-out", account.fields)

    async with asyncio.timeout(20 * SECOND):
        while (await ask(f"{site.second}/api/stats", **bearer)).status != 401:  # noqa: ASYNC110 — gateways learn of it within a second
            await asyncio.sleep(POLL)


# The playground.


async def write_and_run(window: Visit, code: str = "", example: str = "") -> None:
    await window.go("/playground")

    async def run(page: Any) -> None:
        if example:
            await page.get_by_label("Begin with").select_option(label=example)
        if code:
            await page.get_by_label("Code").fill(code)
        await page.get_by_role("button", name="Run").focus()
        await page.keyboard.press("Enter")

    await window.do(run)


LOGGED = "document.getElementById('log').textContent.includes({})"
STATE = "document.getElementById('state').textContent.includes({})"


@pytest.mark.parametrize("look", LOOKS)
async def test_a_service_is_offered_from_the_browser_and_called_over_http(
    visit: Visiting, hub: Hub, look: str
) -> None:
    window = await visit(hub.first, **LOOKS[look])
    await write_and_run(window)
    await window.until(STATE.format("'serves until'"))
    address = re.search(r"\S+name=World", await window.text("#log"))
    assert address

    answer = await ask(address[0].replace(hub.first, hub.second))

    assert answer.value == "Hello World!"
    await is_fit_for_all(window)
    await picture(window, f"playground-{look}")
    await window.do(lambda page: page.get_by_role("button", name="Stop").click())
    while (await ask(address[0])).status == 200:  # noqa: ASYNC110 — a browser leaves in its own time
        await asyncio.sleep(POLL)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("throw new Error('broken')", "Error: broken"),
        ("let 1x", "SyntaxError"),
        ("(await connectToServer()).nothing()", "TypeError"),
    ],
)
async def test_what_goes_wrong_is_in_the_log(visit: Visiting, code: str, says: str) -> None:
    window = await visit()
    await write_and_run(window, code)

    await window.until(STATE.format("'Failed'"))

    assert says in await window.text("#log")


async def test_code_that_never_ends_is_stopped(visit: Visiting) -> None:
    window = await visit()
    await write_and_run(window, "console.log('begun'); while (true) {}")
    await window.until(LOGGED.format("'begun'"))

    await window.do(lambda page: page.get_by_role("button", name="Stop").click())

    await window.until(STATE.format("'Stopped'"))
    assert await window.do(lambda page: page.locator("iframe").count()) == 0


async def test_code_reaches_the_hub_only_and_as_nobody(visit: Visiting, hub: Hub) -> None:
    window = await visit(hub.first)
    code = f"""
        const tries = {{
          elsewhere: () => fetch("http://127.0.0.2:1/"),
          script: () => importScripts("{hub.second}/pages/hub.js"),
          socket: () => new Promise((_, fail) => {{
            new WebSocket("ws://127.0.0.2:1/").onerror = fail;
          }}),
        }};
        for (const [name, attempt] of Object.entries(tries)) {{
          try {{ await attempt(); console.log(name, "got through"); }}
          catch {{ console.log(name, "was refused"); }}
        }}
        console.log("origin", self.origin);
        console.log("status", (await fetch(HUB + "/account", {{ credentials: "include" }})).url);
    """
    await write_and_run(window, code)
    await window.until(STATE.format("'serves until'"))

    text = await window.text("#log")

    assert "got through" not in text
    assert text.count("was refused") == 3
    assert "origin null" in text
    assert "hypha-login" in text
    assert all("Content Security Policy" in each for each in window.complaints)
    window.complaints.clear()


async def test_code_connects_as_who_looks_if_they_want_it(bob: Bob) -> None:
    await bob.sign_in()
    code = "console.log((await connectToServer()).config.workspace, 'is mine')"
    await write_and_run(bob.window, code)
    await bob.window.until(LOGGED.format("'is mine'"))
    assert "bob" not in await bob.window.text("#log")

    async def run_as_me(page: Any) -> None:
        await page.get_by_label("Connect as").check()
        await page.get_by_role("button", name="Run").click()

    await bob.window.do(run_as_me)
    await bob.window.until(LOGGED.format("'bob is mine'"))


@pytest.fixture(scope="module")
def python_in_browsers() -> None:
    """What Python in a browser takes, in the source tree, where git does not look."""
    for name in ("pyodide", "imjoy_rpc", "shortuuid"):
        package = find(name)
        assert package
        with locked(FOLDER / f".{name}.lock"):
            try:
                if not is_complete(package):
                    fetch(package)
            except FetchFailed as failure:
                pytest.skip(str(failure))


@pytest.mark.usefixtures("python_in_browsers")
async def test_a_service_is_offered_in_python(visit: Visiting, hub: Hub) -> None:
    window = await visit(hub.first)
    await write_and_run(window, example="Offer a service, in Python")
    await window.until(STATE.format("'serves until'"))
    address = re.search(r"\S+name=World", await window.text("#log"))
    assert address

    answer = await ask(address[0].replace(hub.first, hub.second))

    assert answer.value == "Hello World!"


@pytest.mark.usefixtures("python_in_browsers")
async def test_an_error_of_python_is_in_the_log(visit: Visiting, hub: Hub) -> None:
    window = await visit(hub.first)
    await write_and_run(window, code="1 / 0", example="Call a service, in Python")

    await window.until(STATE.format("'Failed'"))

    assert "ZeroDivisionError" in await window.text("#log")


@pytest.mark.parametrize("gateway", [0, 1], ids=["first", "second"])
@pytest.mark.parametrize("example", ["Serve a web page", "Serve a web page, in Python"])
@pytest.mark.usefixtures("python_in_browsers")
async def test_hello_world_is_run_seen_and_stopped_by_way_of_either_gateway(
    visit: Visiting, hub: Hub, example: str, gateway: int
) -> None:
    here, there = (hub.first, hub.second) if gateway == 0 else (hub.second, hub.first)
    window = await visit(here)
    await write_and_run(window, example=example)
    await window.until(STATE.format("'serves until'"))
    log = await window.text("#log")
    link = str(await window.do(lambda page: page.get_attribute("#log a", "href")))

    pages = [await ask(link), await ask(link.replace(here, there))]

    assert "Open it:" in log
    assert "/apps/page/" in link
    assert all("Hello World" in page.body.decode() for page in pages)
    await window.do(lambda page: page.get_by_role("button", name="Stop").click())
    async with asyncio.timeout(30 * SECOND):
        while (await ask(link.replace(here, there))).status == 200:  # noqa: ASYNC110 — a browser leaves in its own time
            await asyncio.sleep(POLL)


@pytest.mark.parametrize("path", ["/apps/built-in/playground.html", "/static/lite.html"])
async def test_old_addresses_lead_to_the_playground(visit: Visiting, path: str) -> None:
    window = await visit()

    assert await window.go(path) == 200

    assert "Playground" in await window.text("h1")


@pytest.mark.parametrize("look", LOOKS)
async def test_the_old_test_page_tries_the_hub(visit: Visiting, hub: Hub, look: str) -> None:
    window = await visit(hub.first, **LOOKS[look])

    assert await window.go("/apps/built-in/test.html?client_id=tester") == 200

    await window.until("/^(OK|It did not)/.test(document.getElementById('state').textContent)")
    assert await window.text("#state") == "OK: this hub works from here."
    assert (await window.text("#steps")).count(": OK, ") == 9
    assert window.complaints == []
    await is_fit_for_all(window)
    window.complaints.clear()  # of what axe itself puts into a page, which the page refuses


async def test_the_old_test_page_says_what_does_not_work(visit: Visiting) -> None:
    window = await visit()

    await window.go("/apps/built-in/test.html?token=nonsense")

    await window.until("document.getElementById('state').textContent.startsWith('It did not work')")
    assert "Connect: it did not work" in await window.text("#steps")
    window.complaints.clear()  # the browser says that it was refused


async def test_the_old_plugin_parser_is_for_users_with_a_name(visit: Visiting, bob: "Bob") -> None:
    stranger = await visit(bob.site.first, **LOOKS["phone"])
    assert await stranger.go(PARSER) == 200
    assert "for users with a name" in await stranger.text()
    await is_fit_for_all(stranger)
    await bob.sign_in()
    await bob.window.go(PARSER)

    await bob.window.do(lambda page: page.get_by_role("button", name="Parse").click())

    await bob.window.until(
        "document.getElementById('state').textContent.includes('no server apps')"
    )
    await is_fit_for_all(bob.window)
    bob.window.complaints.clear()  # the browser says that there are none


async def test_the_old_echo_service_is_offered_while_its_page_is_open(
    visit: Visiting, hub: Hub
) -> None:
    window = await visit(hub.first)
    await window.go("/apps/built-in/echo-service.html?client_id=echoes")
    await window.until("document.getElementById('state').textContent.startsWith('Offered')")
    workspace = (await window.text("#state")).removesuffix(".").split()[-1]

    answer = await ask(f"{hub.second}/{workspace}/services/echoes:echo-service/echo?x=1")

    assert answer.value == {"x": 1}


# Errors.


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/nowhere/at/all", 404, "/WORKSPACE/services/SERVICE"),
        ("/nowhere/services/x", 404, "Workspace not found"),
        ("/api/stats", 403, "Only an admin"),
        ("/public/services/open/echo?_mode=best", 400, "A mode is one of"),
    ],
)
async def test_an_error_says_to_people_what_would_be_right(
    visit: Visiting, path: str, status: int, says: str
) -> None:
    window = await visit(**LOOKS["phone"])

    assert await window.go(path) == status

    assert says in await window.text()
    await is_fit_for_all(window)
    window.complaints.clear()  # the browser says that it got an error


async def test_programs_get_errors_as_json(hub: Hub) -> None:
    answer = await ask(f"{hub.first}/nowhere/services/x", Accept="*/*")

    assert answer.value == {"success": False, "detail": "Workspace not found: nowhere"}


async def test_who_may_log_in_is_led_there_by_the_keyboard(visit: Visiting) -> None:
    window = await visit()
    await window.go("/api/stats")
    window.complaints.clear()

    async def tab_to_login(page: Any) -> str:
        for _ in range(10):
            await page.keyboard.press("Tab")
            if await page.evaluate("document.activeElement.textContent") == "Log in":
                await page.keyboard.press("Enter")
                await page.wait_for_url("**/hypha-login/")
                return str(page.url)
        return "no such link"

    assert (await window.do(tab_to_login)).endswith("/public/apps/hypha-login/")
