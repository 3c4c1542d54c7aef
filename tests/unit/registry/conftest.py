"""Fixtures of the registry's unit tests."""

import pytest

from hypha_cluster.registry.keys import Keys
from tests.fake_redis import FakeRedis


@pytest.fixture
async def fake() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
def keys() -> Keys:
    return Keys("p")
