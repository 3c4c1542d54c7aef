"""Apps that are kept up, in a real Redis: as many instances are there as are to be, unasked."""

import asyncio
import secrets
import time

import pytest
from redis.asyncio import Redis

from hypha_cluster.links.client import RedisClient
from hypha_cluster.protocol.limits import APP_INSTANCES
from hypha_cluster.registry.instance import ACTIVE, HELD, Scale, State
from hypha_cluster.registry.instance_pages import InstancePages
from hypha_cluster.registry.instances import Instances
from hypha_cluster.registry.kept_apps import KeptApps
from hypha_cluster.registry.keys import Keys
from tests.app_rig import SEALS, wanted


@pytest.fixture
def keys(redis_prefix: str) -> Keys:
    return Keys(redis_prefix)


@pytest.fixture
def kept(redis_client: RedisClient, keys: Keys) -> KeptApps:
    return KeptApps(redis_client, keys, SEALS)


async def test_an_app_that_is_kept_up_is_there_unasked(
    instances: Instances, pages: InstancePages, kept: KeptApps, redis: Redis, keys: Keys
) -> None:
    await kept.keep(wanted("", scale=Scale(least=2, most=2)))

    new = await asyncio.gather(*(kept.see_to() for _ in range(5)))

    assert len([address for each in new for address in each]) == 2
    found = await instances.of_workspace("ann")
    assert {(each.app, each.state, each.timeout) for each in found} == {
        ("adder", State.PENDING, 60.0)
    }
    assert (await pages.ask(wanted("x", scale=Scale()), shared=True))[1] is False
    await redis.zadd(keys.kept_apps(), {"ann/adder": 1})
    assert await kept.see_to() == []


async def test_what_is_missing_of_it_is_started(
    instances: Instances, kept: KeptApps, redis: Redis, keys: Keys
) -> None:
    await kept.keep(wanted("", scale=Scale(least=1)))
    (first,) = await kept.see_to()
    await instances.end(first)
    await redis.zadd(keys.kept_apps(), {"ann/adder": 1})

    (second,) = await kept.see_to()

    assert second != first
    assert (await instances.count()).entered["pending"] == 2
    await kept.release("ann/adder")
    await instances.end(second)
    assert await kept.see_to() == []
    assert [key async for key in redis.scan_iter(f"{keys.prefix}:*kept*")] == []


async def test_what_has_failed_is_left_alone_for_a_while(
    instances: Instances, kept: KeptApps, redis: Redis, keys: Keys
) -> None:
    await kept.keep(wanted("", scale=Scale(least=1)))
    (first,) = await kept.see_to()
    await instances.end(first, because="it had to")
    await redis.zadd(keys.kept_apps(), {"ann/adder": 1})

    assert await kept.see_to() == []
    due = await redis.zscore(keys.kept_apps(), "ann/adder")
    assert 200_000 < float(due or 0) - time.time() * 1000 <= 300_000
    await redis.hincrby(keys.instance(first), "changed", -300_001)
    await redis.zadd(keys.kept_apps(), {"ann/adder": 1})
    assert len(await kept.see_to()) == 1


async def test_keeping_up_keeps_to_the_bound_of_a_workspace(
    instances: Instances, pages: InstancePages, kept: KeptApps
) -> None:
    for number in range(APP_INSTANCES - 1):
        await pages.ask(wanted(f"c{number}", "other", scale=Scale()), shared=False)
    await kept.keep(wanted("", scale=Scale(least=3, most=3)))

    assert len(await kept.see_to()) == 1
    assert sum(each.state in ACTIVE for each in await instances.of_workspace("ann")) == (
        APP_INSTANCES
    )


async def test_what_is_started_unasked_stays_when_it_is_sent_again(
    instances: Instances, kept: KeptApps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "token_urlsafe", lambda _: "new")
    await kept.keep(wanted("", scale=Scale(least=1)))
    await kept.see_to()
    for address in await instances.see_to("r", 99):
        await instances.change(address, HELD, State.RUNNING, due=10)
    (before,) = await instances.of_workspace("ann")
    await kept.keep(wanted("", "other", scale=Scale(least=2, most=2)))

    await kept.see_to()

    first, *others = await instances.of_workspace("ann")
    assert first == before
    assert [(each.app, each.state) for each in others] == [("other", State.PENDING)] * 2
