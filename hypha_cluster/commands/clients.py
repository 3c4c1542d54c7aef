"""`hypha-cluster clients`."""

import asyncio
from typing import Any

from hypha_cluster.commands.output import show_json, show_table
from hypha_cluster.commands.target import cluster
from hypha_cluster.registry.census import about_clients, addresses_of
from hypha_cluster.registry.workspaces import Workspaces

COLUMNS = ("CLIENT", "STATE", "GATEWAY", "USER", "SERVICES")


def clients(workspace: str = "", /, *, json: bool = False) -> None:
    """List the clients of a workspace, or of all.

    A *suspended* client has lost its connection; the hub keeps its place for a while.

    For example:

    ```sh
    hypha-cluster clients
    hypha-cluster clients ws-1 --json
    ```

    Parameters
    ----------
    workspace
        Workspace whose clients are listed; without it, the clients of all workspaces.
    json
        Print a list of objects, for programs.
    """
    found = asyncio.run(_found(workspace))
    if json:
        show_json(found)
    else:
        rows = [tuple(str(value) for value in each.values()) for each in found]
        show_table(COLUMNS, rows, "No client is there.")


async def _found(workspace: str) -> list[dict[str, Any]]:
    async with cluster() as target:
        redis, keys = target.redis, target.keys
        names = [workspace] if workspace else await Workspaces(redis, keys).names()
        found = await about_clients(redis, keys, await addresses_of(redis, keys, names))
        return [each._asdict() for each in found]
