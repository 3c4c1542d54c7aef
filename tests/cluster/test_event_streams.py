"""Pages with event streams behind a balancer: frames arrive anywhere, and gateways go."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser_client import Connection
from tests.cluster.cluster import Cluster, Member, until
from tests.cluster.load import now
from tests.cluster.report import Report
from tests.gateways import SECOND
from tests.metrics import metric
from tests.python_client import NEWEST, PythonClient

if TYPE_CHECKING:
    from tests.browser import Chromium

pytestmark = [pytest.mark.cluster, pytest.mark.clients, pytest.mark.browser]
pytest_plugins = ["tests.browser"]

End = Callable[[Cluster, Member], Coroutine[None, None, None]]

BACK = 15 * SECOND


async def drain(cluster: Cluster, gateway: Member) -> None:
    await cluster.replace(gateway)


async def crash(cluster: Cluster, gateway: Member) -> None:
    gateway.kill()


@pytest.mark.parametrize(("end", "release"), [(crash, "0.5.44"), (drain, NEWEST)])
async def test_a_page_comes_back_from_a_gateway_that_goes(
    end: End, release: str, cluster: Cluster, chromium: "Chromium", report: Report
) -> None:
    """A page that gets its frames by server-sent events offers a service. The gateway that has its
    stream is killed, or drains. The page comes back with its service, and what it sends may arrive
    at any gateway.
    """
    page = await chromium.open(release, "hypha-rpc-sse.min.js")
    page.tolerate("Failed to load resource|ERR_")
    provider = await page.connect(cluster.url)
    await provider.register("page", config={"visibility": "public"})
    with PythonClient(NEWEST) as python:
        caller = await python.connect(cluster.url)
        service = await caller["get_service"](f"{provider.address}:page")
        for number in range(20):
            assert await service["echo"](number) == number
        assert len(_takers(cluster)) > 1, "no stickiness: frames arrive at several gateways"
        gateway, before = cluster.gateway_of(provider.address), cluster.holder_of(provider.address)

        gone = now()
        await end(cluster, gateway)

        await until(_is_back(cluster, provider, before), "the page is back", BACK)
        assert await service["echo"]("first") == "first"
        report.note(
            f"{end.__name__} of the gateway that has a page's event stream",
            seconds_until_the_page_answers_again=now() - gone,
        )
        for number in range(20):
            assert await service["echo"](number) == number
        assert await provider.run("return await server.echo('still me')") == "still me"
    await page.close()


def _takers(cluster: Cluster) -> list[Any]:
    """Gateways at which frames were posted."""
    name = "hypha_posted_frames_total"
    return [each for each in cluster.gateways if metric(each.url, name, outcome="routed")]


def _is_back(
    cluster: Cluster, provider: Connection, before: object
) -> Callable[[], Coroutine[None, None, bool]]:
    async def is_back() -> bool:
        return await asyncio.to_thread(cluster.is_back, provider.address, before)

    return is_back
