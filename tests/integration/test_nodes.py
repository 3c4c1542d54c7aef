"""Nodes and their leases: what a dead node leaves is found, and cleaned up once."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from hypha_cluster.errors import Conflict
from hypha_cluster.identity.access import Identity, own_workspace
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.clients import Attachment, ClaimMode, ClientRegistry
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.nodes import Nodes, Renewal
from hypha_cluster.registry.public import PublicListing
from hypha_cluster.registry.reaper import Reaper
from hypha_cluster.registry.unheard import Unheard
from tests.failing_commands import partly_away

ANN = Identity("ann")
ABOUT: dict[str, Any] = {"address": "http://x", "started": 1, "version": "1", "draining": False}


class Cluster:
    """Some nodes' view of Redis."""

    def __init__(self, client: RedisClient, redis: Redis, keys: Keys) -> None:
        self.client = client
        self.redis = redis
        self.keys = keys
        self.registry = ClientRegistry(client, keys, PublicListing(client, keys))
        self.nodes = self.process()
        self.reaper = self.with_grace(60)

    def process(self) -> Nodes:
        """What one process knows of nodes."""
        return Nodes(self.client, self.keys, ttl=5.0, interval=1.0)

    def with_grace(self, grace: float) -> Reaper:
        return Reaper(
            self.client,
            self.keys,
            self.registry,
            self.nodes,
            Unheard(self.client, self.keys),
            grace,
        )

    async def start(self, name: str) -> None:
        await self.nodes.take_lease(name, ABOUT)

    async def crash(self, name: str) -> None:
        """What is seen of a crash when the lease has run out."""
        await self.redis.delete(self.keys.node(name))
        await self.redis.zadd(self.keys.leases(), {name: int(time.time() * 1000) - 1})

    async def attach(self, client: str, node: str, workspace: str = "ann") -> None:
        home = replace(own_workspace(ANN), name=workspace)
        holder = f"{node}#{client}"
        attachment = Attachment(f"{workspace}/{client}", client, home, ANN, holder, node)
        claim = await self.registry.claim(attachment, ClaimMode.RESUME)
        await self.registry.noted(claim)

    async def state(self, client: str) -> bytes | str | None:
        return await self.redis.hget(self.keys.client(f"ann/{client}"), "state")

    async def all_keys(self) -> list[bytes]:
        return [key async for key in self.redis.scan_iter(self.keys.everything())]


@pytest.fixture
async def cluster(redis_client: RedisClient, redis: Redis, redis_prefix: str) -> Cluster:
    return Cluster(redis_client, redis, Keys(redis_prefix))


async def test_nodes_with_a_lease_are_alive(cluster: Cluster) -> None:
    await cluster.start("a")
    await cluster.start("b")
    await cluster.attach("me", "a")

    alive = await cluster.nodes.alive()

    assert [(node.name, node.clients, node.version) for node in alive] == [
        ("a", 1, "1"),
        ("b", 0, "1"),
    ]


async def test_a_lease_is_renewed_while_it_lasts(cluster: Cluster) -> None:
    await cluster.start("a")
    assert await cluster.nodes.renew_lease("a") is Renewal.RENEWED
    assert 4_000 < await cluster.redis.pttl(cluster.keys.node("a")) <= 5_000

    await cluster.crash("a")

    assert await cluster.nodes.renew_lease("a") is Renewal.ENDED
    assert await cluster.nodes.alive() == []


async def test_two_processes_of_one_name_do_not_share_a_lease(cluster: Cluster) -> None:
    await cluster.start("a")
    other = cluster.process()

    with pytest.raises(Conflict, match=r"'a' is running, at http://x; .*--node-name"):
        await other.take_lease("a", ABOUT)

    assert await other.renew_lease("a") is Renewal.TAKEN
    assert await cluster.nodes.renew_lease("a") is Renewal.RENEWED
    await other.drop_lease("a")
    assert [node.name for node in await cluster.nodes.alive()] == ["a"]


