"""Fixtures of the registry's unit tests."""

import pytest

from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.instance_pages import InstancePages
from hypha_cluster.registry.instances import Instances
from hypha_cluster.registry.keys import Keys
from tests.app_rig import SEALS
from tests.fake_redis import FakeRedis


@pytest.fixture
async def fake() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
def keys() -> Keys:
    return Keys("p")


@pytest.fixture
def instances(redis_client: RedisClient, redis_prefix: str) -> Instances:
    """Those in a real Redis."""
    return Instances(redis_client, Keys(redis_prefix))


@pytest.fixture
def pages(redis_client: RedisClient, redis_prefix: str, instances: Instances) -> InstancePages:
    """Theirs."""
    return InstancePages(redis_client, Keys(redis_prefix), SEALS, instances)
