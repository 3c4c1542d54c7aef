"""`login()` of a published JavaScript client in one page, while a person logs in with another."""

import re
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import Page, expect

from tests.login_rig import PASSWORD, Site

if TYPE_CHECKING:  # a plugin, which has to be imported as one
    from tests.browser import Chromium

pytest_plugins = ["tests.browser", "tests.login_fixtures"]
pytestmark = pytest.mark.browser

LOGIN = """async url => {
  const tell = context => { document.title = context.login_url; };
  window.client = window.hyphaSSEClient || window.hyphaWebsocketClient;
  window.token = window.client.login(
    { server_url: url, login_callback: tell, login_timeout: 60 });
}"""
CONNECT = """async url => {
  const server = await window.client.connectToServer(
    { server_url: url, token: await window.token });
  return server.config.workspace;
}"""


@pytest.mark.parametrize("script", ["hypha-rpc-websocket.min.js", "hypha-rpc-sse.min.js"])
async def test_a_page_logs_in_while_its_user_does(
    chromium: "Chromium", site: Site, script: str
) -> None:
    program = await chromium.open("0.5.59", script)
    try:
        workspace = await chromium.loop.run(log_in(program.page, site))
    finally:
        await program.close()

    assert workspace == "bob"


async def log_in(program: Page, site: Site) -> str:
    await program.evaluate(LOGIN, site.first)
    await program.wait_for_function("document.title.startsWith('http')")
    address = await program.title()
    context = await program.context.browser.new_context()  # type: ignore[union-attr]
    person = await context.new_page()
    complaints: list[str] = []
    person.on("console", lambda message: complaints.append(message.text))
    person.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        await person.goto(address.replace(site.first, site.second))
        await by_keyboard(person)
        await expect(person.get_by_role("status")).to_contain_text("goes on by itself")
        await make_token(person, site.second)
        assert complaints == []
    finally:
        await context.close()
    workspace: str = await program.evaluate(CONNECT, site.first)
    return workspace


async def by_keyboard(person: Page) -> None:
    """The name has the focus, and the rest is reached with the tabulator."""
    await expect(person.locator("input:focus")).to_have_count(1)  # which may be later than the page
    await person.keyboard.type("bob")
    await person.keyboard.press("Tab")
    await person.keyboard.type(PASSWORD)
    await person.keyboard.press("Enter")
    await expect(person.get_by_role("heading")).to_contain_text("act as you")
    await person.get_by_role("button", name="Allow").focus()
    await person.keyboard.press("Enter")


async def make_token(person: Page, url: str) -> None:
    await person.goto(f"{url}/account")
    await person.get_by_label("Name of a new token").fill("worker")
    await person.get_by_role("button", name="Make it").click()
    await expect(person.get_by_label("shown this once")).to_have_value(re.compile(r".+@imjoy@.+"))
    end = person.get_by_role("button", name="End the token worker")
    await end.click()
    await expect(end).to_have_count(0)
