"""The parts of the launcher, for its unit tests."""

import pytest

from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.keys import Keys
from tests.unit.features.launcher.rig import Functions, Site


@pytest.fixture
async def site(redis_client: RedisClient, redis_prefix: str) -> Site:
    """All of it, and ann's workspace."""
    site = Site.of(redis_client, Keys(redis_prefix))
    await site.settle()
    return site


@pytest.fixture
def functions(site: Site) -> Functions:
    """What clients call."""
    return Functions(site)
