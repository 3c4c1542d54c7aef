"""Node leases: who is alive, and until when that is known."""

import asyncio
import json
import secrets
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final, NamedTuple

from hypha_cluster.errors import Conflict
from hypha_cluster.links.client import RedisClient, Word, settled
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import Script

_LOOK: Final = 0.25  # seconds between two looks whether a lease is renewed
_SILENCE: Final = (
    2.5  # intervals without a renewal, after which a process of the same name may begin
)


class NodeInfo(NamedTuple):
    """What the others know of a node; of one without a lease, no more than its name.

    public_url: where users reach the hub, if the node was told.
    """

    name: str
    clients: int
    alive: bool
    address: str = "-"
    started: int = 0  # Unix time
    version: str = "-"
    draining: bool = False
    public_url: str = ""


class Renewal(IntEnum):
    """What came of renewing a lease."""

    RENEWED = 1
    ENDED = 0  # a node without a lease must start afresh
    TAKEN = -1  # another process goes by the name


class Dead(NamedTuple):
    """A node whose lease has ended. silent: seconds since it was last heard of."""

    name: str
    silent: float


class Nodes:
    """Keeps this node's lease, and knows whose have ended.

    ttl: seconds that a lease lasts. interval: seconds after which it is renewed.
    """

    def __init__(self, redis: RedisClient, keys: Keys, *, ttl: float, interval: float) -> None:
        self._redis = redis
        self._keys = keys
        self._ttl = ttl
        self._ms = int(ttl * 1000)
        # What is left of a lease that should have been renewed twice since.
        self._stale = int(max(0.0, ttl - _SILENCE * interval) * 1000)
        # So that two processes of one name do not share a lease.
        self._epoch = secrets.token_hex(8)
        self._take = Script(redis, "take_lease")
        self._renew = Script(redis, "renew_lease")
        self._drop = Script(redis, "drop_lease")
        self._note = Script(redis, "note_lease")
        self._ended = Script(redis, "ended_leases")

    async def wait_for(self, name: str) -> None:
        """Wait until the lease that an earlier process of this name may have left can be taken.

        Conflict when it is renewed meanwhile.
        """
        key = self._keys.node(name)
        left = await self._redis.pttl(key)
        while left > self._stale:
            await asyncio.sleep(min(_LOOK, (left - self._stale) / 1000))
            before, left = left, await self._redis.pttl(key)
            if left > before:
                raise _in_use(name, await self._redis.hget(key, "about"))

    async def take_lease(self, name: str, about: Mapping[str, Any]) -> None:
        """Take the lease of a name; Conflict when another process has it.

        about: address, version, started, draining, public_url.
        """
        noted = self._note([self._keys.leases()], [name, self._ms])
        lease: list[Word] = [self._epoch, json.dumps(about), self._ms, self._stale]
        holder: bytes | None = await self._take([self._keys.node(name)], lease)
        if holder is not None:
            raise _in_use(name, holder)
        await noted

    async def renew_lease(self, name: str) -> Renewal:
        noted = self._note([self._keys.leases()], [name, self._ms])
        renewal = Renewal(await self._renew([self._keys.node(name)], [self._epoch, self._ms]))
        await noted
        return renewal

    async def drop_lease(self, name: str) -> None:
        """Give the lease back; suspend all clients of the node before that."""
        if await self._drop([self._keys.node(name)], [self._epoch]):
            await self.forget(name)

    async def alive(self) -> list[NodeInfo]:
        """The nodes that hold a lease."""
        return [node for node in await list_nodes(self._redis, self._keys) if node.alive]

    async def is_alive(self, name: str) -> bool:
        return await self._redis.exists(self._keys.node(name))

    async def dead(self) -> list[Dead]:
        """The nodes that have not been cleaned up after, and whose leases have ended.

        One list has the ends of all leases, so that looking costs the same however many there are.
        """
        seeming = await self._ended([self._keys.leases()], [""])
        nodes = [
            Dead(name.decode(), ago / 1000 + self._ttl)
            for name, ago in zip(seeming[::2], seeming[1::2], strict=True)
        ]
        leases = [self._redis.exists(self._keys.node(node.name)) for node in nodes]
        return [node for node, lease in zip(nodes, await settled(leases), strict=True) if not lease]

    async def silent(self, name: str) -> float | None:
        """Seconds since a node without a lease was last heard of; None when nothing is known."""
        found = await self._ended([self._keys.leases()], [name])
        return found[1] / 1000 + self._ttl if found else None

    async def forget(self, name: str) -> None:
        """Note that a node has been cleaned up after."""
        await self._redis.zrem(self._keys.leases(), name)


def _in_use(name: str, about: bytes | None) -> Conflict:
    address = json.loads(about or b"{}").get("address", "an unknown address")
    return Conflict(
        f"another gateway called {name!r} is running, at {address}; "
        "give each a --node-name of its own"
    )


async def list_nodes(redis: RedisClient, keys: Keys) -> list[NodeInfo]:
    """All nodes that have not been cleaned up after."""
    names = sorted(name.decode() for name in await redis.zrange(keys.leases()))
    leases = [redis.hget(keys.node(name), "about") for name in names]
    counts = [redis.scard(keys.node_clients(name)) for name in names]
    answers = zip(names, await settled(leases), await settled(counts), strict=True)
    return [
        NodeInfo(name, clients, alive=lease is not None, **_known(lease or b"{}"))
        for name, lease, clients in answers
    ]


def _known(about: bytes) -> dict[str, Any]:
    """What a lease says, without what only later releases know."""
    return {key: value for key, value in json.loads(about).items() if key in NodeInfo._fields}
