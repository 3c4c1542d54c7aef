"""Gateways on a Redis Cluster: slots move, primaries die, replicas take over."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hypha_cluster.features.launcher.starting import page_user
from hypha_cluster.identity.access import Identity
from hypha_cluster.identity.page_seals import PageSeals
from hypha_cluster.links.servers import slot_of
from hypha_cluster.registry.apps import App, Apps
from hypha_cluster.registry.instance import HELD, ProbeTimes, Scale, State, Wanted, files_ticket
from hypha_cluster.registry.instance_calls import InstanceCalls
from hypha_cluster.registry.instance_pages import InstancePages
from hypha_cluster.registry.instance_probes import InstanceProbes
from hypha_cluster.registry.instances import Instances
from hypha_cluster.registry.kept_apps import KeptApps
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import open_redis
from tests.call_loop import CallLoop
from tests.conftest import GatewayFactory
from tests.gateways import SECOND, Gateway
from tests.raw_client import RawClient
from tests.redis_groups import RedisCluster
from tests.redis_servers import RedisServer, eventually

HEALING = 8 * SECOND  # 1.5 s until the others see it, 1 or 2 until a replica is promoted
AT_ONCE = 0.3 * SECOND

Report = Callable[[str, object], None]
Failure = Callable[[RedisCluster, RedisServer], None]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    with RedisCluster(tmp_path / "redis") as cluster:
        yield cluster


@pytest.fixture
def gateways(cluster: RedisCluster, gateway_factory: GatewayFactory) -> tuple[Gateway, Gateway]:
    return gateway_factory(redis_url=cluster.url), gateway_factory(redis_url=cluster.url)


@asynccontextmanager
async def calling(gateways: tuple[Gateway, Gateway]) -> AsyncIterator[tuple[CallLoop, int]]:
    """Run a loop of calls between two gateways, and say in which slot its provider is."""
    async with (
        await RawClient.connect(gateways[0].url) as provider,
        await RawClient.connect(gateways[1].url) as caller,
    ):
        service = await provider.offer("echo", visibility="public", echo=lambda value: value)
        async with CallLoop(caller, provider, "echo") as loop:
            await loop.goes_on()
            yield loop, slot_of(b"{" + provider.workspace.encode() + b"}")
        found = await caller.manager("get_service", service)
    assert found["id"].endswith("echo")
    assert loop.executed_twice() == set()


async def test_workspaces_are_on_all_shards(
    cluster: RedisCluster, gateways: tuple[Gateway, Gateway]
) -> None:
    owners: set[RedisServer] = set()
    while len(owners) < 3:
        async with await RawClient.connect(gateways[0].url) as provider:
            await provider.offer("echo", visibility="public", echo=lambda value: value)
            owners.add(cluster.owner(slot_of(b"{" + provider.workspace.encode() + b"}")))
            async with await RawClient.connect(gateways[1].url) as caller:
                assert await caller.call(provider.address, "services.echo.echo", 42) == 42
                found = await caller.manager("get_service", f"{provider.address}:echo")
                assert found["id"].endswith("echo")

    for primary in owners:
        clients = primary.ask("CLIENT LIST")
        assert len([each for each in clients if each["name"].startswith("hypha")]) <= 4 * 2


async def test_apps_live_their_lives_on_a_cluster(cluster: RedisCluster) -> None:
    """What each script of theirs works with is in one slot."""
    redis, keys, seals = open_redis(cluster.url, 5.0), Keys("hypha"), PageSeals("shared")
    await redis.start()
    instances, runner = Instances(redis, keys), Instances(redis, keys, with_pages=False)
    pages = InstancePages(redis, keys, seals, instances)
    apps, kept, calls = (
        Apps(redis, keys),
        KeptApps(redis, keys, seals),
        InstanceCalls(redis, keys, "n"),
    )
    user = page_user(Identity("ann", is_anonymous=False), "ann")
    scale = Scale(least=1, most=3, idle=30.0)
    wanted = Wanted("ann", "", "adder", "Adder", user, "default", 60.0, ProbeTimes(0, 0, 5), scale)

    await apps.install(App("ann", "adder", {"name": "a"}, {}, "ann", 1, {}), {}, {"source": "s"})
    await kept.keep(wanted)
    (unasked,) = await kept.see_to()
    asked, _ = await pages.ask(wanted._replace(client="mine"), shared=False)
    assert {*await runner.see_to("r", 2)} == {unasked, asked}
    ticket = await runner.issue_ticket(await runner.get(asked))
    assert ticket
    assert (await pages.admit(asked, ticket)).id == user.id
    files = files_ticket(await runner.get(asked), 1)
    assert await pages.opens(files, "ann/adder") == 1
    await runner.change(asked, HELD, State.RUNNING, due=10, epoch=1)
    assert await calls.report({asked: 99}) == {asked}
    assert [turn.address for turn in await InstanceProbes(redis, keys).due()] == [asked]
    await pages.bar(unasked, "It may not come in.")
    for each in await instances.of_workspace("ann"):
        await instances.forget(each.address)
        await runner.change(each.address, frozenset((State.STOPPING,)), State.STOPPED)
    await apps.uninstall("ann", "adder")
    await instances.see_to()

    assert await instances.of_workspace("ann") == []
    assert (await instances.count()).runners == 1
    await redis.aclose()


@pytest.mark.chaos
async def test_calls_go_on_while_a_slot_moves(
    cluster: RedisCluster, gateways: tuple[Gateway, Gateway], record_property: Report
) -> None:
    async with calling(gateways) as (loop, slot):
        source = cluster.owner(slot)
        target = next(each for each in cluster.servers[:3] if each is not source)
        began = time.monotonic()

        await asyncio.to_thread(cluster.begin_move, slot, source, target)
        await loop.goes_on(count=50)
        await asyncio.to_thread(cluster.move_keys, slot, source, target)
        await loop.goes_on(count=50)
        await asyncio.to_thread(cluster.end_move, slot, source, target)
        await loop.goes_on(count=100)
        await asyncio.to_thread(cluster.move_slot, slot, target, source)
        await loop.goes_on(count=100)

    record_property("healed", f"{loop.healed_after(began):.2f} s")
    record_property("failures", loop.failures())
    assert loop.failures().startswith("0 of")


def kill(_: RedisCluster, primary: RedisServer) -> None:
    primary.kill()


def freeze(_: RedisCluster, primary: RedisServer) -> None:
    primary.freeze()


def replace(cluster: RedisCluster, primary: RedisServer) -> None:
    cluster.replica_of(primary).ask("CLUSTER", "FAILOVER")


@pytest.mark.chaos
@pytest.mark.parametrize("fail", [kill, freeze, replace])
async def test_calls_go_on_with_another_primary(
    cluster: RedisCluster,
    gateways: tuple[Gateway, Gateway],
    fail: Failure,
    record_property: Report,
) -> None:
    async with calling(gateways) as (loop, slot):
        primary = cluster.owner(slot)

        began = time.monotonic()
        await asyncio.to_thread(fail, cluster, primary)

        replica = cluster.replica_of(primary)
        await asyncio.to_thread(eventually, lambda: replica.ask("ROLE")[0] == "master", "a primary")
        await loop.goes_on(count=200)
        if fail is freeze:
            primary.thaw()
            await loop.goes_on(count=200)

    record_property("healed", f"{loop.healed_after(began):.2f} s")
    record_property("failures", loop.failures())
    assert loop.healed_after(began) < HEALING
    # What a frozen primary had in hand, it passes on to its replica when it is thawed.
    in_hand = {call.number for call in loop.calls if abs(call.begun - began) < AT_ONCE}
    assert loop.executed_after_failing() <= (in_hand if fail is freeze else set())
