"""Clients that have left for good: what follows in other slots than that of their workspace.

The script that removes a client notes in the same slot what has to follow (`Keys.departed`).
Whoever finds such a note does what it says, even if that was done before: a reply may be lost, or a
node die, in between. In the end the note is removed, and then the lists that led to it.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hypha_cluster.links.client import RedisClient, Reply, Word, settled
from hypha_cluster.protocol.address import workspace_of
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.public import NOT_LISTED, PublicListing
from hypha_cluster.registry.scripts import Script
from hypha_cluster.registry.suspensions import Suspensions, Tenure


class Departure(NamedTuple):
    """A client that has left for good.

    end, away: when its suspension was to end, and when it was to count as away, in ms; 0 if it was
    not suspended.
    """

    address: str
    user: str
    node: str
    holder: str
    end: int = 0
    away: int = 0


class Remains(NamedTuple):
    """What is left of a client, as leave.lua returns it.

    is_there: whether there is such a client, perhaps a newer one. end: of its suspension, in ms; 0
    when it is not suspended. unsettled: ids of services about which the public listing may be
    wrong. departures: those that are to be finished.
    """

    address: str
    is_there: bool
    end: int
    has_workspace: bool
    unsettled: Sequence[str]
    departures: Sequence[Departure]

    @classmethod
    def read(cls, address: str, answer: Sequence[Any]) -> "Remains":
        is_there, end, has_workspace, many = answer[:4]
        unsettled = [service.decode() for service in answer[4 : 4 + many]]
        notes = zip(answer[4 + many :: 2], answer[5 + many :: 2], strict=True)
        departures = [_departure(address, holder.decode(), note) for holder, note in notes]
        return cls(address, bool(is_there), end, bool(has_workspace), unsettled, departures)


def _departure(address: str, holder: str, note: bytes) -> Departure:
    user, node, end, away = json.loads(note)
    return Departure(address, user, node, holder, int(end), int(away))


class Departures:
    """Finishes departures.

    on_departure: called with the address of each client that this node finds to have left for good;
    again, if the departure was not finished the first time.
    """

    def __init__(
        self,
        redis: RedisClient,
        keys: Keys,
        public: PublicListing,
        suspensions: Suspensions,
        on_departure: Callable[[str], None],
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._public = public
        self._on_departure = on_departure
        self._suspensions = suspensions
        self._depart = Script(redis, "depart")
        self._finish = Script(redis, "finish")
        self._forget_user = Script(redis, "forget_user")

    async def finish(self, remains: Remains) -> None:
        """Do what has to follow."""
        address = remains.address
        if remains.departures and not remains.is_there:
            self._on_departure(address)
        if remains.unsettled:
            await self._public.settle(address, dict.fromkeys(remains.unsettled, NOT_LISTED))
        if remains.departures:
            at_once = self._redis.is_single
            await (self._forget_at_once(remains) if at_once else self._forget(remains))

    def _forget_at_once(self, remains: Remains) -> Reply[None]:
        keys, workspace = self._keys, workspace_of(remains.address)
        lists = [keys.workspaces(), keys.suspended(), keys.away()]
        names = [keys.departed(remains.address), keys.workspace(workspace), *lists]
        words: list[Word] = [remains.address, workspace]
        for each in remains.departures:
            tenure = Tenure(each.address, each.holder)
            names += [keys.user(each.user), keys.node_clients(tenure.node)]
            words += [each.holder, each.end, each.away]
        return self._depart(keys=names, args=words)

    async def _forget(self, remains: Remains) -> None:
        """The same step by step, where the keys may be at several servers."""
        keys, redis, address = self._keys, self._redis, remains.address
        workspace = workspace_of(address)
        follow = [
            self._forget_user(keys=[keys.user(each.user)], args=[address, each.holder])
            for each in remains.departures
        ]
        if not remains.has_workspace:
            follow.append(redis.srem(keys.workspaces(), workspace))
        await settled(follow)
        holders = [each.holder for each in remains.departures]
        has_workspace = await self._finish(
            keys=[keys.departed(address), keys.workspace(workspace)], args=holders
        )
        if has_workspace and not remains.has_workspace:  # it was made anew meanwhile
            await redis.sadd(keys.workspaces(), workspace)
        await settled(self._leads(remains))

    def _leads(self, remains: Remains) -> list[Reply[Any]]:
        """Forget what led to the note."""
        replies: list[Reply[Any]] = []
        for each in remains.departures:
            replies.append(self._suspensions.forget(Tenure(each.address, each.holder)))
            if each.end:
                replies += self._suspensions.over(each.address, end=each.end, away=each.away)
        return replies
