"""A page lists services, with every form of query."""

from contextlib import suppress
from typing import Any

import pytest

from tests.browser_client import Connection, JavaScriptError, within
from tests.gateways import Hub

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.browser"]


def names(services: Any) -> list[str]:
    return sorted(service["name"] for service in services)


@pytest.fixture
async def lister(provider: Connection, caller: Connection) -> Connection:
    """A client that sees two services, one of them public."""
    await provider.register("open", type="tool", config={"visibility": "public"})
    await provider.register("closed", description="For us")
    return caller


async def test_without_a_query_the_workspace_is_listed(
    lister: Connection, provider: Connection
) -> None:
    services = {service["name"]: service for service in await lister.list()}

    assert sorted(services) == ["closed", "open"]
    assert services["open"]["id"] == f"{provider.address}:open"
    assert services["open"]["type"] == "tool"
    assert services["open"]["config"]["visibility"] == "public"
    assert services["open"]["config"]["workspace"] == provider.workspace
    assert services["closed"]["type"] == "generic"


async def test_a_query_chooses(lister: Connection, provider: Connection) -> None:
    workspace, both = provider.workspace, ["closed", "open"]
    queries: list[tuple[Any, list[str]]] = [
        ({}, both),
        (workspace, both),
        ({"workspace": workspace}, both),
        ({"type": "tool"}, ["open"]),
        ({"type": "generic"}, ["closed"]),
        ({"name": "closed"}, ["closed"]),
        ({"name": "closed", "type": "tool"}, []),
        ({"id": f"{provider.client_id}:open"}, ["open"]),
        ({"workspace": workspace, "id": f"{provider.address}:open"}, ["open"]),
        ({"workspace": workspace, "type": "tool"}, ["open"]),
    ]

    chosen = [(query, names(await lister.list(query))) for query, _ in queries]

    assert chosen == queries


async def test_the_public_list_has_the_public_services_of_every_workspace(
    hub: Hub, lister: Connection, provider: Connection
) -> None:
    stranger = await lister.page.connect(hub.second)

    listed = [service["id"] for service in await stranger.list("public")]

    assert f"{provider.address}:open" in listed
    assert f"{provider.address}:closed" not in listed


async def test_a_star_means_the_own_workspace_and_the_public_one(
    hub: Hub, lister: Connection
) -> None:
    stranger = await lister.page.connect(hub.second)

    assert {"closed", "open"} <= set(names(await lister.list({"workspace": "*"})))
    assert {"closed", "open"}.isdisjoint(names(await stranger.list({"workspace": "*"})))


async def test_a_stranger_sees_the_public_services_of_a_workspace_or_is_refused(
    hub: Hub, lister: Connection, provider: Connection
) -> None:
    stranger = await lister.page.connect(hub.second)

    listed: list[str] = []
    with within(1), suppress(JavaScriptError):
        listed = names(await stranger.list({"workspace": provider.workspace}))

    assert "closed" not in listed


async def test_a_workspace_that_does_not_exist_is_an_error(lister: Connection) -> None:
    with within(1), pytest.raises(JavaScriptError):
        await lister.list({"workspace": "there-is-no-such-workspace"})


async def test_the_other_name_of_the_function_does_the_same(lister: Connection) -> None:
    assert names(await lister.run("return await server.list_services()")) == ["closed", "open"]
