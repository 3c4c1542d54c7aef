"""The service `default` of every workspace's manager: its functions by name (protocol.md 6)."""

import logging
from typing import Any, Final

from hypha_cluster.hub.context import Context
from hypha_cluster.hub.manager.services import ServiceFunctions
from hypha_cluster.hub.manager.tokens import TokenFunctions
from hypha_cluster.hub.manager.workspaces import WorkspaceFunctions
from hypha_cluster.hub.services import DEFAULT, Function, HubService
from hypha_cluster.protocol.limits import LOGGED

_client_log = logging.getLogger("hypha_cluster.client")


def manager_service(
    services: ServiceFunctions, workspaces: WorkspaceFunctions, tokens: TokenFunctions
) -> HubService:
    """The service that every client gets when it connects."""
    return HubService(
        id=DEFAULT,
        name="Workspace manager",
        description="Services for managing workspaces.",
        functions={
            "echo": _echo,
            **{level: _logger(level) for level in _LEVELS},
            "get_connection_info": tokens.get_connection_info,
            "update_client_info": services.update_client_info,
            "register_service": services.register_service,
            "list_services": services.list_services,
            "get_service": services.get_service,
            "list_clients": workspaces.list_clients,
            "list_user_clients": workspaces.list_user_clients,
            "generate_token": tokens.generate_token,
            "create_workspace": workspaces.create_workspace,
            "get_workspace_info": workspaces.get_workspace_info,
            "set": workspaces.set,
            "install_application": workspaces.install_application,
            "uninstall_application": workspaces.uninstall_application,
            "get_summary": workspaces.get_summary,
        },
        # Users of JavaScript write these names in camel case (protocol.md 6).
        aliases={
            "getConnectionInfo": "get_connection_info",
            "registerService": "register_service",
            "listServices": "list_services",
            "getService": "get_service",
            "listClients": "list_clients",
            "listUserClients": "list_user_clients",
            "generateToken": "generate_token",
            "createWorkspace": "create_workspace",
            "getWorkspaceInfo": "get_workspace_info",
            "getSummary": "get_summary",
            "installApplication": "install_application",
            "uninstallApplication": "uninstall_application",
        },
        workspace=None,
        visibility="protected",
        judging=frozenset(
            ("get_service", "get_workspace_info", "list_services", "list_user_clients")
        ),
        is_listed=False,
        is_on_http=False,
        config={"require_context": True},
    )


async def _echo(context: Context, data: Any) -> Any:
    """Return what was passed."""
    return data


_LEVELS: Final = {
    "log": logging.INFO,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}


def _logger(name: str) -> Function:
    async def write(context: Context, msg: Any) -> None:
        """Write a line into the log of the hub."""
        text = _on_one_line(str(msg)[:LOGGED])
        _client_log.log(_LEVELS[name], "%s: %s", context.caller, text)

    return write


def _on_one_line(text: str) -> str:
    """Put a text on one line, so that what a client logs cannot pass for a line of the hub."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
