"""Suspended clients: until when they keep their place."""

import logging
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from hypha_cluster.links.client import RedisClient, Reply, settled
from hypha_cluster.registry.deadlines import Deadlines
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import Script

_log = logging.getLogger(__name__)


class Tenure(NamedTuple):
    """An address and its holder, the connection that has, or had, it.

    It is a member of a node's list of clients.
    """

    address: str
    holder: str

    @property
    def node(self) -> str:
        return self.holder.rpartition("#")[0]

    def __str__(self) -> str:
        return f"{self.address} {self.holder}"  # neither of them has a space

    @classmethod
    def of(cls, member: bytes) -> "Tenure":
        address, _, holder = member.decode().partition(" ")
        return cls(address, holder)


class Suspension(IntEnum):
    """What came of suspending a client."""

    DONE = 1
    BEFORE = 0  # it was suspended already
    ELSEWHERE = -1  # it has another connection, or has left
    BROKEN = -2  # there is something else in its place


class Suspensions:
    """Suspends clients.

    ended: the list of when suspensions end. away: the list of when clients count as away.
    """

    def __init__(self, redis: RedisClient, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self.ended = Deadlines(redis, keys.suspended())
        self.away = Deadlines(redis, keys.away())
        self._suspend = Script(redis, "suspend")

    async def begin(
        self, tenures: Sequence[Tenure], *, grace: float, age: float = 0.0
    ) -> list[Suspension]:
        """Suspend clients, each only if it still has the connection that is meant.

        tenures: at most SUSPENDED_AT_ONCE (limits.py), all in one slot. grace: seconds for which
        they keep their place. age: seconds since their connections broke. Those that are ELSEWHERE
        stay in the lists of nodes.
        """
        answer = await self._suspend(
            keys=[self._keys.client(tenure.address) for tenure in tenures],
            args=[int(grace * 1000), int(age * 1000), *(tenure.holder for tenure in tenures)],
        )
        outcomes = [Suspension(outcome) for outcome in answer[::3]]
        ends: dict[str, int] = {}
        aways: dict[str, int] = {}
        here = []
        for tenure, outcome, end, away in zip(
            tenures, outcomes, answer[1::3], answer[2::3], strict=True
        ):
            if outcome is Suspension.BROKEN:
                _log.error("What Redis has in the place of %s is no client.", tenure.address)
                here.append(tenure)
            elif outcome is not Suspension.ELSEWHERE:
                # Also when it was suspended BEFORE: whoever did that may have died just then.
                ends[tenure.address], aways[tenure.address] = end, away
                here.append(tenure)
        if here:
            await settled([self.ended.put(ends), self.away.put(aways)])
            await settled(map(self.forget, here))
        return outcomes

    def over(self, address: str, *, end: int, away: int) -> list[Reply[Any]]:
        """Take a suspension with these times, in ms, out of the lists; leave a newer one there."""
        return [self.ended.done({address: end}), self.away.done({address: away})]

    def forget(self, tenure: Tenure) -> Reply[int]:
        """Take a connection out of its node's list: the reaper need not see to it any more."""
        return self._redis.srem(self._keys.node_clients(tenure.node), str(tenure))
