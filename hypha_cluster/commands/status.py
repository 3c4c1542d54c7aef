"""`hypha-cluster status`."""

import asyncio
import sys
import time
from contextlib import suppress
from typing import Annotated

from cyclopts import Parameter

from hypha_cluster.commands.output import plain_table, rich_table, show_json, show_table
from hypha_cluster.commands.target import cluster
from hypha_cluster.registry.nodes import NodeInfo, list_nodes
from hypha_cluster.serving.logs import wants_colour

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
        Print a list of objects, for programs.
    watch
        Go on until Ctrl-C.
    every
        Seconds between two looks of --watch.
    """
    if watch:
        with suppress(KeyboardInterrupt):
            _watch(every)
    elif json:
        show_json([node._asdict() for node in asyncio.run(nodes())])
    else:
        show_table(COLUMNS, _rows(asyncio.run(nodes())), NOTHING)


async def nodes() -> list[NodeInfo]:
    async with cluster() as target:
        return await list_nodes(target.redis, target.keys)


def _watch(every: float) -> None:
    if not wants_colour(sys.stdout):
        while True:
            rows = _rows(asyncio.run(nodes()))
            sys.stdout.write(plain_table([COLUMNS, *rows]) + "\n")
            sys.stdout.flush()
            time.sleep(every)
    from rich.live import Live

    with Live(rich_table(COLUMNS, _rows(asyncio.run(nodes()))), screen=True) as live:
        while True:
            time.sleep(every)
            live.update(rich_table(COLUMNS, _rows(asyncio.run(nodes()))))


def _rows(found: list[NodeInfo]) -> list[tuple[str, ...]]:
    return [row(node, time.time()) for node in found]


def row(node: NodeInfo, now: float) -> tuple[str, ...]:
    """What is shown of a gateway."""
    state = "draining" if node.draining else "no lease" if not node.alive else "ready"
    up = f"{max(0, now - node.started):.0f} s" if node.alive else "-"
    return node.name, node.address, node.version, up, str(node.clients), state
