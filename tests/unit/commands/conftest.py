"""A cluster whose Redis answers what it is told to, for the commands that look into one."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import ModuleType

import pytest

from hypha_cluster.commands.target import Cluster
from hypha_cluster.config import Config
from hypha_cluster.registry.keys import Keys
from tests.fake_redis import FakeRedis

Opens = Callable[[ModuleType], None]


@pytest.fixture
def fake() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
def opens(fake: FakeRedis, monkeypatch: pytest.MonkeyPatch) -> Opens:
    """Have a command open the cluster of `fake`."""

    @asynccontextmanager
    async def cluster() -> AsyncIterator[Cluster]:
        yield Cluster(Config(), fake.client, Keys("p"))

    return lambda module: monkeypatch.setattr(module, "cluster", cluster)
