"""Providers that break off and stay away: nobody waits for a time-out to learn of it."""

import asyncio
import time

import pytest

from tests.conftest import GatewayFactory
from tests.gateways import SECOND
from tests.metrics import metric
from tests.raw_client import RawClient, Rejected, call_envelope

pytestmark = pytest.mark.cluster


async def until_attached(url: str, clients: int) -> None:
    """Wait until a gateway has noticed who went."""
    async with asyncio.timeout(30 * SECOND):
        while await asyncio.to_thread(metric, url, "hypha_connections") != clients:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_calls_to_a_provider_that_stays_away_end_in_an_error(
    gateway_factory: GatewayFactory,
) -> None:
    first, second = gateway_factory().url, gateway_factory().url
    async with (
        await RawClient.connect(first) as provider,
        await RawClient.connect(second) as caller,
    ):
        await provider.offer("hello", "public", hello=lambda name: f"Hello {name}")
        address = provider.address
        assert await caller.call(address, "services.hello.hello", "you") == "Hello you"
        provider.break_off()
        await until_attached(first, 0)
        began = time.monotonic()

        envelope = call_envelope(address, "services.hello.hello")
        with pytest.raises(Rejected, match="is away|left"):
            await caller.place(envelope, {"args": ["you"]}, limit=60 * SECOND)

        assert time.monotonic() - began < 20 * SECOND
        with pytest.raises(Rejected, match="is away"):
            await caller.call(address, "services.hello.hello", "you")


async def test_a_reply_waits_for_a_caller_that_is_away_for_longer(
    gateway_factory: GatewayFactory,
) -> None:
    """Its call was taken, so its answer is kept for as long as its place is."""
    gateway = gateway_factory().url
    async with await RawClient.connect(gateway) as provider:
        await provider.offer("slow", "public")
        caller = await RawClient.connect(gateway)
        token, session = caller.info["reconnection_token"], "waiting"
        await caller.send(
            {
                "type": "method",
                "to": provider.address,
                "method": "services.slow.work",
                "session": session,
            },
            {"args": []},
        )
        await provider.until(lambda frame: frame.method == "services.slow.work")
        caller.break_off()
        await until_attached(gateway, 1)
        await provider.send(
            {"type": "method", "to": caller.address, "method": f"{session}.resolve"},
            {"args": ["done"]},
        )

        again = await RawClient.connect(gateway, caller.client_id, reconnection_token=token)
        async with again:
            received = await again.until(lambda frame: frame.method == f"{session}.resolve")

    assert received.args == ["done"]
