"""Fixtures of the tests of what operators see."""

import pytest

from tests import prometheus


@pytest.fixture(scope="session")
def prometheus_installed() -> None:
    try:
        prometheus.install()
    except prometheus.Missing as missing:
        pytest.skip(str(missing))
