"""`login()` of Python and JavaScript programs behind the balancer, while a person has a browser."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import argon2
import pytest
from playwright.async_api import Page, Request, expect

from hypha_cluster.identity.accounts import Account
from hypha_cluster.registry.accounts import Accounts
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import open_redis
from tests.cluster.cluster import PREFIX, Cluster, until
from tests.cluster.login_crowd import WaitingProgram
from tests.login_rig import PASSWORD

if TYPE_CHECKING:
    from tests.browser import Chromium

pytestmark = [pytest.mark.cluster, pytest.mark.clients, pytest.mark.browser]
pytest_plugins = ["tests.browser"]

PROGRAMS = (("0.5.24", "async"), ("0.5.44", "async"), ("0.5.59", "async"), ("0.5.59", "sync"))
LOGIN = """async url => {
  const told = new Promise(resolve => { window.goOn = resolve; });
  const tell = context => { document.title = context.login_url; return told; };
  window.token = hyphaWebsocketClient.login(
    { server_url: url, login_callback: tell, login_timeout: 60 });
}"""
CONNECT = """async url => {
  const token = await window.token;
  const server = await hyphaWebsocketClient.connectToServer({ server_url: url, token });
  return { workspace: server.config.workspace, token };
}"""


class Watched(NamedTuple):
    """A person's window, and all that it has asked for and shown."""

    page: Page
    addresses: list[str]
    referers: list[str]
    shown: list[str]

    async def keep(self) -> None:
        self.shown.append(await self.page.content())


@pytest.fixture
async def accounts(cluster: Cluster) -> AsyncIterator[Accounts]:
    redis = open_redis(cluster.store.url, timeout=5.0)
    await redis.start()
    accounts = Accounts(redis, Keys(PREFIX))
    hashed = await asyncio.to_thread(argon2.PasswordHasher().hash, PASSWORD)
    await accounts.add(Account("bob", "bob@example.org", (), hashed))
    yield accounts
    await redis.aclose()


async def test_programs_log_in_though_a_gateway_was_killed_meanwhile(
    cluster: Cluster, accounts: Accounts, chromium: "Chromium"
) -> None:
    """Each has begun and shown its address; a gateway where some of them are is killed; a person
    allows one after the other, and each goes on as that person. The token is in no address.
    """
    script = await chromium.open("0.5.59")
    try:
        async with AsyncExitStack() as stack:
            programs = [
                await stack.enter_async_context(WaitingProgram(cluster.url, *which))
                for which in PROGRAMS
            ]
            shown = await chromium.loop.run(begin(script.page, cluster.url))
            killed = max(cluster.gateways, key=cluster.clients_of)
            killed.kill()
            await until(lambda: are_back(cluster, len(programs) + 1), "all programs are back")

            addresses = [*(program.address for program in programs), shown]
            watched = await chromium.loop.run(allow(chromium, script.page, addresses))
            for program in programs:
                await program.go_on()
            told = [await program.outcome() for program in programs]
            told.append(await chromium.loop.run(script.page.evaluate(CONNECT, cluster.url)))
    finally:
        await script.close()

    assert [each["workspace"] for each in told] == ["bob"] * len(addresses)
    tokens = [each["token"].partition("@imjoy@")[2] for each in told]
    assert len(set(tokens)) == len(addresses)
    logs = [*(gateway.log() for gateway in cluster.gateways), cluster.balancer.log()]
    for token in tokens:
        for kept in (watched.addresses, watched.referers, watched.shown, logs):
            assert not [each for each in kept if token in each]
    assert all(each.startswith(cluster.url) for each in watched.addresses)


async def begin(page: Page, url: str) -> str:
    """Have the script show its address, and wait."""
    await page.evaluate(LOGIN, url)
    await page.wait_for_function("document.title.startsWith('http')")
    return await page.title()


async def are_back(cluster: Cluster, many: int) -> bool:
    alive = [gateway for gateway in cluster.gateways if gateway.is_running]
    return sum(map(cluster.clients_of, alive)) == many


async def allow(chromium: "Chromium", script: Page, addresses: list[str]) -> Watched:
    """Sign in with a browser of one's own, and let each program have a token."""
    assert script.context.browser
    context = await script.context.browser.new_context()
    watched = Watched(await context.new_page(), [], [], [])
    watched.page.on("request", lambda request: note(watched, request))
    page = watched.page
    for number, address in enumerate(addresses):
        await page.goto(address)
        await watched.keep()
        if number == 0:
            await page.get_by_label("Name or e-mail address").fill("bob")
            await page.get_by_label("Password").fill(PASSWORD)
            await page.get_by_role("button", name="Log in").click()
        await expect(page.locator("p.code")).to_have_text(address[-4:])
        await watched.keep()
        await page.get_by_role("button", name="Allow").click()
        await expect(page.get_by_role("status")).to_contain_text("goes on by itself")
        await watched.keep()
    await page.evaluate("window.goOn && window.goOn()")
    await script.evaluate("window.goOn()")
    await page.goto(f"{addresses[0].partition('/public')[0]}/account")
    await watched.keep()
    await context.close()
    return watched


def note(watched: Watched, request: Request) -> None:
    headers: dict[str, Any] = request.headers
    watched.addresses.append(request.url)
    watched.referers.append(headers.get("referer", ""))
