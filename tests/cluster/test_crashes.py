"""A gateway is killed while everybody goes on calling everybody."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster.cluster import Cluster, until
from tests.cluster.conftest import StartCluster
from tests.cluster.load import Load, now
from tests.cluster.ordeal import undergo
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
    """Under load, a gateway with at least one provider is killed, and started again 3 s later.
    Meanwhile the listing of public services is read again and again; it always has all of them.
    """
    ordeal = await undergo(
        load := Load(cluster.url, tmp_path, chromium),
        lambda: _kill_a_provider(cluster, load),
        SLOWEST_RETURN,
    )
    report.note("`kill -9` of a gateway with providers and callers on it", **ordeal.figures())
    ordeal.check(SLOWEST_RETURN, broken=True)


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
