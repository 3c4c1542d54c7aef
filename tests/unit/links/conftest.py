"""Fixtures of the unit tests of links."""

import pytest

from tests.unit.links.net import FakeServers, Net


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Net:
    return Net(monkeypatch)


@pytest.fixture
async def servers() -> FakeServers:
    return FakeServers()
