"""A page that goes takes its services with it."""

import pytest

from tests.browser_client import BrowserClient, Connection, JavaScriptError, within
from tests.conformance.python_scene import eventually
from tests.gateways import Hub

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.browser"]


async def is_empty(observer: Connection) -> bool:
    return bool(await observer.list() == [])


@pytest.mark.parametrize("leave", ["close the page", "disconnect"])
async def test_the_services_of_a_page_vanish_with_it(
    hub: Hub, javascript: BrowserClient, own_page: BrowserClient, leave: str
) -> None:
    observer = await javascript.connect(hub.second)
    leaver = await observer.invite(own_page, hub.first, client_id="leaver")
    name = f"seen-by-all-{observer.client_id}"
    await leaver.register(name, config={"visibility": "public"})
    assert await observer.get(name)

    await (own_page.close() if leave == "close the page" else leaver.disconnect())

    await eventually(lambda: is_empty(observer), 2)
    with within(1):
        assert await observer.get(name) is None
        assert "leaver" not in await observer.run("return await server.listClients()")
    with within(1), pytest.raises(JavaScriptError):
        await observer.get("leaver:" + name)


async def test_closing_a_page_leaves_the_services_of_others_alone(
    hub: Hub, javascript: BrowserClient, own_page: BrowserClient
) -> None:
    stayer = await javascript.connect(hub.second)
    await stayer.register("tools", name="Mine")
    leaver = await stayer.invite(own_page, hub.first)
    await leaver.register("tools", name="Theirs")

    await own_page.close()

    async def only_mine() -> bool:
        return [service["name"] for service in await stayer.list()] == ["Mine"]

    await eventually(only_mine, 2)
    assert await stayer.call("tools", "add", 1, 2) == 3


async def test_the_workspace_of_a_page_ends_with_its_last_client(
    hub: Hub, javascript: BrowserClient, own_page: BrowserClient
) -> None:
    observer = await javascript.connect(hub.second)
    leaver = await own_page.connect(hub.first)
    await leaver.register("tools", config={"visibility": "public"})
    listing = f"{leaver.address}:tools"

    await own_page.close()

    async def unlisted() -> bool:
        return listing not in [service["id"] for service in await observer.list("public")]

    await eventually(unlisted, 2)
    with within(1), pytest.raises(JavaScriptError):
        await observer.get(listing)


async def test_a_page_that_is_loaded_again_takes_its_place(
    hub: Hub, javascript: BrowserClient, own_page: BrowserClient
) -> None:
    observer = await javascript.connect(hub.second)
    config = {"workspace": observer.workspace, "token": await observer.token()}
    before = await own_page.connect(hub.first, client_id="page", **config)
    await before.register("tools", name="Before")

    await own_page.reload()
    after = await own_page.connect(hub.first, client_id="page", **config)
    await after.register("tools", name="After")

    assert [service["name"] for service in await observer.list()] == ["After"]
    assert await observer.call("page:tools", "add", 1, 2) == 3
