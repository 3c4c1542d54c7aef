"""Clients whose record says *online*, but which did not hear a call: does their node live?

Their node may have died a moment ago, while its lease lasts; or only the record is left. So the
node that has put the call into the mailbox looks until that is clear.
"""

import time
from collections.abc import Callable
from typing import Final

from hypha_cluster.links.client import RedisClient
from hypha_cluster.protocol.limits import UNHEARD
from hypha_cluster.registry.apart import apart
from hypha_cluster.registry.keys import HOLDER, Keys
from hypha_cluster.registry.suspensions import Tenure

LOOK_FOR: Final = 30.0  # seconds; then a node without a lease would have been cleaned up after


class Unheard:
    """Addresses to which a call was not delivered, though they look attached."""

    def __init__(
        self, redis: RedisClient, keys: Keys, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._clock = clock
        self._since: dict[str, float] = {}

    def add(self, address: str) -> None:
        """Look after a client; if they are too many, calls to others wait for the node's lease."""
        if len(self._since) < UNHEARD:
            self._since.setdefault(address, self._clock())

    async def take_dead(self) -> list[Tenure]:
        """Take those whose nodes have no lease; forget those that are attached, or gone."""
        found = await apart("Clients that were called", map(self._find, list(self._since)))
        dead = [tenure for tenure in found if tenure is not None]
        for tenure in dead:
            self._since.pop(tenure.address, None)
        self._forget_old()
        return dead

    async def _find(self, address: str) -> Tenure | None:
        """The tenure of an address whose node has no lease; None for any other."""
        state, holder = await self._redis.hmget(self._keys.client(address), "state", HOLDER)
        if state != b"online" or holder is None:
            self._since.pop(address, None)
            return None
        tenure = Tenure(address, holder.decode())
        return None if await self._redis.exists(self._keys.node(tenure.node)) else tenure

    def _forget_old(self) -> None:
        now = self._clock()
        for address, since in list(self._since.items()):
            if now - since > LOOK_FOR:
                del self._since[address]
