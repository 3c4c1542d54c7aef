"""The account page and the admin page as people use them: by keyboard, in the dark, on a phone.

The hub is below a path, and the browser reaches nothing but the hub.
"""

import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, NamedTuple

import pytest
from playwright.async_api import Page, expect

from tests.browser_visit import LOOKS, Visit, is_fit_for_all
from tests.conformance.python_scene import eventually
from tests.conftest import GatewayFactory
from tests.login_rig import PAGE, PASSWORD, Site, key_of, start
from tests.raw_client import RawClient
from tests.token_rig import SECRET, tokens_of

if TYPE_CHECKING:  # a plugin, which has to be imported as one
    from tests.browser import Chromium

pytest_plugins = ["tests.browser", "tests.login_fixtures"]
pytestmark = pytest.mark.browser


class Scene(NamedTuple):
    """A hub below a path, with a client of Bob's, and Ann, an admin, at a window."""

    url: str
    bob: RawClient
    ann: Visit


@pytest.fixture(params=LOOKS)
async def scene(
    request: pytest.FixtureRequest,
    chromium: "Chromium",
    gateway_factory: GatewayFactory,
    site: Site,
) -> AsyncIterator[Scene]:
    gateway = gateway_factory(jwt_secret=SECRET, base_path="/my/engine")
    url = f"{gateway.url}/my/engine"
    token = tokens_of().issue((await site.accounts.all())[1].identity())
    visit = await chromium.visit(url, **LOOKS[request.param])
    try:
        async with await RawClient.connect(url, "worker", token=token) as bob:
            yield Scene(url, bob, visit)
        assert visit.complaints == []
        assert visit.foreign == []
    finally:
        await visit.close()


async def tab_to(page: Page, name: str) -> None:
    """Press the tabulator until what is called so has the focus."""
    called = (
        "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"
    )
    for _ in range(60):
        await page.keyboard.press("Tab")
        if str(await page.evaluate(called)).strip() == name:
            return
    raise AssertionError(f"the tabulator does not lead to {name}")


async def log_in(page: Page) -> None:
    """Where the name has the focus."""
    await expect(page.locator("input:focus")).to_have_count(1)
    await page.keyboard.type("ann")
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")


async def test_tokens_are_made_and_ended_by_keyboard(scene: Scene) -> None:
    visit = scene.ann
    await visit.go(PAGE)
    await is_fit_for_all(visit)

    async def use(page: Page) -> None:
        await log_in(page)
        await expect(page.get_by_role("heading", level=1)).to_have_text("ann@example.org")
        await page.get_by_label("Name of a new token").focus()
        await page.keyboard.type("worker")
        await page.keyboard.press("Enter")
        made = page.get_by_label("shown this once")
        await expect(made).to_have_value(re.compile(r".+@imjoy@.+"))
        await expect(page.get_by_role("cell", name="never")).to_be_visible()

    await visit.do(use)
    await is_fit_for_all(visit)

    async def end(page: Page) -> None:
        await tab_to(page, "End the token worker")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("You have made none here")).to_be_visible()

    await visit.do(end)
    await is_fit_for_all(visit)


async def test_a_client_is_kicked_by_keyboard(scene: Scene) -> None:
    visit = scene.ann
    await visit.go("/account/admin")
    visit.complaints.clear()  # the browser says that it got an error

    async def enter(page: Page) -> None:
        await page.goto(f"{scene.url}{PAGE}")
        await log_in(page)
        await expect(page.get_by_role("heading", level=1)).to_have_text("ann@example.org")
        await tab_to(page, "All of the hub")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Gateways")).to_be_visible()
        await expect(page.get_by_role("cell", name="bob/worker", exact=True)).to_be_visible()

    await visit.do(enter)
    await is_fit_for_all(visit)

    async def kick(page: Page) -> None:
        await tab_to(page, "Kick bob/worker")
        await page.keyboard.press("Enter")

    await visit.do(kick)
    assert await scene.bob.closed() == 1000

    async def is_gone() -> bool:
        await visit.go("/account/admin")
        return "bob/worker" not in await visit.text()

    await eventually(is_gone)


async def test_who_may_act_as_one_is_asked_by_keyboard(scene: Scene) -> None:
    """Below a path: the address that a program shows is that of the page."""
    started = await start(scene.url)
    assert started["login_url"].startswith(f"{scene.url}{PAGE}?key=")
    await scene.ann.go(started["login_url"].removeprefix(scene.url))

    async def refuse(page: Page) -> None:
        await log_in(page)
        code = key_of(started["login_url"])[-4:]
        await expect(page.locator("p.code")).to_have_text(code)
        await tab_to(page, "Refuse")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading")).to_have_text("Refused")

    await scene.ann.do(refuse)
    await is_fit_for_all(scene.ann)
