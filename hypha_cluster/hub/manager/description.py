"""What clients are told of a workspace's manager: its functions by name (PROTOCOL 5.2, 6)."""

from functools import lru_cache
from typing import Any, Final

from hypha_cluster.identity.access import MANAGER
from hypha_cluster.protocol import rpc

FUNCTIONS: Final = (
    "echo",
    "log",
    "info",
    "warning",
    "error",
    "critical",
    "get_connection_info",
    "update_client_info",
    "register_service",
    "list_services",
    "get_service",
    "list_clients",
    "list_user_clients",
    "generate_token",
    "create_workspace",
    "get_workspace_info",
    "set",
    "install_application",
    "uninstall_application",
    "get_summary",
)
# JavaScript's users write these names otherwise (PROTOCOL 6).
ALIASES: Final = {
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
}


@lru_cache(maxsize=256)
def describe(workspace: str, base_url: str) -> dict[str, Any]:
    """The service dict of a workspace's manager; every client asks for it, so it is kept."""
    address = f"{workspace}/{MANAGER}"
    return {
        "id": "default",
        "name": "Workspace manager",
        "description": "Services for managing workspaces.",
        "type": "generic",
        "config": {
            "require_context": True,
            "workspace": workspace,
            "visibility": "protected",
            "public_base_url": base_url,
            "local_base_url": base_url,
        },
        **{
            name: rpc.reference(address, f"services.default.{name}")
            for name in (*FUNCTIONS, *ALIASES)
        },
    }
