"""A page connects."""

import re

import pytest

from tests.browser_client import BrowserClient, JavaScriptError, within
from tests.gateways import Hub

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.browser"]

# Older ones wait for ever when they are refused, whatever the server does.
SEE_REFUSALS = ["0.5.44", "0.5.59"]


async def test_a_page_gets_a_workspace_of_its_own(hub: Hub, javascript: BrowserClient) -> None:
    one = await javascript.connect(hub.first)
    two = await javascript.connect(hub.second)

    assert one.workspace
    assert one.workspace != two.workspace
    assert re.fullmatch(r"[a-z0-9]+", one.client_id)


async def test_a_page_can_choose_its_client_id(hub: Hub, javascript: BrowserClient) -> None:
    connection = await javascript.connect(hub.first, client_id="my-page")

    info = await connection.run("return await server.getConnectionInfo()")
    assert info["client_id"] == connection.client_id == "my-page"
    assert info["workspace"] == connection.workspace


async def test_a_page_learns_who_it_is_and_how_to_come_back(
    hub: Hub, javascript: BrowserClient
) -> None:
    connection = await javascript.connect(hub.first)

    info = await connection.run("return await server.get_connection_info()")

    assert info["user_info"]["is_anonymous"] is True
    assert info["user_info"]["id"] == connection.workspace
    assert info["reconnection_token"]
    assert info["reconnection_expires_in"] > 0
    assert info["public_base_url"].startswith("http")


async def test_the_manager_says_where_it_is(hub: Hub, javascript: BrowserClient) -> None:
    connection = await javascript.connect(hub.first)

    config = await connection.run("return server.config")

    assert config["workspace"] == connection.workspace
    assert config["public_base_url"].startswith("http")
    assert config["local_base_url"].startswith("http")


async def test_a_url_may_end_in_a_slash_or_be_a_websocket_url(
    hub: Hub, javascript: BrowserClient
) -> None:
    with_slash = await javascript.connect(f"{hub.first}/")
    websocket = await javascript.connect(hub.first.replace("http", "ws", 1) + "/ws")

    assert with_slash.workspace
    assert websocket.workspace


async def test_a_token_leads_into_the_workspace_that_it_was_made_for(
    hub: Hub, javascript: BrowserClient, another: BrowserClient
) -> None:
    host = await javascript.connect(hub.first)

    guest = await host.invite(another, hub.second)

    assert guest.workspace == host.workspace
    user = (await guest.run("return await server.getConnectionInfo()"))["user_info"]
    assert user["parent"] == host.workspace
    assert user["scopes"] == [host.workspace]


async def test_a_token_alone_leads_into_a_workspace_of_its_own(
    hub: Hub, javascript: BrowserClient
) -> None:
    host = await javascript.connect(hub.first)

    guest = await javascript.connect(hub.second, token=await host.token())

    assert guest.workspace != host.workspace


@pytest.mark.parametrize("release", SEE_REFUSALS)
@pytest.mark.parametrize(
    "config",
    [{"token": "nobody@imjoy@gave.me.this"}, {"workspace": "of-somebody-else"}],
    ids=["forged token", "no such workspace"],
)
async def test_a_page_that_may_not_connect_is_told_at_once(
    hub: Hub, own_page: BrowserClient, config: dict[str, str]
) -> None:
    with within(1), pytest.raises(JavaScriptError, match="connection failed"):
        await own_page.connect(hub.first, **config)


@pytest.mark.parametrize("release", SEE_REFUSALS)
async def test_a_client_id_belongs_to_one_client(
    hub: Hub, javascript: BrowserClient, own_page: BrowserClient
) -> None:
    first = await javascript.connect(hub.first, client_id="taken")

    with within(1), pytest.raises(JavaScriptError, match="connection failed"):
        await first.invite(own_page, hub.second, client_id="taken")

    assert await first.run("return await server.echo('still here')") == "still here"


async def test_a_client_id_is_free_again_when_its_client_has_left(
    hub: Hub, javascript: BrowserClient
) -> None:
    host = await javascript.connect(hub.first)
    guest = await host.invite(javascript, hub.first, client_id="guest")
    await guest.disconnect()

    again = await host.invite(javascript, hub.second, client_id="guest")

    assert again.client_id == "guest"
