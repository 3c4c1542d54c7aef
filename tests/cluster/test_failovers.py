"""The store is a group of servers: one fails, or gives its work away, and calls go on."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hypha_cluster.links.servers import slot_of
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import StartCluster
from tests.cluster.load import Load, now
from tests.cluster.ordeal import undergo
from tests.cluster.report import Report
from tests.gateways import SECOND
from tests.raw_client import RawClient
from tests.redis_groups import RedisCluster, SentinelGroup
from tests.redis_servers import eventually

if TYPE_CHECKING:
    from tests.browser import Chromium

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.clients,
    pytest.mark.browser,
    pytest.mark.chaos,
    pytest.mark.timeout(300),
]
pytest_plugins = ["tests.browser"]

# 1 or 1.5 s until the others see that a server is gone, 1 or 2 until another one has its place,
# 5 until the last frame that was on its way is given up.
HEALED = 12 * SECOND
STEP = 1.0  # seconds of calls between two steps of a slot's move


@pytest.fixture
def sentinels(tmp_path: Path) -> Iterator[SentinelGroup]:
    with SentinelGroup(tmp_path / "redis") as group:
        yield group


@pytest.fixture
def shards(tmp_path: Path) -> Iterator[RedisCluster]:
    with RedisCluster(tmp_path / "redis") as shards:
        yield shards


def killed(group: SentinelGroup) -> None:
    group.master().kill()


def replaced(group: SentinelGroup) -> None:
    group.sentinels[0].ask("SENTINEL", "FAILOVER", group.service)


@pytest.mark.parametrize("fail", [killed, replaced])
async def test_with_sentinels_the_master_is(
    fail: Callable[[SentinelGroup], None],
    sentinels: SentinelGroup,
    start_cluster: StartCluster,
    chromium: "Chromium",
    tmp_path: Path,
    report: Report,
) -> None:
    """Three Sentinels watch a master and two replicas. Under load, the master is killed, or the
    Sentinels are told to replace it.
    """
    cluster = start_cluster(redis_url=sentinels.url)

    async def fail_over() -> float:
        master, began = sentinels.master(), now()
        await asyncio.to_thread(fail, sentinels)
        await asyncio.to_thread(eventually, lambda: sentinels.master() is not master, "a master")
        return began

    ordeal = await undergo(Load(cluster.url, tmp_path, chromium), fail_over)

    report.note(f"Sentinels: the master is {fail.__name__}", **ordeal.figures())
    ordeal.check(HEALED)


async def test_a_primary_of_three_is_killed(
    shards: RedisCluster,
    start_cluster: StartCluster,
    chromium: "Chromium",
    tmp_path: Path,
    report: Report,
) -> None:
    """Under load, the primary that has a provider's keys is killed; its replica takes its place."""
    cluster = start_cluster(redis_url=shards.url)
    load = Load(cluster.url, tmp_path, chromium)

    async def kill() -> float:
        primary = shards.owner(await _slot_of_a_provider(cluster, load))
        began = now()
        primary.kill()
        replica = shards.replica_of(primary)
        await asyncio.to_thread(eventually, lambda: replica.ask("ROLE")[0] == "master", "a primary")
        return began

    ordeal = await undergo(load, kill)

    report.note("Redis Cluster of three shards: a primary is killed", **ordeal.figures())
    ordeal.check(HEALED)


async def test_a_slot_moves_to_another_shard_and_back(
    shards: RedisCluster,
    start_cluster: StartCluster,
    chromium: "Chromium",
    tmp_path: Path,
    report: Report,
) -> None:
    """Under load, the slot of a provider is moved to another shard, and back."""
    cluster = start_cluster(redis_url=shards.url)
    load = Load(cluster.url, tmp_path, chromium)

    async def move() -> float:
        slot = await _slot_of_a_provider(cluster, load)
        source = shards.owner(slot)
        target = next(server for server in shards.servers[:3] if server is not source)
        began = now()
        for way in ((source, target), (target, source)):
            for step in (shards.begin_move, shards.move_keys, shards.end_move):
                await asyncio.to_thread(step, slot, *way)
                await load.run(STEP)
        return began

    ordeal = await undergo(load, move, STEP)

    report.note("Redis Cluster of three shards: a slot moves, and back", **ordeal.figures())
    ordeal.check(HEALED)
    assert not ordeal.history.failures(), ordeal.history.errors()


async def _slot_of_a_provider(cluster: Cluster, load: Load) -> int:
    """The slot with all that the store knows of one provider, and its channel."""
    async with await RawClient.connect(cluster.url) as watcher:
        services = await watcher.manager("list_services", "public")
    ids: list[str] = [service["id"] for service in services]
    service = next(name for name in ids if name.rpartition(":")[2] in load.providers)
    return slot_of(b"{" + service.partition("/")[0].encode() + b"}")
