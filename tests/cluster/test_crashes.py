"""A gateway is killed while everybody goes on calling everybody."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster.cluster import Cluster, until
from tests.cluster.conftest import StartCluster
from tests.cluster.history import median_and_worst
from tests.cluster.load import LONGEST_CALL, Load, now
from tests.cluster.report import Report
from tests.gateways import SECOND
from tests.raw_client import RawClient

if TYPE_CHECKING:
    from tests.browser import Chromium

pytestmark = [pytest.mark.cluster, pytest.mark.clients, pytest.mark.browser]
pytest_plugins = ["tests.browser"]

# A page comes back when it refreshes its connection info, 10 s after it connected.
SLOWEST_RETURN = 15 * SECOND


@pytest.mark.timeout(300)
async def test_after_a_crash_all_are_back_by_themselves(
    cluster: Cluster, chromium: "Chromium", tmp_path: Path, report: Report
) -> None:
    load = Load(cluster.url, tmp_path, chromium)
    async with load:
        await load.run(3)
        killed = await _kill_a_provider(cluster, load)
        await load.run(SLOWEST_RETURN)
        at_the_end = now()
        await load.run(3)
    history = load.history
    history.check(torn=(killed - 1, killed + SLOWEST_RETURN))

    healed = history.good_after(killed)
    middle, worst = median_and_worst(healed.values())
    report.note(
        "`kill -9` of a gateway with providers and callers on it",
        calls=len(history.begun),
        calls_failed=len(history.failures()),
        errors=", ".join(f"{count} × {text}" for text, count in history.errors().items()) or "none",
        clients_lost=len({caller for caller, _ in load.lost(at_the_end)}),
        clients_in_an_endless_loop_of_their_own=len(history.caught),
        seconds_to_the_first_good_call_median=middle,
        seconds_to_the_first_good_call_worst=worst,
        longest_call_in_seconds=history.longest_wait(),
    )
    assert not load.lost(at_the_end)
    assert worst < SLOWEST_RETURN
    assert history.longest_wait() < LONGEST_CALL
    late = [
        call
        for call, _ in history.failures()
        if history.begun[call] > killed + worst and call[1] not in history.caught
    ]
    assert not late, "calls failed that were placed when all were back"


async def _kill_a_provider(cluster: Cluster, load: Load) -> float:
    """Kill a gateway that has a provider, while somebody watches the listing."""
    async with await RawClient.connect(cluster.gateways[0].url) as watcher:
        offered = set(await _listed(watcher, load))
        assert len(offered) == len(load.providers)
        victim = next(
            gateway
            for gateway in cluster.gateways
            if gateway is not cluster.gateways[0] and cluster.providers_on(gateway, offered)
        )
        victim.kill()
        killed = now()
        while now() < killed + 3 * SECOND:
            assert set(await _listed(watcher, load)) == offered
            await asyncio.sleep(0.1)
    await cluster.restart(victim)
    return killed


async def _listed(watcher: RawClient, load: Load) -> list[str]:
    services = await watcher.manager("list_services", "public")
    return [
        service["id"] for service in services if service["id"].rpartition(":")[2] in load.providers
    ]


async def test_who_never_returns_after_a_crash_is_gone_in_the_end(
    start_cluster: StartCluster,
) -> None:
    """Though the gateway is soon there again, under the same name."""
    cluster = start_cluster(reconnect_grace=3)
    gateway, other = cluster.gateways[:2]
    async with await RawClient.connect(other.url) as caller:
        client = await RawClient.connect(gateway.url)
        await client.offer("ghost", "public")
        assert cluster.state_of(client.address) == "online"

        gateway.kill()
        await client.closed()
        await cluster.restart(gateway)

        async def is_gone() -> bool:
            return not cluster.state_of(client.address)

        await until(is_gone, "the client is forgotten")
        services = await caller.manager("list_services", "public")
        assert not [service for service in services if service["id"].endswith(":ghost")]
