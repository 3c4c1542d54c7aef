"""`hypha-cluster apps`."""

import asyncio
from typing import Any

from hypha_cluster.commands.output import show_json, show_table
from hypha_cluster.commands.target import cluster
from hypha_cluster.registry.apps import Apps
from hypha_cluster.registry.instances import Instances

INSTALLED = ("APP", "NAME", "VERSION", "OWNER", "FILES")
RUNNING = ("INSTANCE", "APP", "STATE", "RUNNER", "RESTARTS", "REASON")
_WIDTH = 60  # characters of a reason


def apps(workspace: str = "", /, *, installed: bool = False, json: bool = False) -> None:
    """List the server apps that run, of a workspace or of all; or those that are installed.

    For example:

    ```sh
    hypha-cluster apps
    hypha-cluster apps ws-1 --installed --json
    ```

    Parameters
    ----------
    workspace
        Whose apps; those of all workspaces, if none is named.
    installed
        List what is installed, not what runs.
    json
        Print a list of objects, for programs.
    """
    found = asyncio.run(_installed(workspace) if installed else _running(workspace))
    rows = [[_short(value) for value in each.values()] for each in found]
    if json:
        show_json(found)
    elif installed:
        show_table(INSTALLED, rows, "No app is installed.")
    else:
        show_table(RUNNING, rows, "No app runs.")


def _short(value: Any) -> str:
    line = " ".join(str(value).split())
    return line if len(line) <= _WIDTH else f"{line[:_WIDTH]}…"


async def _installed(workspace: str) -> list[dict[str, Any]]:
    async with cluster() as target:
        apps = Apps(target.redis, target.keys)
        names = [workspace] if workspace else await apps.workspaces()
        return [
            {
                "app": app.id,
                "name": app.name,
                "version": app.version,
                "owner": app.owner,
                "files": len(app.files),
            }
            for name in names
            for app in await apps.of_workspace(name)
        ]


async def _running(workspace: str) -> list[dict[str, Any]]:
    async with cluster() as target:
        return [
            {
                "instance": each.address,
                "app": each.app_id,
                "state": str(each.state),
                "runner": each.runner,
                "restarts": each.restarts,
                "reason": each.reason,
            }
            for each in await Instances(target.redis, target.keys).all()
            if workspace in ("", each.workspace)
        ]
