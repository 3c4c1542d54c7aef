"""Who is called decides in a real Redis how many instances of an app there are."""

import asyncio
import secrets
import time
from typing import Any

import pytest
from redis.asyncio import Redis

from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.instance import HELD, Scale, State, Wanted
from hypha_cluster.registry.instance_calls import InstanceCalls
from hypha_cluster.registry.instance_pages import InstancePages
from hypha_cluster.registry.instances import Instances
from hypha_cluster.registry.keys import Keys
from tests.app_rig import PAGE

LAZY = Scale(idle=30.0)
MANY = Scale(least=1, most=3, idle=30.0, target=2)


@pytest.fixture
def keys(redis_prefix: str) -> Keys:
    return Keys(redis_prefix)


@pytest.fixture
def calls(redis_client: RedisClient, keys: Keys) -> InstanceCalls:
    return InstanceCalls(redis_client, keys, "here")


def wanted(client: str, scale: Scale, app: str = "adder") -> Wanted:
    return Wanted("ann", client, app, "Adder", PAGE, "default", 60.0, scale=scale)


async def run(
    instances: Instances, pages: InstancePages, client: str, scale: Scale, app: str = "adder"
) -> str:
    """An instance that runs."""
    address, _ = await pages.ask(wanted(client, scale, app), shared=False)
    await run_all(instances)
    return address


async def run_all(instances: Instances) -> None:
    for address in await instances.see_to("r", 99):
        await instances.change(address, HELD, State.RUNNING, due=10)


async def states(instances: Instances) -> dict[str, State]:
    return {each.client: each.state for each in await instances.of_workspace("ann")}


async def let_time_pass(redis: Redis, keys: Keys, address: str) -> None:
    """As if nobody had called it for as long as it waits."""
    await redis.zadd(keys.watched_instances(), {address: 1}, xx=True)


async def test_who_is_not_called_for_so_long_stops(
    instances: Instances, pages: InstancePages, calls: InstanceCalls, redis: Redis, keys: Keys
) -> None:
    address = await run(instances, pages, "a", LAZY)
    await run(instances, pages, "always", Scale())

    assert await calls.report({}) == {address}
    assert (await instances.get(address)).state is State.RUNNING
    await let_time_pass(redis, keys, address)
    assert await calls.report({}) == frozenset()

    stopped = await instances.get(address)
    assert (stopped.state, stopped.then) == (State.STOPPING, State.STOPPED)
    assert stopped.reason == "Nobody has called it for 30 s."
    assert await redis.hget(keys.entered_states(), "stopping") == b"1"
    assert (await states(instances))["always"] is State.RUNNING
    assert await pages.ask(wanted("b", LAZY), shared=True) == ("ann/b", True)


async def test_a_call_anywhere_keeps_it_up(
    instances: Instances, pages: InstancePages, calls: InstanceCalls, redis: Redis, keys: Keys
) -> None:
    address = await run(instances, pages, "a", LAZY)
    await let_time_pass(redis, keys, address)

    assert await calls.report({address: 0, "ann/gone": 3}) == {address}

    due = await redis.zscore(keys.watched_instances(), address)
    assert 25_000 < float(due or 0) - time.time() * 1000 <= 30_000
    await let_time_pass(redis, keys, address)
    assert await pages.ask(wanted("b", LAZY), shared=True) == (address, False)
    assert await calls.report({}) == {address}  # whoever got it will call it


async def test_what_does_not_run_is_not_counted(
    instances: Instances, pages: InstancePages, calls: InstanceCalls
) -> None:
    address = await run(instances, pages, "a", LAZY)
    await instances.change(address, HELD, State.BACKOFF, due=10)

    assert await calls.report({address: 5}) == frozenset()


async def test_more_calls_have_more_instances_up_to_the_most(
    instances: Instances,
    pages: InstancePages,
    calls: InstanceCalls,
    redis_client: RedisClient,
    keys: Keys,
) -> None:
    address = await run(instances, pages, "a", MANY)
    there = InstanceCalls(redis_client, keys, "there")

    await calls.report({address: 2})
    assert len(await states(instances)) == 1  # as many as it should have
    await asyncio.gather(there.report({address: 1}), calls.report({address: 2}))
    assert sorted((await states(instances)).values()) == [State.PENDING, State.RUNNING]
    await calls.report({address: 99})
    assert len(await states(instances)) == 2  # it starts already
    await run_all(instances)
    await calls.report({address: 99})
    await run_all(instances)
    await calls.report({address: 99})

    found = await instances.of_workspace("ann")
    assert len(found) == 3
    assert (await instances.count()).entered["pending"] == 3
    assert {(each.app, each.name, each.wait_for, each.state) for each in found} == {
        ("adder", "Adder", "default", State.RUNNING)
    }


async def test_what_is_one_stays_one(
    instances: Instances, pages: InstancePages, calls: InstanceCalls
) -> None:
    address = await run(instances, pages, "a", LAZY)

    await calls.report({address: 99})

    assert await states(instances) == {"a": State.RUNNING}


async def test_what_a_lost_gateway_said_counts_no_more(
    instances: Instances, pages: InstancePages, calls: InstanceCalls, redis: Redis, keys: Keys
) -> None:
    address = await run(instances, pages, "a", MANY)
    await redis.hset(keys.instance(address), "load:lost", "99@1000")

    await calls.report({address: 1})

    assert await states(instances) == {"a": State.RUNNING}
    assert not await redis.hexists(keys.instance(address), "load:lost")


async def test_of_several_the_least_stay(
    instances: Instances, pages: InstancePages, calls: InstanceCalls, redis: Redis, keys: Keys
) -> None:
    addresses = [await run(instances, pages, client, MANY) for client in "abc"]
    for address in addresses:
        await let_time_pass(redis, keys, address)

    (left,) = await calls.report({})

    assert sorted((await states(instances)).values()) == [State.RUNNING, *[State.STOPPING] * 2]
    assert (await instances.get(left)).state is State.RUNNING


async def test_who_asks_gets_one_of_those_that_run(
    instances: Instances, pages: InstancePages
) -> None:
    first = await pages.ask(wanted("a", MANY), shared=True)
    assert first == ("ann/a", True)
    assert await pages.ask(wanted("x", MANY), shared=True) == ("ann/a", False)
    await run_all(instances)
    await run(instances, pages, "b", MANY)
    await pages.ask(wanted("waits", MANY), shared=False)

    chosen: list[Any] = []

    def choose(found: Any) -> str:
        chosen.append(found)
        return str(found[-1])

    assert await pages.ask(wanted("x", MANY), shared=True, choose=choose) == ("ann/b", False)
    assert chosen == [["ann/a", "ann/b"]]


async def test_who_is_more_is_begun_once_though_it_is_sent_again(
    instances: Instances,
    pages: InstancePages,
    calls: InstanceCalls,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = await run(instances, pages, "a", MANY)
    monkeypatch.setattr(secrets, "token_urlsafe", lambda _: "new")
    await calls.report({address: 99})
    await run_all(instances)
    before = await instances.of_workspace("ann")

    await calls.report({address: 99})

    assert await instances.of_workspace("ann") == before
    assert [(each.client, each.state, each.epoch) for each in before] == [
        ("a", State.RUNNING, 1),
        ("new1", State.RUNNING, 1),
    ]
