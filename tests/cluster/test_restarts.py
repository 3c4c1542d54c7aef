"""All gateways are replaced, one by one, while everybody goes on calling everybody."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.history import History
from tests.cluster.load import Load, now
from tests.cluster.report import Report

if TYPE_CHECKING:
    from tests.browser import Chromium

pytestmark = [pytest.mark.cluster, pytest.mark.clients, pytest.mark.browser]
pytest_plugins = ["tests.browser"]


@pytest.mark.brief
@pytest.mark.timeout(300)
async def test_a_rolling_restart_fails_no_call(
    cluster: Cluster, chromium: "Chromium", tmp_path: Path, report: Report
) -> None:
    """Under load, each gateway in turn is stopped by SIGTERM and started again."""
    history = await _restart_all(cluster, Load(cluster.url, tmp_path, chromium), times=1)

    _note(report, "rolling restart of all gateways", history)
    assert not history.failures(), history.errors()


@pytest.mark.chaos
@pytest.mark.timeout(600)
async def test_three_rolling_restarts_fail_no_call(
    cluster: Cluster, chromium: "Chromium", tmp_path: Path, report: Report
) -> None:
    """Under load, each gateway in turn is stopped by SIGTERM and started again; and that three
    times.
    """
    history = await _restart_all(cluster, Load(cluster.url, tmp_path, chromium), times=3)

    _note(report, "rolling restart of all gateways, three times in a row", history)
    assert not history.failures(), history.errors()


async def _restart_all(cluster: Cluster, load: Load, times: int) -> History:
    async with load:
        await load.run(3)
        for _ in range(times):
            for gateway in cluster.gateways:
                await cluster.replace(gateway)
                await load.run(3)
        at_the_end = now()
        await load.run(1)
    load.history.check()
    assert not load.lost(since=at_the_end)
    assert not load.history.caught  # a gateway that drains can keep that moment from its clients
    return load.history


def _note(report: Report, what: str, history: History) -> None:
    report.note(
        what,
        calls=len(history.begun),
        calls_failed=len(history.failures()),
        clients_lost=0,  # or the test has failed already
        longest_call_in_seconds=history.longest_wait(),
    )
