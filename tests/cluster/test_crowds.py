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
from tests.raw_client import RawClient, Rejected, call_envelope

pytestmark = pytest.mark.cluster

MIB = 1024 * 1024
CROWD = 1000
CALLED = 20  # one in so many clients is called after a crash
ANSWERED = 15  # seconds after a crash in which a call to anybody is answered
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
    """A gateway that has a third of the clients is killed. They connect again at once with their
    reconnection tokens, as published clients do.
    """
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
async def test_after_a_crash_a_call_to_anybody_is_answered(
    count: int, cluster: Cluster, report: Report
) -> None:
    """All clients are on the gateway that is killed, and none of them comes back, so every caller
    has to be told. One in twenty of them is called, all at once, from another gateway. The CPU that
    Redis takes to suspend all of them is divided by what it took when they connected.
    """
    victim, other = cluster.gateways[1], cluster.gateways[0]
    async with await RawClient.connect(other.url) as caller:
        token = await caller.manager("generate_token")

        async def come(number: int) -> RawClient:
            query = {"workspace": caller.workspace, "token": token}
            return await RawClient.connect(victim.url, f"one-{number}", **query)

        async def called(client: RawClient) -> float:
            envelope = call_envelope(client.address, "services.built-in.ping")
            with pytest.raises(Rejected, match="is away"):
                await caller.place(envelope, {"args": ["ping"]}, 60 * SECOND)
            return time.monotonic() - crashed

        before = _cpu(cluster)
        clients = await few_at_once([partial(come, number) for number in range(count)])
        connecting = _cpu(cluster) - before
        victim.kill()
        crashed = time.monotonic()
        before = _cpu(cluster)

        answered = await asyncio.gather(*map(called, clients[::CALLED]))
        suspending = _cpu(cluster) - before
        await asyncio.gather(*(client.closed() for client in clients))
        await cluster.restart(victim)

    report.note(
        f"`kill -9` of a gateway with {count:,} clients, of which none comes back",
        calls_to_them=len(answered),
        seconds_from_the_crash_to_the_last_answer=max(answered),
        CPU_of_Redis_per_CPU_that_their_connecting_took=suspending / connecting,
    )
    assert max(answered) < ANSWERED * SECOND
    assert suspending < connecting


def _cpu(cluster: Cluster) -> float:
    """Seconds of its processor that the store has used."""
    with cluster.store.client() as redis:
        info: dict[str, float] = redis.info("cpu")
        return info["used_cpu_user"] + info["used_cpu_sys"]


@MANY
async def test_clients_that_come_and_go_leave_nothing(
    count: int, cluster: Cluster, report: Report
) -> None:
    """Clients connect through the balancer, offer a public service and leave, up to 50 at a time.
    What is left of them is counted when all have left.
    """

    async def visit() -> None:
        async with await RawClient.connect(cluster.url) as visitor:
            await visitor.offer(f"stall-{secrets.token_hex(4)}", "public")

    await _check_flat(cluster, report, "connects and leaves", [visit] * count)


@MANY
async def test_calls_by_http_leave_nothing(count: int, cluster: Cluster, report: Report) -> None:
    """A function is called by GET, up to 50 times at once. What is left of the calls is counted
    when all are over.
    """
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
