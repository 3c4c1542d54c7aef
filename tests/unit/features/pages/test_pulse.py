"""What a gateway measures, and how times are read from counts."""

import asyncio
import json
from typing import Any

import pytest
from redis.asyncio import Redis

from hypha_cluster.features.pages import pulse
from hypha_cluster.features.pages.pulse import KEPT, Gateway, Pulse, quantile, to_wire
from hypha_cluster.links.client import RedisClient
from hypha_cluster.metrics import BOUNDS, Counts
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.nodes import NodeInfo, Nodes
from tests.gateways import SECOND


@pytest.mark.parametrize(
    ("counts", "p50", "p99"),
    [
        ([0, 0, 0], None, None),
        ([1, 0, 0], 0.5, 0.5),
        ([50, 49, 1], 0.5, 1.0),
        ([0] * len(BOUNDS) + [1], 30_000, 30_000),
    ],
)
def test_times_are_the_ends_of_buckets(
    counts: list[int], p50: float | None, p99: float | None
) -> None:
    assert quantile(counts, 0.5) == p50
    assert quantile(counts, 0.99) == p99


async def test_a_sample_says_what_happened_since_the_last(
    redis_client: RedisClient, redis_prefix: str
) -> None:
    counts = Counts()
    mine = Pulse("one", counts, redis_client, Keys(redis_prefix))
    counts.frames_local += 10
    counts.calls.observe(0.002)

    mine.measure(3)
    mine.measure(3)

    first, second = mine.alone()
    assert first[0]
    assert first[0] > 0
    assert (first[2], first[5]) == (2.5, 3)
    assert second[:4] == [0.0, 0.0, None, None]
    cpu, memory, commands = first[6:]
    assert cpu is not None
    assert cpu >= 0
    assert memory
    assert 10 * 2**20 < memory < 10 * 2**30
    assert commands == 0


async def test_the_page_does_not_tell_what_only_operators_see() -> None:
    node = NodeInfo("one", 0, alive=True)
    found = to_wire([Gateway(node, [[1.0] * 9])], with_addresses=False)

    assert found[0]["samples"] == [[1.0] * 6]


async def test_only_the_last_ones_are_kept(redis_client: RedisClient, redis_prefix: str) -> None:
    mine = Pulse("one", Counts(), redis_client, Keys(redis_prefix))

    for _ in range(KEPT + 5):
        mine.measure(0)

    assert len(mine.alone()) == KEPT


async def test_every_gateway_reads_what_all_have_measured(
    redis_client: RedisClient, redis: Redis, redis_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "EVERY", 0.01)
    keys = Keys(redis_prefix)
    nodes = Nodes(redis_client, keys, ttl=30, interval=1)
    about = {"address": "http://one", "version": "1", "started": 1, "draining": False}
    for name in ("one", "two"):
        await nodes.take_lease(name, about)
    one, two = (Pulse(name, Counts(), redis_client, keys) for name in ("one", "two"))

    job = asyncio.create_task(one.run())
    async with asyncio.timeout(20 * SECOND):
        while not await redis.exists(keys.pulse("one")):  # noqa: ASYNC110 — Redis tells nobody
            await asyncio.sleep(0.01)
    job.cancel()
    found = {gateway.info.name: gateway.samples for gateway in await two.gateways()}

    assert found["one"]
    assert found["two"] == []
    assert 0 < await redis.pttl(keys.pulse("one")) <= 15_000


async def test_many_who_look_cost_no_more_than_one(
    redis_client: RedisClient, redis_prefix: str
) -> None:
    mine = Pulse("one", Counts(), redis_client, Keys(redis_prefix))
    await mine.gateways()
    before = redis_client.meter.commands

    await asyncio.gather(*(mine.gateways() for _ in range(20)))

    assert redis_client.meter.commands == before


async def test_addresses_of_gateways_are_for_admins(
    redis_client: RedisClient, redis_prefix: str
) -> None:
    keys = Keys(redis_prefix)
    nodes = Nodes(redis_client, keys, ttl=30, interval=1)
    await nodes.take_lease("one", {"address": "http://10.0.0.1", "version": "1", "started": 1})
    found = await Pulse("one", Counts(), redis_client, keys).gateways()

    def text(*, with_addresses: bool) -> Any:
        return json.dumps(to_wire(found, with_addresses=with_addresses))

    assert "10.0.0.1" not in text(with_addresses=False)
    assert "10.0.0.1" in text(with_addresses=True)
