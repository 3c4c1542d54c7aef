"""Who calls instances of apps, on all gateways together, and what comes of it.

A gateway counts in its memory, and says once in a while what it has seen; so a call costs nothing
in Redis.
"""

import secrets
from collections.abc import Mapping
from typing import Final

from hypha_cluster.links.client import RedisClient
from hypha_cluster.protocol.limits import APP_INSTANCES
from hypha_cluster.registry.encoding import flatten
from hypha_cluster.registry.instances import HISTORY, LEASE
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import Script

_HOLDS: Final = 3_000  # ms for which counts what a gateway has said


class InstanceCalls:
    """Tells what one gateway has counted. node: its name."""

    def __init__(self, redis: RedisClient, keys: Keys, node: str) -> None:
        self._node = node
        self._keys = keys
        self._tend = Script(redis, "tend_instances")

    async def report(self, calls: Mapping[str, int]) -> frozenset[str]:
        """Say which instances were called, and how many calls wait for each at this gateway.

        Thereupon an app that has too much to do gets more instances, and instances stop that nobody
        has called for too long. Return the addresses of all whose calls are counted.
        """
        keys = self._keys
        watched: list[bytes] = await self._tend(
            keys=[
                keys.watched_instances(),
                keys.instances(),
                keys.probes(),
                keys.entered_states(),
            ],
            args=[
                keys.instance(),
                keys.instances_of(),
                self._node,
                _HOLDS,
                int(LEASE * 1000),
                APP_INSTANCES,
                secrets.token_urlsafe(12),
                keys.instance_history(),
                *HISTORY,
                keys.page(),
                *flatten({address: str(many) for address, many in calls.items()}),
            ],
        )
        return frozenset(address.decode() for address in watched)
