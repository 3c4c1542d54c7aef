"""A page gets a service, with every form of its id."""

from typing import Any

import pytest

from tests.browser_client import Connection, JavaScriptError, Tagged, within
from tests.gateways import Hub

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.browser"]


async def test_a_query_finds_the_service(provider: Connection, caller: Connection) -> None:
    await provider.register("tools", name="Tools", description="Of all kinds")
    workspace, client = provider.workspace, provider.client_id
    queries: list[Any] = [
        "tools",
        f"{client}:tools",
        f"{workspace}/{client}:tools",
        f"{workspace}/*:tools",
        {"id": "tools"},
        {"service_id": "tools"},
        {"id": f"{client}:tools"},
        {"id": f"{workspace}/{client}:tools"},
        {"workspace": workspace, "id": "tools"},
        {"workspace": workspace, "service_id": "tools"},
        {"workspace": workspace, "id": f"{client}:tools"},
    ]

    sums = [(query, await caller.call(query, "add", 20, 22)) for query in queries]

    assert sums == [(query, 42) for query in queries]


async def test_a_service_is_described_in_full(provider: Connection, caller: Connection) -> None:
    await provider.register("tools", name="Tools", description="Of all kinds", type="tool")

    service = await caller.get("tools")

    assert service["id"] == f"{provider.address}:tools"
    assert service["name"] == "Tools"
    assert service["description"] == "Of all kinds"
    assert service["type"] == "tool"
    assert service["config"]["workspace"] == provider.workspace
    assert isinstance(service["add"], Tagged)


async def test_a_client_alone_means_its_default_service(
    provider: Connection, caller: Connection
) -> None:
    await provider.run("await server.export({ greet: name => 'Hi ' + name })")

    greetings = [
        await caller.call(f"{provider.client_id}:default", "greet", "Ada"),
        await caller.call(provider.address, "greet", "Bob"),
        await caller.run(
            "return await (await server.getPlugin(client)).greet('Cid')",
            client=provider.client_id,
        ),
    ]

    assert greetings == ["Hi Ada", "Hi Bob", "Hi Cid"]


async def test_a_name_that_nobody_offers_is_nothing(
    provider: Connection, caller: Connection
) -> None:
    name, workspace = "nothing-of-that-name", provider.workspace

    for query in (
        name,
        {"id": name},
        {"workspace": workspace, "id": name},
        f"{workspace}/*:{name}",
    ):
        with within(1):
            assert await caller.get(query) is None, query


async def test_what_is_not_there_is_an_error_at_once(
    provider: Connection, caller: Connection
) -> None:
    await provider.register("tools")
    absent = [
        "nobody:tools",
        f"{provider.workspace}/nobody:tools",
        f"{provider.workspace}/nobody",
        f"{provider.client_id}:no-such-service",
        f"{provider.address}:no-such-service",
        "no-such-workspace/nobody:tools",
        f"{provider.client_id}*:tools",
    ]

    for query in absent:
        with within(1), pytest.raises(JavaScriptError):
            await caller.get(query)


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
