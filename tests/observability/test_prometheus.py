"""Prometheus scrapes a cluster that works, and every query of the board shows something."""

import asyncio
import math
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from hypha_cluster.prometheus import METRICS
from tests.conftest import GatewayFactory
from tests.gateways import SECOND, Gateway
from tests.observability.board import filled, targets
from tests.prometheus import Prometheus
from tests.python_client import NEWEST, Local, PythonClient
from tests.raw_client import RawClient

pytestmark = [pytest.mark.clients, pytest.mark.usefixtures("prometheus_installed")]

LIMIT = 90 * SECOND


@asynccontextmanager
async def traffic(first: Gateway, second: Gateway) -> AsyncIterator[None]:
    """A client of one gateway calls one of the other, without end, by RPC and over HTTP."""
    with PythonClient(NEWEST) as program:
        provider = await program.connect(first.url)
        service = {"id": "busy", "config": {"visibility": "public"}, "echo": Local("echo")}
        await provider["register_service"](service)
        caller = await program.connect(second.url)
        echo = (await caller["get_service"]("busy"))["echo"]
        http = f"{second.url}/{provider.workspace}/services/busy/echo?_=1"

        async def work() -> None:
            while True:
                await echo("hello")
                with suppress(urllib.error.HTTPError):
                    await asyncio.to_thread(_get, http)
                with suppress(InvalidStatus):
                    await RawClient.connect(first.url, token="of nobody")
                await asyncio.sleep(0.05)

        working = asyncio.create_task(work())
        try:
            yield
            assert not working.done(), working.exception()
        finally:
            working.cancel()
            await asyncio.wait([working])


OF_STARTS = "hypha_app_start_seconds"  # nothing starts an app here, so there is no time to show


def _get(url: str) -> None:
    with urllib.request.urlopen(url, timeout=10 * SECOND) as answer:
        answer.read()


def shows(prometheus: Prometheus, expression: str) -> bool:
    values = [float(sample["value"][1]) for sample in prometheus.query(filled(expression))]
    return bool(values) and not any(map(math.isnan, values))


async def until_shown(prometheus: Prometheus, expressions: list[str]) -> None:
    deadline = asyncio.get_running_loop().time() + LIMIT
    empty = expressions
    while empty := [each for each in empty if not shows(prometheus, each)]:
        assert asyncio.get_running_loop().time() < deadline, f"no data: {empty}"
        await asyncio.sleep(0.2)


async def test_every_query_of_the_board_shows_something(
    gateway_factory: GatewayFactory, tmp_path: Path
) -> None:
    first, second = gateway_factory(), gateway_factory()

    with Prometheus(tmp_path, [first.url, second.url]) as prometheus:
        async with traffic(first, second):
            shown = [each for _, each in targets() if OF_STARTS not in each]
            await until_shown(prometheus, shown)
            rules = await asyncio.to_thread(prometheus.rules)
            names = await asyncio.to_thread(prometheus.label_values, "__name__")
            gateways = prometheus.query("sum(hypha_ready)")

    assert gateways[0]["value"][1] == "2"
    assert {rule["health"] for rule in rules} == {"ok"}
    assert {rule["name"] for rule in rules if rule["state"] == "firing"} == set()
    assert {about.name for about in METRICS} <= {_plain(name) for name in names}


def _plain(name: str) -> str:
    name = name.removeprefix("hypha_").removesuffix("_total")
    return name.removesuffix("_bucket")
