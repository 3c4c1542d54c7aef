"""What features build on, for their unit tests."""

import pytest

from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.keys import Keys
from tests.unit.features.rig import Ground


@pytest.fixture
async def ground(redis_client: RedisClient, redis_prefix: str) -> Ground:
    """It, with ann, bob and ada, who is an admin."""
    ground = Ground(redis_client, Keys(redis_prefix))
    await ground.settle()
    return ground
