"""Python clients connect, are told who they are, and are refused where they do not belong."""

from typing import Any

import pytest

from tests.conformance.python_scene import (
    Connect,
    Pair,
    colleague,
    eventually,
    every_release,
    refusal_of,
    unique,
)
from tests.gateways import SECOND, Hub
from tests.python_client import RemoteError

pytestmark = pytest.mark.clients


@every_release
async def test_a_newcomer_gets_a_workspace_of_its_own(
    hub: Hub, release: str, connect: Connect
) -> None:
    client = await connect(release, hub.first, client_id="newcomer")

    info = await client["get_connection_info"]()

    assert info["client_id"] == "newcomer"
    assert info["workspace"] == client.workspace == info["user_info"]["id"]
    assert info["user_info"]["is_anonymous"] is True
    assert info["user_info"]["parent"] is None
    assert isinstance(info["reconnection_token"], str)
    assert info["reconnection_expires_in"] > 0
    assert info["public_base_url"].startswith("http")
    assert info["local_base_url"].startswith("http")


@every_release
async def test_the_manager_greets_with_its_functions(
    hub: Hub, release: str, connect: Connect
) -> None:
    client = await connect(release, hub.first)

    assert client["id"].endswith("default")
    assert client["config"]["public_base_url"].startswith("http")
    assert client["config"]["local_base_url"].startswith("http")
    for name in FUNCTIONS.split():
        assert name in client
    assert await client["echo"]("anybody there?") == "anybody there?"
    for level in ("log", "info", "warning", "error", "critical"):
        assert await client[level]("a line for the hub's log") is None


FUNCTIONS = """
    echo log info warning error critical get_connection_info getConnectionInfo update_client_info
    register_service registerService list_services listServices get_service getService
    list_clients listClients list_user_clients listUserClients generate_token generateToken
    create_workspace createWorkspace get_workspace_info getWorkspaceInfo set get_summary getSummary
    install_application installApplication uninstall_application uninstallApplication
"""


@every_release
async def test_the_address_of_the_hub_may_be_spelled_in_several_ways(
    hub: Hub, release: str, connect: Connect
) -> None:
    websocket = hub.second.replace("http://", "ws://")
    for url in (f"{hub.first}/", f"{websocket}/ws"):
        client = await connect(release, url, name="a client with a name")

        assert await client["echo"](url) == url


@every_release
async def test_both_clients_of_a_workspace_see_each_other(
    hub: Hub, release: str, pair: Pair
) -> None:
    first, second = await pair(hub, release)
    ids = {"workspace-manager", await first.client_id(), await second.client_id()}

    assert first.workspace == second.workspace
    assert set(await first["list_clients"]()) == ids
    assert set(await second["listClients"]()) == ids
    assert await first["list_user_clients"]() == [await first.client_id()]
    assert await second["list_user_clients"]() == [await second.client_id()]
    await first.rpc("ping", await second.address())
    await second.rpc("ping", await first.address())


@every_release
async def test_an_id_is_taken_while_its_client_is_there(
    hub: Hub, release: str, connect: Connect
) -> None:
    host = await connect(release, hub.first)
    token = await host["generate_token"]()
    seat = {"client_id": "window-seat", "workspace": host.workspace, "token": token}
    other = {**seat, "token": await host["generate_token"]()}
    sitting = await connect(release, hub.first, **seat)

    await refusal_of(connect(release, hub.second, **other))
    await sitting["disconnect"]()

    async def sits() -> bool:
        try:
            await connect(release, hub.second, **other)
        except RemoteError:
            return False
        return True

    await eventually(sits)


REFUSED: dict[str, dict[str, Any]] = {
    "workspace that is not there": {"workspace": "no-such-workspace"},
    "token that is none": {"token": "nonsense"},
    "token with a false signature": {
        "token": "me@imjoy@eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJyb290In0.c2lnbmF0dXJl"
    },
    "public workspace": {"workspace": "public"},
    "slash in the client's id": {"client_id": "a/b"},
    "colon in the client's id": {"client_id": "a:b"},
    "id of the manager": {"client_id": "workspace-manager"},
}


@every_release
@pytest.mark.parametrize("config", REFUSED.values(), ids=REFUSED.keys())
async def test_who_does_not_belong_is_told_so_at_once(
    hub: Hub, release: str, connect: Connect, config: dict[str, Any]
) -> None:
    with pytest.raises(RemoteError) as refused:
        await connect(release, hub.second, method_timeout=5 * SECOND, **config)

    assert refused.value.kind == "PermissionError"
    assert "403" in refused.value.text


@every_release
async def test_somebody_elses_workspace_is_closed(hub: Hub, release: str, connect: Connect) -> None:
    host = await connect(release, hub.first)

    text = await refusal_of(connect(release, hub.second, workspace=host.workspace))

    assert "403" in text


@every_release
async def test_who_left_is_no_longer_listed(hub: Hub, release: str, connect: Connect) -> None:
    host = await connect(release, hub.first)
    guest = await colleague(connect, host, release, hub.second)
    guest_id = await guest.client_id()
    await guest["register_service"]({"id": unique("guest")})
    assert guest_id in await host["list_clients"]()

    await guest["disconnect"]()

    async def is_gone() -> bool:
        return guest_id not in await host["list_clients"]()

    await eventually(is_gone)
    assert await host["list_services"]() == []
