"""The manager's service: what it offers, under which names, to whom."""

import logging
from typing import Any

import pytest

from hypha_cluster.hub.manager.manager import manager_service
from hypha_cluster.hub.manager.tokens import TokenFunctions
from hypha_cluster.hub.services import HubService
from hypha_cluster.identity.tokens import Tokens, TokenSettings
from hypha_cluster.protocol.limits import LOGGED
from tests.unit.hub.manager.rig import Manager

SETTINGS = TokenSettings("issuer", "audience", "claims/", 3_600.0, 3_600.0)
# What published clients call (docs/protocol.md).
CALLED = (
    *("echo", "log", "info", "warning", "error", "critical", "getService", "get_service"),
    *("registerService", "register_service", "listServices", "list_services", "generateToken"),
    *("generate_token", "createWorkspace", "create_workspace", "getWorkspaceInfo", "set"),
    *("get_workspace_info", "listClients", "list_clients", "listUserClients", "getSummary"),
    *("list_user_clients", "get_summary", "getConnectionInfo", "get_connection_info"),
    *("install_application", "installApplication", "uninstall_application"),
    *("uninstallApplication", "update_client_info"),
)


@pytest.fixture
def offered(manager: Manager) -> HubService:
    tokens = TokenFunctions(Tokens("secret", SETTINGS), 3_600.0)
    return manager_service(manager.services, manager.functions, tokens)


@pytest.mark.parametrize("name", CALLED)
async def test_what_clients_call_is_there_by_that_name(offered: HubService, name: str) -> None:
    described = offered.describe("ann", "http://hub")

    assert described[name]["_rmethod"] == f"services.default.{name}"
    assert described[name]["_rtarget"] == "ann/workspace-manager"


async def test_only_functions_that_judge_themselves_are_for_strangers(offered: HubService) -> None:
    for_all = {name for name in CALLED if not offered.guards(name)}

    assert for_all == {
        *("get_service", "getService", "list_services", "listServices"),
        *("get_workspace_info", "getWorkspaceInfo", "list_user_clients", "listUserClients"),
    }


async def test_it_is_in_each_workspace_but_in_no_listing_and_not_on_http(
    offered: HubService,
) -> None:
    assert offered.workspace is None
    assert not offered.is_listed
    assert not offered.is_on_http


@pytest.mark.parametrize("value", [None, 5, "text", {"a": [1]}])
async def test_it_echoes(manager: Manager, offered: HubService, value: Any) -> None:
    context = manager.context(await manager.attach())

    assert await offered.function("echo")(context, value) == value


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("log", logging.INFO),
        ("info", logging.INFO),
        ("warning", logging.WARNING),
        ("error", logging.ERROR),
        ("critical", logging.CRITICAL),
    ],
)
async def test_a_client_writes_one_line_into_the_log(
    manager: Manager, offered: HubService, name: str, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    context = manager.context(await manager.attach())

    with caplog.at_level(logging.INFO):
        await offered.function(name)(context, "one\nINFO two" + LOGGED * "x")

    (record,) = caplog.records
    assert (record.levelno, record.name) == (level, "hypha_cluster.client")
    text = record.getMessage()
    assert text.startswith(r"ann/me: one\nINFO twoxxx")
    assert len(text) < LOGGED + 20
