"""A gateway that is told to stop sends its clients away, each at a time that suits it."""

import asyncio
import time

import pytest
from redis.asyncio import Redis

from hypha_cluster.registry.keys import Keys
from tests.conftest import GatewayFactory
from tests.gateways import SECOND
from tests.raw_client import RawClient, pack

TOO_YOUNG = 5.0  # seconds; a Python client that is closed sooner may spin for good
LIMIT = 60 * SECOND
NOTE = pack({"type": "note", "to": "nobody"})
GOING_AWAY = 1012  # makes every release of the client come back at once


async def test_a_client_that_has_just_come_is_not_sent_away_at_once(
    gateway_factory: GatewayFactory,
) -> None:
    gateway = gateway_factory()
    client = await RawClient.connect(gateway.url)
    connected = time.monotonic()

    stopping = asyncio.create_task(asyncio.to_thread(gateway.terminate))

    assert await client.closed() == GOING_AWAY
    assert time.monotonic() - connected > TOO_YOUNG - 0.5
    assert await stopping == 0


@pytest.mark.parametrize("code", [1000, 1001])
async def test_a_client_that_leaves_while_it_is_set_aside_has_left(
    gateway_factory: GatewayFactory, redis: Redis, redis_prefix: str, code: int
) -> None:
    gateway, keys = gateway_factory(), Keys(redis_prefix)
    client = await RawClient.connect(gateway.url)
    record = keys.client(client.address)
    await asyncio.sleep(TOO_YOUNG)  # it would be left in peace until then

    stopping = asyncio.create_task(asyncio.to_thread(gateway.terminate))
    async with asyncio.timeout(LIMIT):
        while await redis.hget(record, "state") != b"suspended":
            await client.send_raw(NOTE)  # who is not quiet is not told to go
            await asyncio.sleep(0.02)
        await client.close(code)

        assert await stopping == 0
    assert not await redis.exists(record)