async def test_a_process_waits_whether_the_lease_of_its_name_is_renewed(cluster: Cluster) -> None:
    await cluster.start("a")
    await cluster.redis.pexpire(cluster.keys.node("a"), 4_000)
    other, asked = cluster.process(), cluster.client.meter.commands
    waiting = asyncio.create_task(other.wait_for("a"))
    while cluster.client.meter.commands == asked:  # noqa: ASYNC110  (it tells nobody)
        await asyncio.sleep(0.001)

    await cluster.nodes.renew_lease("a")

    with pytest.raises(Conflict, match="--node-name"):
        await waiting


async def test_a_process_takes_the_lease_that_a_crash_of_its_name_has_left(
    cluster: Cluster,
) -> None:
    await cluster.start("a")
    await cluster.redis.pexpire(cluster.keys.node("a"), 2_600)
    other = cluster.process()

    await other.wait_for("a")
    await other.take_lease("a", ABOUT)

    assert await other.renew_lease("a") is Renewal.RENEWED
    assert await cluster.nodes.renew_lease("a") is Renewal.TAKEN


async def test_a_node_that_stops_leaves_nothing(cluster: Cluster) -> None:
    await cluster.start("a")

    await cluster.reaper.succeed("a")
    await cluster.nodes.drop_lease("a")

    assert await cluster.all_keys() == []


async def test_the_clients_of_a_dead_node_keep_their_place_for_a_while(cluster: Cluster) -> None:
    for name in ("dead", "alive"):
        await cluster.start(name)
    await cluster.attach("one", "dead")
    await cluster.attach("two", "alive")
    await cluster.crash("dead")

    await cluster.reaper.clean_up("alive")

    assert await cluster.reaper.remove_overdue() == []
    assert await cluster.state("one") == b"suspended"
    assert await cluster.state("two") == b"online"


async def test_those_that_do_not_come_back_are_removed(cluster: Cluster) -> None:
    await cluster.start("dead")
    await cluster.attach("one", "dead")
    await cluster.crash("dead")
    hasty = cluster.with_grace(0)

    await hasty.clean_up("x")
    departures = [*await hasty.remove_overdue(), *await hasty.remove_overdue()]

    assert [departure.address for departure in departures] == ["ann/one"]
    assert await cluster.all_keys() == []


@pytest.mark.parametrize("ahead", [200.0, -200.0])
async def test_the_clocks_of_gateways_do_not_matter(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    """Grace is judged by the clock of Redis; a gateway's own may be minutes ahead, or behind."""
    await cluster.start("dead")
    await cluster.attach("one", "dead")
    await cluster.attach("two", "other")
    await cluster.crash("dead")
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + ahead)

    await cluster.reaper.clean_up("x")
    await cluster.registry.suspend("ann/two", holder="other#two", grace=60)

    assert await cluster.reaper.remove_overdue() == []
    ends = [
        await cluster.redis.zscore(cluster.keys.suspended(), f"ann/{client}")
        for client in ("one", "two")
    ]
    assert all(end is not None and 50 < end / 1000 - real() <= 60 for end in ends)


async def test_those_that_came_back_elsewhere_are_left_alone(cluster: Cluster) -> None:
    for name in ("dead", "alive"):
        await cluster.start(name)
    await cluster.attach("me", "dead")
    await cluster.crash("dead")
    await cluster.attach("me", "alive")
    hasty = cluster.with_grace(0)

    for _ in range(3):
        await hasty.clean_up("alive")
        assert await hasty.remove_overdue() == []

    assert await cluster.state("me") == b"online"


