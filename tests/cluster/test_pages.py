"""A page that offers a service and sends nothing by itself comes back, wherever it was."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING

import pytest

from tests.browser_client import Connection
from tests.cluster.cluster import Cluster, Member, until
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
PAUSE = 0.1  # seconds between two calls


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
    """A page offers a service and sends nothing by itself. A Python program calls it ten times a
    second while the page's gateway drains, or after it was killed.
    """
    page = await chromium.open(NEWEST)
    provider = await page.connect(cluster.url)
    await provider.register("page", config={"visibility": "public"})
    gateway = cluster.gateway_of(provider.address)
    with PythonClient(NEWEST) as python:
        caller = await python.connect(cluster.url)
        service = await caller["get_service"](f"{provider.address}:page")
        assert await service["echo"]("before") == "before"
        before = cluster.holder_of(provider.address)

        ending = asyncio.create_task(end(cluster, gateway))
        if end is crash:
            await ending  # a call that died with the gateway is the caller's to repeat
        back, times = await _call_until_back(cluster, provider, before, service["echo"])
        await ending

    report.note(
        f"{end.__name__} of the gateway of a page that only offers a service",
        seconds_until_it_is_back=back,
        calls=len(times),
        calls_failed=0,  # or the test has failed already
        seconds_that_the_slowest_call_took=max(times),
    )
    assert back < BACK
    assert max(times) < BACK
    page.tolerate("WebSocket|websocket|ERR_")
    await page.close()


async def _call_until_back(
    cluster: Cluster, provider: Connection, before: object, echo: Remote
) -> tuple[float, list[float]]:
    """Call the page, answered or not, until it is back; say when that was, and how long each
    call took.
    """
    calls: list[asyncio.Task[float]] = []

    async def is_back() -> bool:
        calls.append(asyncio.create_task(_timed(echo, len(calls))))
        await asyncio.sleep(PAUSE)
        return cluster.is_back(provider.address, before)

    back = await until(is_back, "the page is back")
    calls.append(asyncio.create_task(_timed(echo, len(calls))))
    return back, await asyncio.gather(*calls)


async def _timed(echo: Remote, number: int) -> float:
    started = time.monotonic()
    assert await echo(number) == number
    return time.monotonic() - started
