"""A page exports a default service, as plug-ins do."""

import pytest

from tests.browser_client import BrowserClient, Connection
from tests.gateways import Hub

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.browser"]

PLUGIN = """
    window.calls = [];
    await server.export({
      setup: async () => { calls.push("setup"); },
      greet: name => `Hi ${name}`,
    });
"""


async def test_the_hub_runs_setup_before_export_returns(
    hub: Hub, javascript: BrowserClient
) -> None:
    connection = await javascript.connect(hub.first, name="plug-in")

    calls = await connection.run(PLUGIN + "return calls")

    assert calls == ["setup"]


async def test_the_plugin_is_found_by_its_client(provider: Connection, caller: Connection) -> None:
    await provider.run(PLUGIN)

    greeting = await caller.run(
        "return await (await server.getPlugin(client)).greet('Ada')", client=provider.client_id
    )
    listed = await caller.run("return await server.listPlugins()")

    assert greeting == "Hi Ada"
    assert [service["id"] for service in listed] == [f"{provider.address}:default"]


async def test_the_plugin_takes_the_name_of_the_connection(
    hub: Hub, provider: Connection, javascript: BrowserClient
) -> None:
    plugin = await provider.invite(javascript, hub.second, name="My plug-in")
    await plugin.run(PLUGIN)

    (service,) = await provider.list({"name": "My plug-in"})

    assert service["id"] == f"{plugin.address}:default"


async def test_setup_may_use_the_hub(hub: Hub, javascript: BrowserClient) -> None:
    connection = await javascript.connect(hub.first)

    echoed = await connection.run(
        """
        let echoed = null;
        await server.export({ setup: async () => { echoed = await server.echo("hello"); } });
        return echoed;
        """
    )

    assert echoed == "hello"


async def test_an_error_in_setup_leaves_the_client_alive(
    hub: Hub, javascript: BrowserClient
) -> None:
    connection = await javascript.connect(hub.first)
    javascript.tolerate("broken setup")

    await connection.run(
        "await server.export({ setup: async () => { throw new Error('broken setup'); } })"
    )

    assert await connection.run("return await server.echo('alive')") == "alive"
