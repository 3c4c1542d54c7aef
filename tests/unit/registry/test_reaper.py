"""The reaper goes on to the end, whatever stops a part of it."""

from typing import Any

import pytest

from hypha_cluster.registry.clients import ClientRegistry
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.nodes import Nodes
from hypha_cluster.registry.public import PublicListing
from hypha_cluster.registry.reaper import Reaper, Verdicts
from hypha_cluster.registry.unheard import Unheard
from tests.fake_redis import AWAY, FakeRedis, Words

REMAINS = [0, 0, 1, 0]  # of a client that is gone, with nothing to finish


class Stage:
    """Dead nodes and their lists of clients; workspaces of which nothing can be asked."""

    def __init__(self, fake: FakeRedis, keys: Keys) -> None:
        self.fake = fake
        self.lists: dict[str, set[bytes]] = {}
        self.away: set[str] = set()
        self.leases: set[str] = set()
        self.elsewhere: set[str] = set()
        fake.answers |= {
            "ended_leases": lambda words: [
                part for name in self.lists for part in (name.encode(), 2_000)
            ],
            "exists": self._exists,
            "srandmember": lambda words: sorted(self.lists[_node(words[0])])[: words[1]],
            "srem": self._srem,
            "suspend": self._suspend,
            "leave": REMAINS,
        }
        registry = ClientRegistry(fake.client, keys, PublicListing(fake.client, keys))
        nodes = Nodes(fake.client, keys, ttl=5.0, interval=1.0)
        self.unheard = Unheard(fake.client, keys)
        self.reaper = Reaper(fake.client, keys, registry, nodes, self.unheard, grace=180.0)

    def attach(self, node: str, *addresses: str) -> None:
        members = {f"{address} {node}#1".encode() for address in addresses}
        self.lists.setdefault(node, set()).update(members)

    def _exists(self, words: Words) -> int:
        key = words[0]
        if key.endswith(":clients"):
            return int(bool(self.lists[_node(key)]))
        return int(_node(key) in self.leases)

    def _srem(self, words: Words) -> int:
        if words[0].startswith("p:node:"):
            self.lists[_node(words[0])].discard(words[1].encode())
        return 1

    def _suspend(self, words: Words) -> Any:
        clients = [word for word in words if str(word).startswith("p:{")]
        if any(workspace in clients[0] for workspace in self.away):
            return AWAY
        outcomes = (-1 if client in self.elsewhere else 1 for client in clients)
        return [part for outcome in outcomes for part in (outcome, 1, 1)]

    def suspended(self) -> int:
        return sum(len(words) // 3 for words in self.fake.words("suspend"))


def _node(key: str) -> str:
    return key.split(":")[2]


@pytest.fixture
def stage(fake: FakeRedis, keys: Keys) -> Stage:
    return Stage(fake, keys)


def many(workspace: str, count: int) -> list[str]:
    return [f"{workspace}/{number}" for number in range(count)]


async def test_clients_are_suspended_a_hundred_with_one_script(stage: Stage) -> None:
    stage.attach("dead", *many("ws", 1_050))

    assert await stage.reaper.clean_up("me") == Verdicts(ended=["dead"], misjudged=[])

    assert len(stage.fake.words("suspend")) == 11
    assert stage.lists == {"dead": set()}
    assert stage.fake.words("zrem") == [("p:leases", "dead")]


async def test_they_are_away_from_the_last_sign_of_life_on(stage: Stage) -> None:
    stage.attach("dead", "ws/me")

    await stage.reaper.clean_up("me")

    (words,) = stage.fake.words("suspend")
    assert words[1:3] == (180_000, 7_000)  # the lease of 5 s had ended 2 s ago


async def test_a_node_is_not_dead_to_itself(stage: Stage) -> None:
    stage.attach("me", "ws/one")

    assert await stage.reaper.clean_up("me") == Verdicts([], [])
    assert "suspend" not in stage.fake.names


async def test_a_node_that_has_its_lease_again_is_told(stage: Stage) -> None:
    stage.attach("slow", "ws/one")
    lists = stage.fake.answers["srandmember"]

    def recovers(words: Words) -> Any:
        stage.leases.add("slow")
        return lists(words)

    stage.fake.answers["srandmember"] = recovers

    assert await stage.reaper.clean_up("me") == Verdicts(ended=[], misjudged=["slow"])


async def test_a_part_that_is_away_stops_neither_the_rest_nor_other_nodes(
    stage: Stage, fake: FakeRedis
) -> None:
    fake.servers.is_cluster = True
    stage.attach("one", *many("here", 10), *many("lost", 10))
    stage.attach("two", *many("there", 10))
    stage.away.add("{lost}")

    await stage.reaper.clean_up("me")

    assert {member.partition(b"/")[0] for member in stage.lists["one"]} == {b"lost"}
    assert stage.lists["two"] == set()
    assert fake.words("zrem") == [("p:leases", "two")]


async def test_who_is_elsewhere_may_have_something_to_finish(stage: Stage) -> None:
    stage.attach("dead", "ws/moved", "ws/here")
    stage.elsewhere.add("p:{ws}/moved")

    await stage.reaper.clean_up("me")

    (words,) = stage.fake.words("leave")
    assert words[-4:-2] == ("moved", "dead#1")
    assert stage.lists == {"dead": set()}


async def test_whom_a_call_did_not_reach_is_suspended_though_nothing_leads_there(
    stage: Stage,
) -> None:
    stage.lists = {"dead": set()}
    stage.fake.answers |= {"hmget": [b"online", b"dead#1"], "ended_leases": []}
    stage.unheard.add("ws/ghost")

    await stage.reaper.suspend_unheard()

    (words,) = stage.fake.words("suspend")
    assert words == ("p:{ws}/ghost", 180_000, 60_000, "dead#1")


async def test_those_that_stay_away_are_removed_each_by_itself(stage: Stage) -> None:
    gone = [0, 0, 1, 0, b"node#1", b'["ann","node","5","2"]']

    def leave(words: Words) -> Any:
        return AWAY if "{lost}" in words[0] else [1, 9, 1, 0] if "{early}" in words[0] else gone

    stage.lists = {"node": set()}
    stage.fake.answers |= {"due": [7, b"lost/me", b"early/me", b"ws/me"], "leave": leave}

    departures = await stage.reaper.remove_overdue()

    assert [departure.address for departure in departures] == ["ws/me"]
    assert ("p:suspended", 9, "early/me") in stage.fake.words("zadd")
    assert ("p:suspended", 7, "ws/me") in stage.fake.words("done")
