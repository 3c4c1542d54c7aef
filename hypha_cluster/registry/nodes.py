"""Node leases, and the reaper of what nodes leave behind."""

import json
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from hypha_cluster.links.client import RedisClient, settled
from hypha_cluster.protocol.address import client_of
from hypha_cluster.registry.clients import ClientRegistry, Departure
from hypha_cluster.registry.keys import Keys

_log = logging.getLogger(__name__)
_MANY = 200  # clients cleaned up after in one go


class NodeInfo(NamedTuple):
    """What `hypha-cluster status` shows of a node; one without a lease has no more than a name."""

    name: str
    clients: int
    alive: bool
    address: str = "-"
    started: int = 0  # Unix time
    version: str = "-"
    draining: bool = False


class Harvest(NamedTuple):
    """What a reaper has found: clients that are gone, and nodes that were not dead after all."""

    departures: list[Departure]
    misjudged: list[str]


class Nodes:
    """Keeps this node's lease, and cleans up after nodes that lost theirs.

    lease_ttl: seconds that a lease lasts unless renewed.
    grace: seconds that a client without a node keeps its place.
    """

    def __init__(
        self,
        redis: RedisClient,
        keys: Keys,
        registry: ClientRegistry,
        *,
        lease_ttl: float,
        grace: float,
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._registry = registry
        self._lease_ttl = lease_ttl
        self._grace = grace

    async def take_lease(self, name: str, about: Mapping[str, Any]) -> None:
        """about: address, version, started (Unix time), draining."""
        lease = json.dumps(about)
        taken = self._redis.set_for(self._keys.node(name), lease, int(self._lease_ttl * 1000))
        await settled([taken, self._redis.sadd(self._keys.nodes(), name)])

    async def renew_lease(self, name: str) -> bool:
        """Say whether the lease was still there; a node without one must start afresh."""
        key = self._keys.node(name)
        return await self._redis.pexpire(key, int(self._lease_ttl * 1000))

    async def drop_lease(self, name: str) -> None:
        """Give the lease back, after whoever is still said to be attached was suspended."""
        await self.succeed(name)
        await self._redis.delete(self._keys.node(name))

    async def alive(self) -> list[NodeInfo]:
        """The nodes that hold a lease."""
        return [node for node in await list_nodes(self._redis, self._keys) if node.alive]

    async def reap(self, own: str) -> Harvest:
        """Suspend the clients of dead nodes; remove clients whose suspension has ended.

        own: the node that does it, which is not dead whatever its lease says.

        Every node does this; whatever is changed is compared first, so two may do it at once.
        """
        misjudged = []
        for name in await self._dead():
            if name != own:
                await self._clean_up_after(name)
                if await self._redis.exists(self._keys.node(name)):
                    misjudged.append(name)
        departures = []
        for address in await self._registry.overdue():
            departure = await self._registry.leave(address, "")
            if departure:
                departures.append(departure)
            else:
                await self._registry.drop_overdue(address)
        return Harvest(departures, misjudged)

    async def _dead(self) -> list[str]:
        members = await self._redis.smembers(self._keys.nodes())
        names = sorted(name.decode() for name in members)
        leases = await settled([self._redis.exists(self._keys.node(name)) for name in names])
        return [name for name, lease in zip(names, leases, strict=True) if not lease]

    async def succeed(self, name: str) -> None:
        """Clean up after an earlier node of this name: once its lease is ours, nobody else will."""
        while await self._clean_up_after(name):
            pass

    async def _clean_up_after(self, name: str) -> bool:
        """Suspend some of the clients that a node has left behind; say whether it had any."""
        key = self._keys.node_clients(name)
        addresses = await self._redis.srandmember(key, _MANY)
        for address in addresses:
            text = address.decode()
            suspended = await self._registry.suspend(text, node=name, grace=self._grace)
            _log.info("Node %s is gone; %s %s.", name, client_of(text), _fate(suspended))
            await self._redis.srem(key, address)
        if not addresses:
            await self._redis.srem(self._keys.nodes(), name)
        return bool(addresses)


def _fate(suspended: bool) -> str:
    return "is suspended" if suspended else "is elsewhere already"


async def list_nodes(redis: RedisClient, keys: Keys) -> list[NodeInfo]:
    """All nodes that have not been cleaned up after."""
    names = sorted(name.decode() for name in await redis.smembers(keys.nodes()))
    leases = [redis.get(keys.node(name)) for name in names]
    counts = [redis.scard(keys.node_clients(name)) for name in names]
    return [
        NodeInfo(
            name, await count, alive=await lease is not None, **json.loads(await lease or "{}")
        )
        for name, lease, count in zip(names, leases, counts, strict=True)
    ]
