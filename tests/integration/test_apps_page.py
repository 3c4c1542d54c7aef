"""The page of server apps as people use it: with a browser that reaches the hub alone."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from hypha_cluster.identity.accounts import Account
from hypha_cluster.registry.accounts import Accounts
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import open_redis
from tests.browser_visit import LOOKS, Visit, is_fit_for_all
from tests.gateways import Gateway
from tests.http import ask
from tests.login_rig import PASSWORD, hash_of
from tests.server_apps import LIMIT, Runner, User, app_cluster

if TYPE_CHECKING:  # a plugin, which has to be imported as one
    from tests.browser import Chromium

pytest_plugins = ["tests.browser"]
pytestmark = pytest.mark.browser

COUNTER = """console.log("Here I am.");
await api.export({ say(text) { console.log(text); return text.length; } });
"""


class Place(NamedTuple):
    """Two gateways: people look at the second, and pages of apps reach the first."""

    first: Gateway
    second: Gateway
    runner: Runner


async def add_accounts(url: str, prefix: str) -> None:
    redis = open_redis(url, timeout=5.0)
    await redis.start()
    accounts = Accounts(redis, Keys(prefix))
    for name in ("ann", "bob", "carl"):
        await accounts.add(Account(name, f"{name}@example.org", (), hash_of(PASSWORD)))
    await redis.aclose()


@pytest.fixture(scope="module")
def place(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    prefix = f"apps-page-{secrets.token_hex(4)}"
    asyncio.run(add_accounts(valkey_url, prefix))
    with app_cluster(tmp_path_factory.mktemp("apps"), valkey_url, prefix) as cluster:
        first, second = cluster.gateway(), cluster.gateway()
        yield Place(first, second, cluster.runner(first.url))


class Person:
    """Somebody who uses the page in a window."""

    def __init__(self, window: Visit) -> None:
        self.window = window

    async def sign_in(self, name: str) -> None:
        await self.window.go("/public/apps/hypha-login/")

        async def fill(page: Any) -> None:
            await page.get_by_label("Name").fill(name)
            await page.get_by_label("Password").fill(PASSWORD)
            await page.keyboard.press("Enter")
            await page.wait_for_url("**/account")

        await self.window.do(fill)

    async def install(self, name: str, content: str, *, then: str = "Install") -> None:
        """From a file of this name, with keys alone behind the choice of the file."""
        file = {"name": name, "mimeType": "text/plain", "buffer": content.encode()}

        async def fill(page: Any) -> None:
            await page.get_by_label("From a file").set_input_files([file])
            await page.wait_for_function("document.getElementById('name').value")
            await page.get_by_role("button", name=then, exact=True).focus()
            await page.keyboard.press("Enter")

        await self.window.do(fill)

    async def press(self, name: str) -> None:
        async def press(page: Any) -> None:
            await page.get_by_role("button", name=name).focus()
            await page.keyboard.press("Enter")

        await self.window.do(press)

    async def sees(self, selector: str, text: str) -> None:
        async def wait(page: Any) -> None:
            await page.locator(selector, has_text=text).first.wait_for(timeout=LIMIT * 1000)

        await self.window.do(wait)

    async def instance(self) -> str:
        """The client id of the one instance that runs."""
        running = "#instances li:has(.tag.good)"
        found = await self.window.do(lambda page: page.get_attribute(running, "data-id"))
        assert found
        return found


@pytest.fixture
async def visitor(chromium: "Chromium", place: Place) -> AsyncIterator[Any]:
    opened: list[Visit] = []

    async def visitor(**options: Any) -> Person:
        opened.append(await chromium.visit(place.second.url, **options))
        return Person(opened[-1])

    yield visitor
    for each in opened:
        await each.close()
        assert each.complaints == []
        assert each.foreign == []


async def picture(visit: Visit, name: str) -> None:
    if name == "light":
        await visit.picture(f"apps-{name}", full_page=True)


@pytest.mark.parametrize("look", LOOKS)
async def test_a_person_installs_runs_and_follows_an_app(
    visitor: Any, place: Place, look: str
) -> None:
    ann = await visitor(**LOOKS[look])
    await ann.sign_in("ann")
    await ann.window.go("/ann/")
    await ann.window.do(lambda page: page.get_by_role("link", name="Server apps").click())
    await ann.sees("h1", "Server apps")

    await ann.install(f"{look}.js", f"{COUNTER}// {look}", then="Install and start")
    await ann.sees("#log-lines", "log: Here I am.")
    await ann.sees("#instances .tag", "running")
    client = await ann.instance()
    async with await User.connect(place.first.url) as program:
        assert await program.ask({"id": client}, "say", "from a program") == 14
    await ann.sees("#log-lines", "log: from a program")
    await ann.sees("#log-state", "It is running.")
    await is_fit_for_all(ann.window)
    await picture(ann.window, look)

    await ann.press(f"Stop {look} {client}")
    await ann.sees("#trouble", f"{client} is stopped.")
    await ann.sees("#log-state", "It is stopped.")
    await ann.press("Close the log")
    await ann.press(f"Log {look} {client}")
    await ann.sees("#log-lines", "log: from a program")


async def test_an_app_that_fails_says_why(visitor: Any) -> None:
    ann = await visitor()
    await ann.sign_in("ann")
    await ann.window.go("/ann/apps/")

    await ann.install("boom.js", 'throw new Error("boom went it")', then="Install and start")

    await ann.sees("#trouble", "boom went it")
    await ann.sees("#instances li:has(.tag:text('failed'))", "boom went it")
    ann.window.complaints.clear()  # the browser says that it got an error


async def test_an_app_is_edited_started_anew_and_removed(visitor: Any, place: Place) -> None:
    bob = await visitor()
    await bob.sign_in("bob")  # who has never connected, so has no workspace yet
    await bob.window.go("/bob/apps/")
    await bob.install("twice.js", "await api.export({ twice: ({ a }) => a + a });")
    await bob.sees("#apps h3", "twice")

    await bob.press("Edit twice")
    await bob.sees("#edit-title", "Edit twice")
    await is_fit_for_all(bob.window)

    async def change(page: Any) -> None:
        await page.get_by_label("Source").last.fill(
            "await api.export({ twice: ({ a }) => 20 * a });"
        )
        await page.get_by_role("button", name="Save").click()

    await bob.window.do(change)
    await bob.sees("#trouble", "twice is changed.")
    await bob.press("Start twice")
    await bob.sees("#instances .tag", "running")
    answer = await ask(
        f"{place.first.url}/bob/services/default/twice?a=4",
        Authorization=f"Bearer {await token_of_page(bob.window)}",
    )
    assert answer.value == 80

    await bob.window.agree()
    await bob.press("Remove twice")
    await bob.sees("#trouble", "twice is removed.")
    await bob.window.until("document.querySelectorAll('#apps li').length === 0")
    await bob.window.until("document.querySelectorAll('#instances li').length === 0")


async def token_of_page(window: Visit) -> str:
    return await window.do(lambda page: page.get_attribute("#server-apps", "data-token")) or ""


async def test_a_page_of_its_own_is_installed_and_opened(visitor: Any) -> None:
    ann = await visitor()
    await ann.sign_in("ann")
    await ann.window.go("/ann/apps/")
    await ann.install("greeting.html", "<!doctype html><title>x</title><h1>Hello from a file</h1>")
    await ann.sees("#apps h3", "greeting")

    async def open_it(page: Any) -> str:
        async with page.expect_popup() as opening:
            await page.get_by_role("link", name="Open greeting").click()
        popup = await opening.value
        await popup.wait_for_selector("h1")
        return str(await popup.inner_text("h1"))

    assert await ann.window.do(open_it) == "Hello from a file"


async def test_what_an_address_may_not_be_is_told(visitor: Any, place: Place) -> None:
    ann = await visitor()
    await ann.sign_in("ann")
    await ann.window.go("/ann/apps/")

    async def fill(page: Any) -> None:
        await page.get_by_label("From an address").fill("https://127.0.0.1/app.js")
        await page.keyboard.press("Enter")

    await ann.window.do(fill)

    await ann.sees("#trouble", "127.0.0.1")
    ann.window.complaints.clear()  # the browser says that it got an error


async def test_strangers_are_led_to_the_login(visitor: Any) -> None:
    carl = await visitor(**LOOKS["phone"])
    assert await carl.window.go("/ann/apps/") == 403
    assert "Log in" in await carl.window.text()
    await is_fit_for_all(carl.window)
    await carl.sign_in("carl")
    assert await carl.window.go("/ann/apps/") == 403
    assert "not open to you, carl@example.org" in await carl.window.text()
    await carl.window.go("/carl/")
    carl.window.complaints.clear()


async def test_the_cookie_alone_starts_nothing(visitor: Any, place: Place) -> None:
    """What other pages can send is a request with the cookie; only this page knows a token."""
    ann = await visitor()
    await ann.sign_in("ann")
    await ann.window.go("/ann/")
    body = json.dumps({"source": "1", "config": {"type": "window"}, "workspace": "ann"})

    tried = await ann.window.do(
        lambda page: page.evaluate(
            """async body => {
              const headers = { "Content-Type": "application/json" };
              const to = "/public/services/server-apps/install";
              const answer = await fetch(to, { method: "POST", headers, body });
              const shown = await fetch("/ann/apps/", { headers: { Accept: "text/html" } });
              return [answer.status, (await shown.text()).includes("data-token")];
            }""",
            body,
        )
    )

    assert tried == [403, False]
    ann.window.complaints.clear()


async def test_who_logs_out_leaves_the_apps_running(visitor: Any, place: Place) -> None:
    ann = await visitor()
    await ann.sign_in("ann")
    await ann.window.go("/ann/apps/")
    await ann.install("lasting.js", f"{COUNTER}// lasting", then="Install and start")
    await ann.sees("#trouble", "lasting runs as")
    client = (await ann.window.text("#trouble")).rpartition(" ")[2].rstrip(".")

    await ann.window.go("/account")
    await ann.window.do(
        lambda page: page.get_by_role("button", name="Log out in this browser").click()
    )
    await ann.window.do(lambda page: page.wait_for_url("**/hypha-login/**"))

    async with await User.connect(place.first.url) as program:
        assert await program.ask({"id": client}, "say", "still here") == 10
        assert (await program.states())[client] == "running"
        await program("stop_all")


PAGE = "<!doctype html><title>x</title><h1>{}</h1><img src='dot.png' alt=''>"
FILES = [
    {"name": "notes.txt", "mimeType": "text/plain", "buffer": "Grüße".encode()},
    {"name": "dot.png", "mimeType": "image/png", "buffer": bytes(range(256)) * 300},
]


class Beside(NamedTuple):
    """An app of Ann's with files beside its page, as another gateway serves them."""

    ann: Person
    base: str

    async def file(self, name: str) -> tuple[int, bytes]:
        token = await token_of_page(self.ann.window)
        answer = await ask(f"{self.base}{name}", Authorization=f"Bearer {token}")
        return answer.status, answer.body

    async def has(self, heading: str) -> bool:
        return heading.encode() in (await self.file("index.html"))[1]


