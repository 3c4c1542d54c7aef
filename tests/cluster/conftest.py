"""Fixtures of the cluster tests."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster.cluster import GATEWAYS, Cluster
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
    """Note on the page what failed and what was skipped, too."""
    name = report.nodeid.rpartition("::")[2].replace("_", " ")
    if report.failed:
        Report().note(name, outcome="**failed**")
    elif report.skipped:
        Report().note(name, outcome="not tried")


@pytest.fixture
def start_cluster(tmp_path: Path) -> Iterator[StartCluster]:
    """Start a cluster with settings of the test's own, and end it when the test is over."""
    with ExitStack() as stack:

        def start(
            balancer: type[Balancer] = HAProxy, size: int = GATEWAYS, **settings: Value
        ) -> Cluster:
            try:
                balancer.program()
            except Missing as missing:
                pytest.skip(str(missing))
            cluster = Cluster(tmp_path, balancer=balancer, size=size, **settings)
            return stack.enter_context(cluster)

        yield start


@pytest.fixture
def cluster(start_cluster: StartCluster) -> Cluster:
    return start_cluster()


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """Collect figures under what the test says of itself."""
    about = inspect.getdoc(request.function)
    assert about, "the page tells what the test does, in the words of its docstring"
    return Report(about)
