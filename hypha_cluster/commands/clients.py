"""`hypha-cluster clients`."""

import asyncio
import json as json_format
from typing import Any

from hypha_cluster.commands.output import show_json, show_table
from hypha_cluster.commands.target import Cluster, cluster
from hypha_cluster.registry.workspaces import Workspaces

COLUMNS = ("CLIENT", "STATE", "GATEWAY", "USER", "SERVICES")


def clients(workspace: str = "", /, *, json: bool = False) -> None:
    """List the clients of a workspace, or of all.

    A client that is *suspended* is between two connections, and keeps its place for a while.

    For example:

    ```sh
    hypha-cluster clients
    hypha-cluster clients ws-1 --json
    ```

    Parameters
    ----------
    workspace
        Whose clients; those of all workspaces, if none is named.
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
        names = [workspace] if workspace else await Workspaces(target.redis, target.keys).names()
        found = []
        for name in sorted(names):
            for client in sorted(await target.redis.smembers(target.keys.clients(name))):
                found.append(await about(target, f"{name}/{client.decode()}"))
        return [each for each in found if each]


async def about(target: Cluster, address: str) -> dict[str, Any]:
    """What Redis knows of a client; nothing, if it has gone."""
    record = await target.redis.hgetall(target.keys.client(address))
    if not record:
        return {}
    fields = {key.decode(): value.decode(errors="replace") for key, value in record.items()}
    user = json_format.loads(fields.get("user") or "{}")
    return {
        "address": address,
        "state": fields.get("state", ""),
        "gateway": fields.get("node", ""),
        "user": user.get("email") or user.get("id") or fields.get("user_id", ""),
        "services": await target.redis.scard(target.keys.client_services(address)),
    }