@pytest.fixture
async def beside(visitor: Any, place: Place) -> Beside:
    ann = await visitor(**LOOKS["phone"])
    await ann.sign_in("ann")
    await ann.window.go("/ann/apps/")
    choose = ann.window.page.locator("#attachments").set_input_files
    await ann.window.do(lambda page: choose(FILES))
    await ann.install("beside.html", PAGE.format("The first"))
    await ann.sees("#apps li", "dot.png, notes.txt")
    link = await ann.window.do(
        lambda page: page.get_by_role("link", name="Open beside").first.get_attribute("href")
    )
    app = str(link).replace(place.second.url, place.first.url)
    return Beside(ann, app.removesuffix("index.html"))


async def change(beside: Beside, source: str, *files: dict[str, Any]) -> None:
    await beside.ann.press("Edit beside")
    await beside.ann.sees("#edit-files", "there are dot.png, notes.txt")
    await is_fit_for_all(beside.ann.window)

    async def fill(page: Any) -> None:
        await page.get_by_label("Source").last.fill(source)
        await page.locator("#edit-attachments").set_input_files(files)
        await page.get_by_role("button", name="Save").click()

    await beside.ann.window.do(fill)
    await beside.ann.sees("#trouble", "beside is changed.")


async def test_files_lie_beside_the_page_and_others_take_their_place(beside: Beside) -> None:
    before = [await beside.file(str(each["name"])) for each in FILES]

    await change(beside, PAGE.format("The second"), FILES[0])

    assert before == [(200, each["buffer"]) for each in FILES]
    assert await beside.has("The second")
    assert await beside.file("notes.txt") == before[0]
    assert (await beside.file("dot.png"))[0] == 404
    await remove(beside)


