"""A page uses the functions of the workspace manager."""

import pytest

from tests.browser_client import BrowserClient, Connection, JavaScriptError, within
from tests.gateways import Hub

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.browser"]


async def test_clients_are_listed(provider: Connection, caller: Connection) -> None:
    clients = await caller.run("return await server.listClients()")

    assert {provider.client_id, caller.client_id} <= set(clients)


async def test_the_clients_of_a_user_are_listed(hub: Hub, javascript: BrowserClient) -> None:
    connection = await javascript.connect(hub.first)

    clients = await connection.run("return await server.listUserClients()")

    assert connection.client_id in clients


async def test_a_summary_counts_clients_and_services(
    provider: Connection, caller: Connection
) -> None:
    await provider.register("tools", type="tool")

    summary = await caller.run("return await server.getSummary()")

    assert summary["name"] == provider.workspace
    assert set(summary["clients"]) >= {provider.client_id, caller.client_id}
    assert summary["client_count"] == len(summary["clients"])
    assert "tools" in [service["name"] for service in summary["services"]]


async def test_messages_can_be_logged(hub: Hub, javascript: BrowserClient) -> None:
    connection = await javascript.connect(hub.first)

    for function in ("log", "info", "warning", "error", "critical"):
        assert await connection.run(f"return await server.{function}('hello')") is None


async def test_a_workspace_is_described(hub: Hub, javascript: BrowserClient) -> None:
    connection = await javascript.connect(hub.first)

    info = await connection.run(
        "return await server.getWorkspaceInfo(workspace)", workspace=connection.workspace
    )

    assert info["name"] == connection.workspace
    assert info["owners"]
    assert info["persistent"] is False


async def test_a_workspace_can_be_made_and_joined(
    hub: Hub, javascript: BrowserClient, another: BrowserClient
) -> None:
    maker = await javascript.connect(hub.first)
    name = f"made-by-{maker.client_id}"

    info, token = await maker.run(
        """
        const config = { name, owners: [], visibility: "protected", persistent: false };
        const info = await server.createWorkspace(config);
        return [info, await server.generateToken({ scopes: [name] })];
        """,
        name=name,
    )
    guest = await another.connect(hub.second, workspace=name, token=token)

    assert info["name"] == name
    assert guest.workspace == name


async def test_the_description_of_a_workspace_can_be_changed(
    hub: Hub, provider: Connection, caller: Connection
) -> None:
    await provider.run("await server.set({ description: 'Where we work' })")

    summary = await caller.run("return await server.getSummary()")

    assert summary["description"] == "Where we work"


@pytest.mark.parametrize("overwrite", [False, True])
async def test_a_workspace_of_somebody_else_cannot_be_taken(
    hub: Hub, javascript: BrowserClient, overwrite: bool
) -> None:
    owner = await javascript.connect(hub.first)
    thief = await javascript.connect(hub.second)

    with within(1), pytest.raises(JavaScriptError):
        await thief.run(
            """
            const config = { name, owners: [], visibility: "protected" };
            await server.createWorkspace(config, { overwrite, _rkwargs: true });
            """,
            name=owner.workspace,
            overwrite=overwrite,
        )

    assert await owner.run("return await server.echo('still here')") == "still here"
