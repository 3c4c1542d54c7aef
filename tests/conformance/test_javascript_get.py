"""A page gets a service, with every form of its id."""

from typing import Any

import pytest

from tests.browser_client import Connection, JavaScriptError, Tagged, within
from tests.gateways import Hub

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.browser"]


def filled(query: Any, provider: Connection) -> Any:
    if isinstance(query, dict):
        return {key: filled(value, provider) for key, value in query.items()}
    return query.replace("WS", provider.workspace).replace("CID", provider.client_id)


@pytest.mark.parametrize(
    "query",
    [
        "tools",
        "CID:tools",
        "WS/CID:tools",
        "WS/*:tools",
        {"id": "tools"},
        {"service_id": "tools"},
        {"id": "CID:tools"},
        {"id": "WS/CID:tools"},
        {"workspace": "WS", "id": "tools"},
        {"workspace": "WS", "service_id": "tools"},
        {"workspace": "WS", "id": "CID:tools"},
    ],
    ids=str,
)
async def test_a_query_finds_the_service(
    provider: Connection, caller: Connection, query: Any
) -> None:
    await provider.register("tools", name="Tools", description="Of all kinds")

    service = await caller.get(filled(query, provider))

    assert service["id"] == f"{provider.address}:tools"
    assert service["name"] == "Tools"
    assert service["description"] == "Of all kinds"
    assert service["config"]["workspace"] == provider.workspace
    assert isinstance(service["add"], Tagged)
    assert await caller.call(filled(query, provider), "add", 20, 22) == 42


@pytest.mark.parametrize("query", ["CID", "WS/CID", "CID:default"])
async def test_a_client_alone_means_its_default_service(
    provider: Connection, caller: Connection, query: str
) -> None:
    await provider.run("await server.export({ greet: name => 'Hi ' + name })")
    get = "getPlugin" if query == "CID" else "getService"

    greeting = await caller.run(
        f"const plugin = await server.{get}(query); return await plugin.greet('Ada')",
        query=filled(query, provider),
    )

    assert greeting == "Hi Ada"


@pytest.mark.parametrize(
    "query",
    [
        "nothing-of-that-name",
        {"id": "nothing-of-that-name"},
        {"workspace": "WS", "id": "nothing-of-that-name"},
        "WS/*:nothing-of-that-name",
    ],
    ids=str,
)
async def test_a_name_that_nobody_offers_is_nothing(
    provider: Connection, caller: Connection, query: Any
) -> None:
    with within(1):
        assert await caller.get(filled(query, provider)) is None


@pytest.mark.parametrize(
    "query",
    [
        "nobody:tools",
        "WS/nobody:tools",
        "WS/nobody",
        "CID:no-such-service",
        "WS/CID:no-such-service",
        "no-such-workspace/nobody:tools",
        "CI*:tools",
    ],
)
async def test_what_is_not_there_is_an_error_at_once(
    provider: Connection, caller: Connection, query: str
) -> None:
    await provider.register("tools")

    with within(1), pytest.raises(JavaScriptError):
        await caller.get(filled(query, provider))


async def test_a_public_service_is_found_by_name_from_everywhere(
    hub: Hub, provider: Connection, caller: Connection
) -> None:
    name = f"known-to-all-{provider.client_id}"
    await provider.register(name, config={"visibility": "public"})
    stranger = await caller.page.connect(hub.second)

    service = await stranger.get(name)

    assert service["id"] == f"{provider.address}:{name}"
    assert await stranger.call(name, "add", 1, 1) == 2


async def test_a_name_in_the_own_workspace_wins(
    hub: Hub, provider: Connection, caller: Connection
) -> None:
    name = f"contested-{provider.client_id}"
    await provider.register(name)
    squatter = await caller.page.connect(hub.second)
    await squatter.register(name, config={"visibility": "public"})

    found = [await caller.get(name) for _ in range(5)]

    assert {service["id"] for service in found} == {f"{provider.address}:{name}"}


async def test_a_protected_service_of_others_is_refused(
    hub: Hub, provider: Connection, caller: Connection
) -> None:
    await provider.register("private")
    stranger = await caller.page.connect(hub.second)

    with within(1), pytest.raises(JavaScriptError, match="(?i)denied"):
        await stranger.get(f"{provider.address}:private")

    assert await stranger.get("private") is None


async def test_the_other_name_of_the_function_does_the_same(
    provider: Connection, caller: Connection
) -> None:
    await provider.register("tools")

    service = await caller.run("return await server.get_service('tools')")

    assert service["id"] == f"{provider.address}:tools"
