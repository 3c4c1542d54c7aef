"""A hub of two gateways with accounts, and a person with a browser.

Test modules ask for them with `pytest_plugins = ["tests.login_fixtures"]`.
"""

from collections.abc import AsyncIterator

import pytest

from hypha_cluster.identity.accounts import Account
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.accounts import Accounts
from hypha_cluster.registry.keys import Keys
from tests.conftest import GatewayFactory
from tests.login_rig import PASSWORD, Person, Site, hash_of
from tests.token_rig import SECRET


@pytest.fixture
async def site(
    gateway_factory: GatewayFactory, redis_client: RedisClient, redis_prefix: str
) -> Site:
    accounts = Accounts(redis_client, Keys(redis_prefix))
    hashed = hash_of(PASSWORD)
    await accounts.add(Account("ann", "ann@example.org", ("admin",), hashed))
    await accounts.add(Account("bob", "bob@example.org", (), hashed))
    gateways = gateway_factory(jwt_secret=SECRET), gateway_factory(jwt_secret=SECRET)
    return Site(gateways[0].url, gateways[1].url, gateways, accounts)


@pytest.fixture
async def ann() -> AsyncIterator[Person]:
    async with Person() as person:
        yield person
