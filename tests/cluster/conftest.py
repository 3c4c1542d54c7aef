"""Fixtures of the cluster tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.report import Report
from tests.gateways import Value
from tests.haproxy import Balancer, HAProxy, Missing

StartCluster = Callable[..., Cluster]


@pytest.hookimpl(tryfirst=True)  # before the marks decide what runs
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to `make chaos` what takes minutes, and to `make test` what has no figures."""
    if Report().is_wanted:
        items[:] = [each for each in items if "report" in getattr(each, "fixturenames", ())]
    for item in items:
        if item.get_closest_marker("chaos"):
            item.add_marker(pytest.mark.slow)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """What did not hold, or was not tried, belongs on the page too."""
    name = report.nodeid.rpartition("::")[2].replace("_", " ")
    if report.failed:
        Report().note(name, outcome="**failed**")
    elif report.skipped:
        Report().note(name, outcome="not tried")


@pytest.fixture
def start_cluster(tmp_path: Path) -> Iterator[StartCluster]:
    """Start a cluster with settings of the test's own, and end it when the test is over."""
    with ExitStack() as stack:

        def start(balancer: type[Balancer] = HAProxy, **settings: Value) -> Cluster:
            try:
                balancer.program()
            except Missing as missing:
                pytest.skip(str(missing))
            return stack.enter_context(Cluster(tmp_path, balancer=balancer, **settings))

        yield start


@pytest.fixture
def cluster(start_cluster: StartCluster) -> Cluster:
    return start_cluster()


@pytest.fixture(scope="session")
def report() -> Report:
    return Report()
