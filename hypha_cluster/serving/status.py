"""What `hypha-cluster status` prints: the gateways of a cluster, as its Redis knows them."""

import asyncio
import json
import time
from collections.abc import Sequence

from hypha_cluster.config import Config
from hypha_cluster.errors import RedisUnavailable, StartupError
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.nodes import NodeInfo, list_nodes
from hypha_cluster.registry.scripts import open_redis
from hypha_cluster.serving.embedded import running_store

COLUMNS = ("GATEWAY", "ADDRESS", "VERSION", "UP", "CLIENTS", "STATE")


def report(config: Config, *, as_json: bool) -> str:
    """A table, or a JSON list with one object a gateway."""
    nodes = asyncio.run(_nodes(config))
    if as_json:
        return json.dumps([node._asdict() for node in nodes], indent=2) + "\n"
    if not nodes:
        return "No gateway is running.\n"
    return _table([COLUMNS, *(_row(node, time.time()) for node in nodes)])


async def _nodes(config: Config) -> list[NodeInfo]:
    url = config.redis_url or running_store(config.data_dir)
    redis = open_redis(url, config.relay_timeout)
    try:
        await redis.start()
        return await list_nodes(redis, Keys(config.redis_prefix))
    except RedisUnavailable as error:
        raise StartupError(str(error)) from error
    finally:
        await redis.aclose()


def _row(node: NodeInfo, now: float) -> tuple[str, ...]:
    state = "draining" if node.draining else "no lease" if not node.alive else "ready"
    up = f"{max(0, now - node.started):.0f} s" if node.alive else "-"
    return node.name, node.address, node.version, up, str(node.clients), state


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "".join(f"{line.rstrip()}\n" for line in lines)
