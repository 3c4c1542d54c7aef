"""`hypha-cluster apps`: lists server apps; what users do with them is in `using_apps`."""

import asyncio
from typing import Any, Final

from cyclopts import App, Parameter

from hypha_cluster.commands import using_apps
from hypha_cluster.commands.output import show_json, show_table
from hypha_cluster.commands.target import cluster
from hypha_cluster.registry.apps import Apps
from hypha_cluster.registry.instances import Instances

_WIDTH: Final = 60  # characters of a reason

ASKS: Final = (
    "`list` asks a hub that runs if `--server-url` or `--token-file` is given, else the store of a "
    "cluster (`--redis-url` and `--redis-prefix`, or `--data-dir`). All others ask a hub."
)


def build() -> App:
    """The command with those below it; by itself it lists."""
    app = App(
        name="apps",
        default_parameter=Parameter(negative=(), show_default=False),
        help="List server apps, install, start, stop and watch them.",
        help_epilogue=ASKS,
    )
    app.default(listing)
    app.command(listing, name="list")
    for function in using_apps.COMMANDS:
        app.command(function)
    return app


def listing(
    workspace: str = "",
    /,
    *,
    installed: bool = False,
    asking: using_apps.Asking = using_apps.ASKING,
) -> None:
    """List the server apps that run, of a workspace or of all; or those that are installed.

    With --server-url or --token-file it asks a hub, as that user; else the store of a cluster,
    which also knows the owner and the newest version of what is installed.

    For example:

    ```sh
    hypha-cluster apps
    hypha-cluster apps list ws-1 --installed --json
    hypha-cluster apps list --server-url https://hub.example --token-file ~/.hypha-token
    ```

    Parameters
    ----------
    workspace
        Whose apps; without it, the store lists those of all workspaces, a hub the user's own.
    installed
        List what is installed, instead of what runs.
    """
    if asking.names_hub:
        found = _described(using_apps.found(asking, workspace, installed=installed), installed)
    else:
        found = asyncio.run(_installed(workspace) if installed else _running(workspace))
    if asking.json:
        show_json(found)
        return
    columns = [name.upper() for name in (found[0] if found else ())]
    rows = [[_short(value) for value in each.values()] for each in found]
    show_table(columns, rows, "No app is installed." if installed else "No app runs.")


def _described(answer: list[dict[str, Any]], installed: bool) -> list[dict[str, Any]]:
    """What a hub has answered, as it is listed; it names no owner, and no number of a version."""
    if installed:
        return [
            {
                "app": app["id"],
                "name": app["name"],
                "files": 1 + len(app.get("attachments", {}).get("files", ())),
            }
            for app in answer
        ]
    return [
        {
            "instance": f"{each['workspace']}/{each['id']}",
            "app": each["app_id"],
            "state": each["state"],
            "runner": each.get("runner", ""),  # older hubs do not say
            "restarts": each["restarts"],
            "reason": each["reason"],
        }
        for each in answer
    ]


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
