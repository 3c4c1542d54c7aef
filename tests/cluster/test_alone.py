"""The only gateway is replaced while everybody goes on calling everybody."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster.conftest import StartCluster
from tests.cluster.load import OLD, Load, now
from tests.cluster.ordeal import listed
from tests.cluster.report import Report
from tests.gateways import SECOND

if TYPE_CHECKING:
    from tests.browser import Chromium

pytestmark = [pytest.mark.cluster, pytest.mark.clients, pytest.mark.browser]
pytest_plugins = ["tests.browser"]

# With these, a gateway that sends its clients to others takes more than a minute.
UNHURRIED = {"drain_delay": 20.0, "drain_time": 120.0}
SOON = 20 * SECOND


@pytest.mark.timeout(300)
async def test_clients_of_the_only_gateway_come_back_to_the_next_one(
    start_cluster: StartCluster, chromium: "Chromium", tmp_path: Path, report: Report
) -> None:
    """Under load, SIGTERM stops the only gateway behind HAProxy; its drain time is two minutes. The
    next gateway is started when the first one has ended; HAProxy lets clients wait until it is
    ready.
    """
    cluster = start_cluster(size=1, **UNHURRIED)
    (gateway,) = cluster.gateways
    load = Load(cluster.url, tmp_path, chromium)

    async with load:
        await load.run(6)
        began = now()
        assert await asyncio.to_thread(gateway.terminate) == 0
        stopped = now() - began
        to_itself = gateway.log().count("is back")
        await cluster.restart(gateway)
        ready = now() - began
        await load.run(15)
        at_the_end = now()
        await load.run(2)
    history = load.history

    report.note(
        "SIGTERM to the only gateway, and the next one is started when it has ended",
        calls=len(history.begun),
        calls_failed=len(history.failures()),
        errors=listed(history),
        clients_lost=len(load.lost(since=at_the_end)),
        clients_in_an_endless_loop_of_their_own=len(history.caught),
        times_that_a_client_came_back_to_the_one_that_stops=to_itself,
        seconds_until_it_has_ended=stopped,
        seconds_until_the_next_one_is_ready=ready,
        longest_call_in_seconds=history.longest_wait(),
    )
    assert stopped < SOON
    assert not to_itself
    assert not load.lost(since=at_the_end)
    history.check(load.programs_of(OLD), between=(min(history.begun.values()), now()))