async def test_an_earlier_version_comes_back_with_its_files(beside: Beside) -> None:
    await change(beside, PAGE.format("The second"), FILES[0])
    await beside.ann.press("Versions beside")
    await beside.ann.sees("#versions-list li", "Version 1")
    await is_fit_for_all(beside.ann.window)

    await beside.ann.press("Go back to version 1")

    await beside.ann.sees("#trouble", "beside is what it was in version 1.")
    assert await beside.has("The first")
    assert await beside.file("dot.png") == (200, FILES[1]["buffer"])
    await remove(beside)


async def remove(beside: Beside) -> None:
    await beside.ann.window.agree()
    await beside.ann.press("Remove beside")
    await beside.ann.sees("#trouble", "beside is removed.")


async def test_a_plugin_file_is_parsed_on_its_page(visitor: Any) -> None:
    ann = await visitor()
    await ann.sign_in("ann")
    await ann.window.go("/apps/built-in/imjoy-plugin-parser.html")

    await ann.press("Parse")
    await ann.sees("#state", "It is a plugin.")
    assert json.loads(await ann.window.text("#result"))["name"] == "Adder"
    await is_fit_for_all(ann.window)
    await ann.window.do(
        lambda page: page.get_by_label("Or as it stands").fill("<script>1</script>")
    )
    await ann.press("Parse")

    await ann.sees("#state", "it has no <config> block")
    ann.window.complaints.clear()  # the browser says that it got an error
