"""`hypha-cluster status`."""

import time
from typing import Annotated, Any

from cyclopts import Parameter

from hypha_cluster.commands import watching
from hypha_cluster.commands.output import show_json, show_table
from hypha_cluster.commands.target import cluster
from hypha_cluster.commands.watching import View
from hypha_cluster.registry.nodes import NodeInfo, list_nodes

COLUMNS = ("GATEWAY", "ADDRESS", "VERSION", "UP", "CLIENTS", "STATE")
NOTHING = "No gateway is running."


def status(
    *,
    json: bool = False,
    watch: bool = False,
    every: Annotated[float, Parameter(show_default=True)] = 2.0,
) -> None:
    """Print the gateways of a cluster: their clients, and whether they are ready.

    For example:

    ```sh
    hypha-cluster status --redis-url redis://redis.example
    hypha-cluster status --watch
    ```

    Parameters
    ----------
    json
        Print a list of objects, for programs; with --watch one line for each look.
    watch
        Go on until Ctrl-C.
    every
        Seconds between two looks of --watch.
    """
    view = View(COLUMNS, _records, _row)
    if watch:
        watching.watch(view, every, as_json=json)
    elif json:
        show_json(view.found())
    else:
        show_table(COLUMNS, view.rows(view.found()), NOTHING)


async def _records() -> list[dict[str, Any]]:
    return [node._asdict() for node in await nodes()]


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    return row(NodeInfo(**record), time.time())


async def nodes() -> list[NodeInfo]:
    async with cluster() as target:
        return await list_nodes(target.redis, target.keys)


def row(node: NodeInfo, now: float) -> tuple[str, ...]:
    """What is shown of a gateway."""
    state = "draining" if node.draining else "no lease" if not node.alive else "ready"
    up = f"{max(0, now - node.started):.0f} s" if node.alive else "-"
    return node.name, node.address, node.version, up, str(node.clients), state