async def test_several_nodes_may_clean_up_at_once(cluster: Cluster) -> None:
    await cluster.start("dead")
    for number in range(50):
        await cluster.attach(f"client{number}", "dead")
    await cluster.crash("dead")
    hasty = [cluster.with_grace(0) for _ in range(4)]

    gone = []
    for _ in range(4):
        await asyncio.gather(*(reaper.clean_up("x") for reaper in hasty))
        for departures in await asyncio.gather(*(reaper.remove_overdue() for reaper in hasty)):
            gone += [departure.address for departure in departures]

    assert sorted(gone) == sorted(f"ann/client{number}" for number in range(50))
    assert await cluster.all_keys() == []


async def test_more_clients_than_one_go_takes_are_cleaned_up_after(cluster: Cluster) -> None:
    await cluster.start("dead")
    for number in range(1_450):
        await cluster.attach(f"client{number}", "dead")
    await cluster.crash("dead")

    await cluster.reaper.clean_up("x")

    assert await cluster.redis.zcard(cluster.keys.suspended()) == 1_450
    assert not await cluster.redis.exists(cluster.keys.leases())


async def test_a_node_is_not_dead_to_itself(cluster: Cluster) -> None:
    await cluster.start("slow")
    await cluster.attach("me", "slow")
    await cluster.crash("slow")

    await cluster.with_grace(0).clean_up("slow")

    assert await cluster.state("me") == b"online"


async def test_looking_for_dead_nodes_costs_the_same_however_many_there_are(
    cluster: Cluster,
) -> None:
    for number in range(50):
        await cluster.start(f"node-{number}")
    before = cluster.client.operations.total()

    assert await cluster.nodes.dead() == []

    assert cluster.client.operations.total() - before == 1


async def test_one_bad_address_stops_nobody(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    await cluster.start("dead")
    for number in range(150):
        await cluster.attach(f"client{number}", "dead")
    await cluster.redis.set(cluster.keys.client("ann/bad"), "no client")
    await cluster.redis.sadd(cluster.keys.node_clients("dead"), "ann/bad dead#1")
    await cluster.redis.zadd(cluster.keys.suspended(), {"ann/bad": 0})
    await cluster.redis.zadd(cluster.keys.away(), {"ann/bad": 0})
    await cluster.crash("dead")
    hasty = cluster.with_grace(0)

    await hasty.clean_up("x")
    gone = await hasty.remove_overdue()

    assert len(gone) == 150
    assert not await cluster.redis.exists(cluster.keys.node_clients("dead"))
    assert "What Redis has in the place of ann/bad is no client." in caplog.messages


async def test_a_part_of_redis_that_is_away_stops_nobody_else(
    cluster: Cluster, valkey_url: str
) -> None:
    """The clients there come later, and are not forgotten."""
    await cluster.start("dead")
    for number in range(250):
        await cluster.attach(f"client{number}", "dead", workspace="here" if number % 2 else "there")
    await cluster.crash("dead")
    async with partly_away(valkey_url, "{there}") as client:
        partly = Cluster(client, cluster.redis, cluster.keys).with_grace(0)

        for _ in range(3):
            await partly.clean_up("x")
        gone = await partly.remove_overdue()

    assert {departure.address.partition("/")[0] for departure in gone} == {"here"}
    assert len(gone) == 125
    assert await cluster.redis.scard(cluster.keys.node_clients("dead")) == 125
    await cluster.with_grace(0).clean_up("x")
    assert len(await cluster.with_grace(0).remove_overdue()) == 125


async def test_a_suspension_that_was_cut_short_is_ended_by_another_node(cluster: Cluster) -> None:
    """The first reaper died when it had marked the client, and had not noted until when."""
    await cluster.start("dead")
    await cluster.attach("me", "dead")
    await cluster.crash("dead")
    await cluster.registry.suspend("ann/me", holder="dead#me", grace=0)
    await cluster.redis.zrem(cluster.keys.suspended(), "ann/me")
    await cluster.redis.sadd(cluster.keys.node_clients("dead"), "ann/me dead#me")

    await cluster.reaper.clean_up("x")
    await cluster.reaper.remove_overdue()

    assert await cluster.all_keys() == []
