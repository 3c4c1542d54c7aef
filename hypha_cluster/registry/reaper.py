"""Cleans up after dead nodes, and removes clients that stay away; every node does it.

Each change compares first what is there, so two nodes may do the same at once. No client stops the
others: while a part of Redis is away, its clients wait for a later turn.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

from hypha_cluster.links.client import RedisClient
from hypha_cluster.protocol.limits import ORPHANS, ORPHANS_AT_ONCE, OVERDUE, SUSPENDED_AT_ONCE
from hypha_cluster.registry.apart import apart
from hypha_cluster.registry.clients import ClientRegistry
from hypha_cluster.registry.departed import Departure
from hypha_cluster.registry.encoding import batches
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.nodes import Dead, Nodes
from hypha_cluster.registry.suspensions import Suspension, Tenure
from hypha_cluster.registry.unheard import Unheard

_log = logging.getLogger(__name__)

_LONG: Final = 60.0  # seconds; so long is a node taken to be dead of which nothing is known


class Verdicts(NamedTuple):
    """The nodes that are gone, and those that have their lease again: they were not dead."""

    ended: list[str]
    misjudged: list[str]


class Reaper:
    """Suspends the clients of dead nodes, and removes clients whose suspension has ended.

    grace: seconds that a suspended client keeps its place.
    """

    def __init__(
        self,
        redis: RedisClient,
        keys: Keys,
        registry: ClientRegistry,
        nodes: Nodes,
        unheard: Unheard,
        grace: float,
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._registry = registry
        self._suspensions = registry.suspensions
        self._nodes = nodes
        self._unheard = unheard
        self._grace = grace

    async def clean_up(self, own: str) -> Verdicts:
        """Suspend the clients of dead nodes, so many of each in one turn (ORPHANS in limits.py).

        own: this node, which is not dead whatever its lease says.
        """
        dead = [node for node in await self._nodes.dead() if node.name != own]
        cleaned = await apart("Clients of dead nodes", map(self._clean_up_after, dead))
        return Verdicts(
            ended=[name for name, is_alive in cleaned if not is_alive],
            misjudged=[name for name, is_alive in cleaned if is_alive],
        )

    async def _clean_up_after(self, node: Dead) -> tuple[str, bool]:
        """Return its name, and whether it is alive after all."""
        await self.succeed(node.name, silent=node.silent)
        return node.name, await self._nodes.is_alive(node.name)

    async def succeed(self, name: str, *, silent: float = 0.0) -> None:
        """Suspend whoever is still attached to a node that is gone, or about to go.

        silent: seconds since it was last heard of.
        """
        key, seen, suspended = self._keys.node_clients(name), 0, 0
        while seen < ORPHANS and (members := await self._redis.srandmember(key, ORPHANS_AT_ONCE)):
            seen += len(members)
            groups = self._groups([Tenure.of(member) for member in members])
            works = (self._suspend(group, silent) for group in groups)
            outcomes = await apart(f"Clients of node {name}", works)
            suspended += sum(outcomes)
            if len(outcomes) < len(groups):
                break  # a part of Redis is away; the next turn chooses others
        if suspended:
            _log.info("Node %s is gone; %d of its clients are suspended.", name, suspended)
        if not await self._redis.exists(key):
            await self._nodes.forget(name)

    async def suspend_unheard(self) -> None:
        """Suspend clients that were called and are attached to nodes without a lease."""
        by_node: defaultdict[str, list[Tenure]] = defaultdict(list)
        for tenure in await self._unheard.take_dead():
            by_node[tenure.node].append(tenure)
        for node, tenures in by_node.items():
            silent = await self._nodes.silent(node)
            if silent is None:  # it was cleaned up after long ago
                silent = min(_LONG, self._grace / 2)
            works = (self._suspend(group, silent) for group in self._groups(tenures))
            await apart(f"Clients of node {node}", works)

    def _groups(self, tenures: Sequence[Tenure]) -> list[Sequence[Tenure]]:
        """Clients that one script can suspend."""
        in_slots = self._redis.by_slot(tenures, lambda each: self._keys.client(each.address))
        return [group for in_slot in in_slots for group in batches(in_slot, SUSPENDED_AT_ONCE)]

    async def _suspend(self, tenures: Sequence[Tenure], silent: float) -> int:
        """Suspend clients in one slot, finish what they have begun; return how many they are."""
        outcomes = await self._suspensions.begin(tenures, grace=self._grace, age=silent)
        for tenure, outcome in zip(tenures, outcomes, strict=True):
            if outcome is Suspension.ELSEWHERE:
                await self._registry.leave(tenure.address, tenure.holder)
        return outcomes.count(Suspension.DONE)

    async def remove_overdue(self) -> list[Departure]:
        """Remove clients whose suspension has ended."""
        due = await self._suspensions.ended.take(OVERDUE)
        works = (self._registry.expire(address, due.time) for address in due.addresses)
        removed = await apart("Clients that did not come back", works)
        return [departure for departure in removed if departure is not None]
