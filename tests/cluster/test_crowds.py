"""Many clients: all come back after a crash, and whoever has gone leaves nothing behind."""

import asyncio
import json
import secrets
import time
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from statistics import median

import pytest

from tests.cluster.cluster import Cluster, until
from tests.cluster.crowd import Crowd, few_at_once
from tests.cluster.report import Report
from tests.gateways import SECOND
from tests.raw_client import RawClient

pytestmark = pytest.mark.cluster

MIB = 1024 * 1024
CROWD = 1000
KEPT = 40  # connections that the balancer keeps with each gateway, at most
CONNECTIONS = 4  # to Redis, at most, from each gateway
MANY = pytest.mark.parametrize(
    "count",
    [
        pytest.param(1_000, marks=pytest.mark.brief),
        pytest.param(10_000, marks=[pytest.mark.chaos, pytest.mark.timeout(900)]),
    ],
)


@pytest.mark.timeout(300)
async def test_a_thousand_clients_are_back_after_a_crash(cluster: Cluster, report: Report) -> None:
    async with Crowd(cluster.url, CROWD) as crowd:
        victim = cluster.gateways[1]
        affected = cluster.clients_of(victim)
        assert affected > CROWD / 6
        _check_connections(cluster)

        victim.kill()
        started = time.monotonic()

        async def all_are_back() -> bool:
            return len(crowd.returns) + len(crowd.refusals) >= affected

        await until(all_are_back, "all clients are back", 60)
        took = time.monotonic() - started
        await cluster.restart(victim)

        report.note(
            f"`kill -9` of a gateway, {CROWD} clients on three",
            clients_that_had_to_return=affected,
            clients_refused=len(crowd.refusals),
            seconds_until_all_were_back=took,
            seconds_to_return_median=median(crowd.returns),
        )
        assert not crowd.refusals
        assert await crowd.answer() == CROWD
        _check_connections(cluster)


@MANY
async def test_clients_that_come_and_go_leave_nothing(
    count: int, cluster: Cluster, report: Report
) -> None:
    async def visit() -> None:
        async with await RawClient.connect(cluster.url) as visitor:
            await visitor.offer(f"stall-{secrets.token_hex(4)}", "public")

    await _check_flat(cluster, report, "connects and leaves", [visit] * count)


@MANY
async def test_calls_by_http_leave_nothing(count: int, cluster: Cluster, report: Report) -> None:
    async with await RawClient.connect(cluster.url) as provider:
        await provider.offer("mirror", "public", echo=lambda keywords: keywords)
        url = f"{cluster.url}/{provider.workspace}/services/mirror/echo?text=hi"

        def get() -> None:
            with urllib.request.urlopen(url, timeout=10 * SECOND) as response:
                assert json.load(response) == {"text": "hi"}

        calls = [partial(asyncio.to_thread, get)] * count
        await _check_flat(cluster, report, "calls by HTTP", calls)


async def _check_flat(
    cluster: Cluster, report: Report, what: str, steps: Sequence[Callable[[], Awaitable[None]]]
) -> None:
    """Take the steps, and see what is left of them when all are over."""
    await few_at_once(steps[: len(steps) // 5])  # whatever is made once
    await _settle(cluster, set())
    before = cluster.store.keys()
    footprints = [gateway.footprint() for gateway in cluster.gateways]
    await few_at_once(steps)
    keys = await _settle(cluster, before)

    pairs = zip(cluster.gateways, footprints, strict=True)
    grown = [gateway.footprint() - at_first for gateway, at_first in pairs]
    report.note(
        f"{len(steps):,} {what}",
        redis_keys_left=len(keys - before),
        redis_connections_of_three_gateways=_check_connections(cluster),
        memory_grown_in_MiB_at_most=max(each.memory for each in grown) / MIB,
        tasks_grown_at_most=max(each.tasks for each in grown),
    )
    assert keys <= before
    for each in grown:
        assert each.memory < 10 * MIB
        # The balancer keeps some connections, to use them again; a task or more serves each.
        assert each.open_files < KEPT
        assert each.tasks < 3 * KEPT


async def _settle(cluster: Cluster, expected: set[str]) -> set[str]:
    """Wait until what is over is also cleared away."""
    keys: set[str] = set()

    async def is_still() -> bool:
        nonlocal keys
        before, keys = keys, cluster.store.keys()
        await asyncio.sleep(0.3)
        return keys == before and (not expected or keys <= expected)

    await until(is_still, "nothing is left over", 20)
    return keys


def _check_connections(cluster: Cluster) -> int:
    """How many connections to Redis all gateways have."""
    connections = cluster.store.connections()
    assert connections <= CONNECTIONS * len(cluster.gateways)
    return connections
