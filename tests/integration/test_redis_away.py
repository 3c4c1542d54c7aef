"""Gateways on one server that answers nothing for a while, goes, or forgets."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.call_loop import CallLoop
from tests.conftest import GatewayFactory
from tests.gateways import SECOND, Gateway
from tests.raw_client import RawClient, Rejected
from tests.redis_servers import RedisServer, plain_server

GIVEN_UP = 5 * SECOND  # relay_timeout


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with plain_server(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def gateways(server: RedisServer, gateway_factory: GatewayFactory) -> tuple[Gateway, Gateway]:
    return gateway_factory(redis_url=server.url), gateway_factory(redis_url=server.url)


def connections(server: RedisServer) -> set[str]:
    clients = server.ask("CLIENT LIST")
    return {each["id"] for each in clients if each["name"].startswith("hypha")}


@pytest.mark.chaos
async def test_a_frozen_server_is_noticed_and_its_frames_are_given_up(
    server: RedisServer, gateways: tuple[Gateway, Gateway]
) -> None:
    async with (
        await RawClient.connect(gateways[0].url) as provider,
        await RawClient.connect(gateways[1].url) as caller,
    ):
        await provider.offer("echo", visibility="public", echo=lambda value: value)
        before = connections(server)
        server.freeze()
        began = time.monotonic()

        with pytest.raises(Rejected, match="relay is unavailable"):
            await caller.call(provider.address, "services.echo.echo", "lost")

        assert GIVEN_UP * 0.9 < time.monotonic() - began < GIVEN_UP + 2 * SECOND
        server.thaw()
        async with CallLoop(caller, provider, "echo") as loop:
            await loop.goes_on(count=100)
        assert not before & connections(server)
        assert loop.healed_after(began) < 30 * SECOND
        # What the server read only after the thaw was too old to be delivered.
        assert "lost" not in [frame.args[0] for frame in provider.received if frame.args]


@pytest.mark.chaos
async def test_a_server_that_comes_back_empty_is_told_everything(
    server: RedisServer, gateways: tuple[Gateway, Gateway]
) -> None:
    async with (
        await RawClient.connect(gateways[0].url) as provider,
        await RawClient.connect(gateways[1].url) as caller,
    ):
        service = await provider.offer("echo", visibility="public", echo=lambda value: value)
        async with CallLoop(caller, provider, "echo") as loop:
            await loop.goes_on()
            began = time.monotonic()
            server.kill()
            await asyncio.to_thread(server.start)
            await loop.goes_on(count=100)
        found = await caller.manager("get_service", service)

    assert found["id"].endswith("echo")
    assert loop.healed_after(began) < 8 * SECOND
    assert loop.executed_twice() == set()


@pytest.mark.parametrize("kind", ["normal", "pubsub"])
async def test_connections_that_are_killed_come_back(
    server: RedisServer, gateways: tuple[Gateway, Gateway], kind: str
) -> None:
    async with (
        await RawClient.connect(gateways[0].url) as provider,
        await RawClient.connect(gateways[1].url) as caller,
    ):
        service = await provider.offer("echo", visibility="public", echo=lambda value: value)
        async with CallLoop(caller, provider, "echo") as loop:
            await loop.goes_on()

            server.ask("CLIENT", "KILL", "TYPE", kind)

            await loop.goes_on(count=50, limit=10 * SECOND)
            await caller.manager("get_service", service)
    assert loop.executed_twice() == set()


async def test_a_lost_server_is_told_once_for_each_connection(
    server: RedisServer, gateway_factory: GatewayFactory
) -> None:
    gateway = gateway_factory(redis_url=server.url, lease_interval=0.2, relay_timeout=0.5)
    async with await RawClient.connect(gateway.url) as client:
        await client.offer("echo", visibility="public")
        before = gateway.log().count(" WARNING ")
        server.kill()
        client.break_off()

        await asyncio.sleep(3)  # in which whatever is tried each moment is tried again

        told = [line for line in gateway.log().splitlines() if " WARNING " in line][before:]
        assert len(told) == len(set(told)) == 3, told
        assert {line.rpartition("-")[2] for line in told} == {"store.", "publish.", "subscribe."}
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(gateway.await_ready)
        assert gateway.log().count(" is there again") == 3


async def test_who_is_looked_for_when_the_server_has_forgotten_all_is_found(
    server: RedisServer, gateways: tuple[Gateway, Gateway]
) -> None:
    """It forgets without a word: no connection breaks."""
    async with (
        await RawClient.connect(gateways[0].url) as provider,
        await RawClient.connect(gateways[1].url) as caller,
    ):
        echo = await provider.offer("echo", visibility="public", echo=lambda value: value)
        server.ask("FLUSHALL")
        found = await caller.manager("get_service", echo)

        server.ask("FLUSHALL")
        named = await caller.manager("get_service", "echo")

        server.ask("FLUSHALL")
        answer = await caller.call(provider.address, "services.echo.echo", "here")

    assert found["id"] == named["id"] == echo
    assert answer == "here"


async def test_nobody_may_call_what_is_protected_when_the_server_has_forgotten_that(
    server: RedisServer, gateways: tuple[Gateway, Gateway]
) -> None:
    async with (
        await RawClient.connect(gateways[0].url) as provider,
        await RawClient.connect(gateways[1].url) as stranger,
    ):
        called: list[str] = []
        await provider.offer("closed", visibility="protected", work=called.append)

        server.ask("FLUSHALL")
        with pytest.raises(Rejected, match="Permission denied"):
            await stranger.call(provider.address, "services.closed.work", "stolen")

    assert not called
