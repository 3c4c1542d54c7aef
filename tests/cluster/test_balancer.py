"""deploy/haproxy.cfg as it is shipped."""

import asyncio
import time
import urllib.request

import pytest
from websockets.asyncio.client import connect

from tests.cluster.cluster import Cluster
from tests.cluster.report import Report
from tests.gateways import SECOND, status
from tests.raw_client import RawClient

pytestmark = pytest.mark.cluster

PATIENCE = 10  # seconds that Python clients wait for an upgrade


async def test_an_upgrade_waits_while_no_gateway_is_ready(cluster: Cluster, report: Report) -> None:
    for gateway in cluster.gateways:
        gateway.kill()
    started = time.monotonic()
    connecting = asyncio.create_task(RawClient.connect(cluster.url))
    await asyncio.sleep(1)
    restarting = asyncio.create_task(cluster.restart(cluster.gateways[2]))

    async with await connecting:
        waited = time.monotonic() - started
        report.note("no gateway is up for a moment", seconds_that_an_upgrade_waited=waited)
        assert waited < PATIENCE * SECOND
    await restarting


async def test_upgrades_go_past_a_gateway_that_was_killed(cluster: Cluster) -> None:
    cluster.gateways[1].kill()

    clients = await asyncio.gather(*(RawClient.connect(cluster.url) for _ in range(30)))

    await asyncio.gather(*(client.close() for client in clients))


async def test_upgrades_go_past_a_gateway_that_is_frozen(cluster: Cluster) -> None:
    with cluster.gateways[1].frozen():
        started = time.monotonic()
        clients = await asyncio.gather(*(RawClient.connect(cluster.url) for _ in range(30)))
        assert time.monotonic() - started < PATIENCE * SECOND
    await asyncio.gather(*(client.close() for client in clients))


async def test_new_clients_are_spread(cluster: Cluster) -> None:
    clients = [await RawClient.connect(cluster.url) for _ in range(30)]

    shares = [0] * len(cluster.gateways)
    for client in clients:
        shares[cluster.gateways.index(cluster.gateway_of(client.address))] += 1
    assert min(shares) >= 4, shares
    await asyncio.gather(*(client.close() for client in clients))


async def test_nobody_can_say_where_a_request_came_from(cluster: Cluster) -> None:
    """The hub tells clients its own URL, which it has from these headers."""
    forged = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    url = f"{cluster.url.replace('http', 'ws', 1)}/ws?client_id=honest"
    async with RawClient(await connect(url, additional_headers=forged), "honest") as client:
        info = await client.manager("get_connection_info")
        assert info["public_base_url"] == cluster.url


def test_requests_by_http_reach_the_hub(cluster: Cluster) -> None:
    with urllib.request.urlopen(f"{cluster.url}/health/live", timeout=5 * SECOND) as response:
        assert response.status == 200
    assert status(f"{cluster.url}/nobody/services") == 404
