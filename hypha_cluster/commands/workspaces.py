"""`hypha-cluster workspaces`."""

import asyncio
from typing import Any

from hypha_cluster.commands.output import show_json, show_table
from hypha_cluster.commands.target import Cluster, cluster
from hypha_cluster.registry.workspaces import Workspaces

COLUMNS = ("WORKSPACE", "CLIENTS", "VISIBILITY", "PERSISTENT", "OWNERS")


def workspaces(*, json: bool = False) -> None:
    """List the workspaces of a cluster, with how many clients each has.

    For example:

    ```sh
    hypha-cluster workspaces --redis-url redis://redis.example
    hypha-cluster workspaces --json
    ```

    Parameters
    ----------
    json
        Print all that is known of them, for programs.
    """
    found = asyncio.run(_found())
    if json:
        show_json(found)
    else:
        rows = [
            (
                each["name"],
                str(each["client_count"]),
                each["visibility"],
                "yes" if each["persistent"] else "no",
                " ".join(each["owners"]),
            )
            for each in found
        ]
        show_table(COLUMNS, rows, "No workspace is there.")


async def _found() -> list[dict[str, Any]]:
    async with cluster() as target:
        names = await Workspaces(target.redis, target.keys).names()
        found = [await _about(target, name) for name in sorted(names)]
        return [each for each in found if each]


async def _about(target: Cluster, name: str) -> dict[str, Any]:
    workspace = await Workspaces(target.redis, target.keys).find(name)
    if workspace is None:
        return {}
    return {
        **workspace.to_wire(),
        "client_count": await target.redis.scard(target.keys.clients(name)),
    }
