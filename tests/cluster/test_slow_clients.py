"""A client that reads nothing, and one that sends too much, are nobody else's trouble."""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pytest

from tests.cluster.cluster import Cluster, Line, until
from tests.cluster.conftest import StartCluster
from tests.cluster.load import Load, now
from tests.cluster.ordeal import undergo
from tests.cluster.report import Report
from tests.gateways import SECOND
from tests.raw_client import RawClient, Rejected

if TYPE_CHECKING:
    from tests.browser import Chromium

pytestmark = pytest.mark.cluster
pytest_plugins = ["tests.browser"]

PING = "services.built-in.ping"
# What others may notice, on a machine that is busy with the flood itself.
SLOWEST = 5 * SECOND
MIB = 1024 * 1024


@asynccontextmanager
async def _watched(cluster: Cluster, report: Report, what: str) -> AsyncIterator[None]:
    """See to it that two others, on two gateways, go on as if nothing were the matter."""
    first, second = cluster.gateways[:2]
    caller, callee = await RawClient.connect(first.url), await RawClient.connect(second.url)
    times: list[float] = []

    async def watch() -> None:
        while True:
            started = time.monotonic()
            await caller.call(callee.address, PING, "ping")
            times.append(time.monotonic() - started)
            await asyncio.sleep(0.02)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        assert not watching.done(), watching
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await asyncio.gather(caller.close(), callee.close())
    report.note(
        what,
        calls_of_others=len(times),
        their_time_in_seconds_median=median(times),
        their_time_in_seconds_worst=max(times),
    )
    assert max(times) < SLOWEST


async def test_a_client_that_reads_nothing(start_cluster: StartCluster, report: Report) -> None:
    """A client that reads nothing is called without end, with 100 kB each time. Calls to it are
    rejected, and in the end it is dropped. Meanwhile two other clients call each other.
    """
    cluster = start_cluster(outbox_size=MIB, send_timeout=3)
    first, second = cluster.gateways[:2]
    async with Line(second.url) as line, await RawClient.connect(first.url) as caller:
        deaf = await RawClient.connect(line.url)
        with line.dead():
            async with _watched(cluster, report, "a client that reads nothing"):
                text = await _call_until_refused(caller, deaf)
                assert "busy" in text

                async def is_dropped() -> bool:
                    return cluster.state_of(deaf.address) == "suspended"

                took = await until(is_dropped, "the client is dropped")
                report.note("a client that reads nothing", seconds_until_it_is_dropped=took)
        await deaf.closed()


async def _call_until_refused(caller: RawClient, deaf: RawClient) -> str:
    calls: set[asyncio.Task[object]] = set()
    deadline = time.monotonic() + 30 * SECOND
    try:
        while time.monotonic() < deadline:
            call = caller.call(deaf.address, PING, b"x" * 100_000)
            calls.add(asyncio.create_task(call))
            await asyncio.sleep(0.005)
            for ended in [call for call in calls if call.done()]:
                with pytest.raises(Rejected) as rejected:
                    ended.result()
                return str(rejected.value)
    finally:
        for waiting in calls:
            waiting.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    raise AssertionError("nothing was refused")


@pytest.mark.chaos
async def test_a_client_that_floods_another(cluster: Cluster, report: Report) -> None:
    """A client sends frames as fast as it can to a client of another gateway, for 4 s. Meanwhile
    two other clients of the same gateways call each other.
    """
    what = "a client that sends as much as it can"
    async with _watched(cluster, report, what):
        sent, came = await _flood(cluster)
    report.note(what, frames_sent=sent, frames_that_came=came)


@pytest.mark.clients
@pytest.mark.browser
@pytest.mark.chaos
@pytest.mark.timeout(300)
async def test_clients_go_on_beside_a_flood(
    cluster: Cluster, chromium: "Chromium", tmp_path: Path, report: Report
) -> None:
    """The same flood, under load."""

    async def flood() -> float:
        began = now()
        await _flood(cluster)
        return began

    ordeal = await undergo(Load(cluster.url, tmp_path, chromium), flood, 1)

    report.note("a client that sends as much as it can, under load", **ordeal.figures())
    ordeal.check(SLOWEST)
    assert not ordeal.history.failures(), ordeal.history.errors()


async def _flood(cluster: Cluster) -> tuple[int, int]:
    """Have a client send as much as it can to one on another gateway; return how many frames it
    sent, and how many came.
    """
    first, second = cluster.gateways[:2]
    command = [sys.executable, "-m", "tests.cluster.flooder", first.url, second.url, "4"]
    flooder = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
    output, errors = await flooder.communicate()
    assert flooder.returncode == 0, errors.decode()
    sent, came = map(int, output.split())
    assert came, f"none of {sent} frames came"
    return sent, came
