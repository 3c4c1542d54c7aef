"""A gateway that is told to stop sends its clients away, each at a time that suits it."""

import asyncio
import time

from tests.conftest import GatewayFactory
from tests.raw_client import RawClient

TOO_YOUNG = 5.0  # seconds; a Python client that is closed sooner may spin for good
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
