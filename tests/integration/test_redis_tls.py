"""Gateways on a Redis that speaks TLS, and on the oldest Redis that will do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hypha_cluster.errors import StartupError
from hypha_cluster.serving.preflight import check_redis
from tests.conftest import GatewayFactory
from tests.raw_client import RawClient
from tests.redis_servers import (
    DEBIANS,
    HOST,
    WITHOUT_DEBIANS,
    RedisServer,
    plain_server,
    tls_server,
)

pytestmark = pytest.mark.skipif(not DEBIANS, reason=WITHOUT_DEBIANS)


@pytest.fixture
def tls_url(tmp_path: Path) -> Iterator[str]:
    with tls_server(tmp_path / "redis") as (_, url):
        yield url


@pytest.fixture
def oldest(tmp_path: Path) -> Iterator[RedisServer]:
    with plain_server(tmp_path / "redis", binary=DEBIANS) as server:
        yield server


async def assert_calls_work(gateway_factory: GatewayFactory, url: str) -> None:
    here, there = gateway_factory(redis_url=url), gateway_factory(redis_url=url)
    async with await RawClient.connect(here.url) as provider:
        await provider.offer("echo", visibility="public", echo=lambda value: value)
        async with await RawClient.connect(there.url) as caller:
            assert await caller.call(provider.address, "services.echo.echo", b"x" * 100_000)
            found = await caller.manager("get_service", f"{provider.address}:echo")

    assert found["id"].endswith("echo")


async def test_calls_between_gateways_over_tls(
    tls_url: str, gateway_factory: GatewayFactory
) -> None:
    await assert_calls_work(gateway_factory, tls_url)


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    with (
        tls_server(tmp_path / "redis") as (server, _),
        pytest.raises(StartupError, match="certificate verify failed"),
    ):
        await check_redis(f"rediss://{HOST}:{server.port}")


async def test_calls_between_gateways_on_the_oldest_redis(
    oldest: RedisServer, gateway_factory: GatewayFactory
) -> None:
    assert oldest.ask("INFO", "server")["redis_version"] >= "7.0"
    await assert_calls_work(gateway_factory, oldest.url)
