"""A page that offers a service and sends nothing by itself comes back, wherever it was."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING

import pytest

from tests.browser_client import Connection
from tests.cluster.cluster import Cluster, Member
from tests.cluster.report import Report
from tests.gateways import SECOND
from tests.python_client import NEWEST, PythonClient, Remote

if TYPE_CHECKING:
    from tests.browser import Chromium

pytestmark = [pytest.mark.cluster, pytest.mark.clients, pytest.mark.browser]
pytest_plugins = ["tests.browser"]

End = Callable[[Cluster, Member], Coroutine[None, None, None]]

# 0.8 of what the hub announces as the life of its connection info, and a little.
BACK = 15 * SECOND


async def drain(cluster: Cluster, gateway: Member) -> None:
    await cluster.replace(gateway)


async def crash(cluster: Cluster, gateway: Member) -> None:
    gateway.kill()


@pytest.mark.parametrize("end", [drain, crash])
async def test_a_page_that_only_offers_comes_back(
    end: End,
    cluster: Cluster,
    chromium: "Chromium",
    report: Report,
) -> None:
    page = await chromium.open(NEWEST)
    provider = await page.connect(cluster.url)
    await provider.register("page", config={"visibility": "public"})
    gateway = cluster.gateway_of(provider.address)
    with PythonClient(NEWEST) as python:
        caller = await python.connect(cluster.url)
        service = await caller["get_service"](f"{provider.address}:page")
        assert await service["echo"]("before") == "before"

        ending = asyncio.create_task(end(cluster, gateway))
        if end is crash:
            await ending  # a call that died with the gateway is the caller's to repeat
        times = await _call_until_back(cluster, provider, gateway, service["echo"])
        await ending

    report.note(
        f"a page that only offers a service, its gateway's {end.__name__}",
        calls=len(times),
        calls_failed=0,
        seconds_that_the_slowest_call_took=max(times),
    )
    assert max(times) < BACK
    page.tolerate("WebSocket|websocket|ERR_")
    await page.close()


async def _call_until_back(
    cluster: Cluster, provider: Connection, gateway: Member, echo: Remote
) -> list[float]:
    """Call the page again and again, until one call was answered from elsewhere."""
    times: list[float] = []
    elsewhere = False
    while not elsewhere:
        elsewhere = cluster.is_elsewhere(provider.address, gateway)
        started = time.monotonic()
        assert await echo(len(times)) == len(times)
        times.append(time.monotonic() - started)
        await asyncio.sleep(0.05)
    return times
