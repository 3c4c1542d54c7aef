"""`hypha-cluster services`."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from hypha_cluster.commands.output import show_json, show_table
from hypha_cluster.commands.target import Hub

COLUMNS = ("SERVICE", "NAME", "TYPE", "VISIBILITY", "DESCRIPTION")


def services(
    workspace: str = "public",
    /,
    *,
    server_url: str = "",
    token_file: Path | None = None,
    json: bool = False,
) -> None:
    """List the services of a workspace, under the ids that `call` takes.

    For example:

    ```sh
    hypha-cluster services
    hypha-cluster services ws-1 --token-file ~/.hypha-token --json
    ```

    Parameters
    ----------
    workspace
        Workspace whose services are listed; without it, the public services of all workspaces.
    server_url
        Where the hub is; without it, HYPHA_SERVER_URL, else the hub of these settings on this
        machine.
    token_file
        File with the token of the user who asks; without it, HYPHA_TOKEN, else an anonymous user.
    json
        Print all that is known of them, for programs.
    """
    found = Hub(server_url, token_file).ask("GET", f"{quote(workspace)}/services")
    found = [{**each, "id": _full(workspace, str(each["id"]))} for each in found]
    if json:
        show_json(found)
    else:
        show_table(COLUMNS, [_row(service) for service in found], "No service is there.")


def _full(workspace: str, service_id: str) -> str:
    """An id as `call` takes it: the hub leaves out the workspace that it was asked for."""
    return service_id if "/" in service_id else f"{workspace}/{service_id}"


def _row(service: dict[str, Any]) -> tuple[str, ...]:
    config = service.get("config") or {}
    name, kind = service.get("name", ""), service.get("type", "")
    about = str(service.get("description") or service.get("docs") or "").split("\n", 1)[0]
    return str(service["id"]), str(name), str(kind), str(config.get("visibility", "")), about
