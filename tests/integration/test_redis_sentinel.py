"""Gateways on a master that Sentinels watch: the master fails, another one takes over."""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.call_loop import CallLoop
from tests.conftest import GatewayFactory
from tests.gateways import SECOND, Gateway
from tests.raw_client import RawClient
from tests.redis_groups import SentinelGroup
from tests.redis_servers import RedisServer, eventually

HEALING = 8 * SECOND  # 1 s until the Sentinels see it, 1 or 2 until they have acted

Report = Callable[[str, object], None]
Failure = Callable[[SentinelGroup, RedisServer], None]


@pytest.fixture
def group(tmp_path: Path) -> Iterator[SentinelGroup]:
    with SentinelGroup(tmp_path / "redis") as group:
        yield group


@pytest.fixture
def gateways(group: SentinelGroup, gateway_factory: GatewayFactory) -> tuple[Gateway, Gateway]:
    return gateway_factory(redis_url=group.url), gateway_factory(redis_url=group.url)


def kill(_: SentinelGroup, master: RedisServer) -> None:
    master.kill()


def freeze(_: SentinelGroup, master: RedisServer) -> None:
    master.freeze()


def replace(group: SentinelGroup, _: RedisServer) -> None:
    group.sentinels[0].ask("SENTINEL", "FAILOVER", group.service)


@pytest.mark.chaos
@pytest.mark.parametrize("fail", [kill, freeze, replace])
async def test_calls_go_on_with_another_master(
    group: SentinelGroup,
    gateways: tuple[Gateway, Gateway],
    fail: Failure,
    record_property: Report,
) -> None:
    master = group.master()
    async with (
        await RawClient.connect(gateways[0].url) as provider,
        await RawClient.connect(gateways[1].url) as caller,
    ):
        service = await provider.offer("echo", visibility="public", echo=lambda value: value)
        async with CallLoop(caller, provider, "echo") as loop:
            await loop.goes_on()

            began = time.monotonic()
            await asyncio.to_thread(fail, group, master)

            await asyncio.to_thread(eventually, lambda: group.master() is not master, "a master")
            await loop.goes_on(count=200)
            if fail is freeze:
                master.thaw()
                await loop.goes_on(count=200)
        found = await caller.manager("get_service", service)

    record_property("healed", f"{loop.healed_after(began):.2f} s")
    record_property("failures", loop.failures())
    assert loop.healed_after(began) < HEALING
    assert found["id"].endswith("echo")
    assert loop.executed_twice() == set()
    assert loop.executed_after_failing() == set()
