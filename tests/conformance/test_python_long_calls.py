"""A call may last longer than its time limit, as long as heartbeats say that it goes on."""

import asyncio

import pytest

from tests.conformance.python_scene import Pair
from tests.gateways import SECOND, Hub
from tests.python_client import RELEASES, Connection, Local

pytestmark = pytest.mark.clients


async def test_a_call_may_last_longer_than_its_time_limit(hub: Hub, pair: Pair) -> None:
    pairs = await asyncio.gather(*(pair(hub, release, method_timeout=10) for release in RELEASES))

    async with asyncio.timeout(30 * SECOND):
        results = await asyncio.gather(*(nap(*parties) for parties in pairs))

    assert results == ["slept"] * len(RELEASES)


async def nap(provider: Connection, caller: Connection) -> str:
    await provider["register_service"]({"id": "bed", "sleep": Local("sleep")})
    bed = await caller["get_service"]("bed")
    result: str = await bed["sleep"](12)
    return result
