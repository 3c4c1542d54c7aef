"""Fixtures of the manager's unit tests."""

import pytest

from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.keys import Keys
from tests.unit.hub.manager.rig import Manager


@pytest.fixture
async def manager(redis_client: RedisClient, redis_prefix: str) -> Manager:
    return Manager(redis_client, Keys(redis_prefix))
