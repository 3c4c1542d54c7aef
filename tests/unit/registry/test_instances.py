"""Instances in a real Redis: each change is made once, by who may make it, whatever happens."""

import asyncio
import secrets
import time

import pytest
from redis.asyncio import Redis

from hypha_cluster.errors import NotFound
from hypha_cluster.links.client import RedisClient
from hypha_cluster.protocol.limits import APP_ENDS
from hypha_cluster.registry import instances as registry
from hypha_cluster.registry.instance import HELD, ProbeTimes, State
from hypha_cluster.registry.instance_logs import InstanceLogs
from hypha_cluster.registry.instance_pages import InstancePages
from hypha_cluster.registry.instances import Instances
from hypha_cluster.registry.keys import Keys
from tests.app_rig import let_lease_end, wanted


@pytest.fixture
def keys(redis_prefix: str) -> Keys:
    return Keys(redis_prefix)


async def test_an_instance_is_taken_by_one_runner(
    instances: Instances, pages: InstancePages
) -> None:
    for number in range(10):
        await pages.ask(wanted(f"c{number}"), shared=False)

    taken = await asyncio.gather(*(instances.see_to(f"r{number}", 3) for number in range(5)))

    addresses = [address for each in taken for address in each]
    assert len(addresses) == len({*addresses}) == 10
    assert max(map(len, taken)) == 3
    assert sorted(await instances.runners()) == [f"r{number}" for number in range(5)]
    for number, each in enumerate(taken):
        for address in each:
            instance = await instances.get(address)
            assert (instance.runner, instance.epoch) == (f"r{number}", 1)
            assert instance.state is State.STARTING


async def test_what_an_earlier_epoch_says_is_not_heard(
    instances: Instances, pages: InstancePages, redis: Redis, keys: Keys
) -> None:
    address, _ = await pages.ask(wanted("a"), shared=False)
    await instances.see_to("first", 1)
    assert (await instances.change(address, HELD, State.RUNNING, due=10, epoch=1)).is_done
    await let_lease_end(redis, keys, address)

    assert await instances.see_to("second", 1) == [address]

    refused = await instances.change(address, HELD, State.RUNNING, due=10, epoch=1)
    assert (refused.is_done, refused.state, refused.epoch) == (False, State.STARTING, 2)
    assert (await instances.get(address)).runner == "second"
    assert (await instances.change(address, HELD, State.RUNNING, due=10, epoch=2)).is_done


async def test_a_lost_runner_leaves_its_instances_waiting(
    instances: Instances, pages: InstancePages, redis: Redis, keys: Keys
) -> None:
    address, _ = await pages.ask(wanted("a"), shared=False)
    await instances.see_to("gone", 1)
    await let_lease_end(redis, keys, address)

    assert await instances.see_to() == []

    left = await instances.get(address)
    assert (left.state, left.reason) == (State.PENDING, "The runner gone is lost.")


async def test_who_is_stopped_is_stopped_by_its_runner_or_without(
    instances: Instances, pages: InstancePages, redis: Redis, keys: Keys
) -> None:
    address, _ = await pages.ask(wanted("a"), shared=False)
    await instances.see_to("r", 1)

    assert (await instances.end(address)).is_done
    assert (await instances.get(address)).state is State.STOPPING
    assert not (await instances.change(address, HELD, State.RUNNING, due=10, epoch=1)).is_done
    await let_lease_end(redis, keys, address)
    await instances.see_to()
    assert (await instances.get(address)).state is State.STOPPED
    await let_lease_end(redis, keys, address)
    await instances.see_to()
    await instances.leave("r")

    with pytest.raises(NotFound, match="Server app instance not found: a"):
        await instances.get(address)
    left = {key.decode() async for key in redis.scan_iter(f"{keys.prefix}:*apps*")}
    assert left == {keys.entered_states()}  # numbers, of which there are always the same few


async def ended(instances: Instances, pages: InstancePages, logs: InstanceLogs, client: str) -> str:
    address, _ = await pages.ask(wanted(client), shared=False)
    await logs.write(address, "error", ["bad"])
    await instances.end(address, because="it had to")
    return address


async def test_of_what_is_over_a_workspace_keeps_the_last(
    instances: Instances, pages: InstancePages, redis_client: RedisClient, redis: Redis, keys: Keys
) -> None:
    logs = InstanceLogs(redis_client, keys)
    for number in range(APP_ENDS + 20):
        await ended(instances, pages, logs, f"c{number:02}")
    await pages.ask(wanted("c19"), shared=False)  # again, so it is not over any more

    await instances.see_to()

    known = await instances.of_workspace("ann")
    assert [each.client for each in known] == [f"c{each:02}" for each in range(19, APP_ENDS + 20)]
    assert known[0].state is State.PENDING
    logged = [key async for key in redis.scan_iter(keys.instance_log("*", "*"))]
    assert len(logged) == APP_ENDS + 1  # that of who was asked for again, too
    assert await redis.zcard(keys.ended_instances("ann")) == APP_ENDS


async def test_what_is_forgotten_leaves_nothing(
    instances: Instances, pages: InstancePages, redis_client: RedisClient, redis: Redis, keys: Keys
) -> None:
    logs = InstanceLogs(redis_client, keys)
    over = await ended(instances, pages, logs, "over")
    for client in ("runs", "stops", "waits"):
        await pages.ask(wanted(client, probe=ProbeTimes(60.0, 0.0, 5.0)), shared=False)
        await logs.write(f"ann/{client}", "log", ["here"])
        if client != "waits":
            await instances.see_to("r", 1)
            await instances.change(f"ann/{client}", HELD, State.RUNNING, due=10, epoch=1)
    await instances.end("ann/stops")

    for address in (over, "ann/runs", "ann/stops", "ann/waits"):
        await instances.forget(address)
    for client in ("runs", "stops"):
        stopping = frozenset((State.STOPPING,))
        assert (await instances.change(f"ann/{client}", stopping, State.STOPPED, due=99)).is_done
    await instances.see_to()
    await instances.leave("r")

    left = {key.decode() async for key in redis.scan_iter(f"{keys.prefix}:*apps*")}
    assert left == {keys.entered_states()}  # numbers, of which there are always the same few


async def test_what_a_runner_took_it_hears_again(
    instances: Instances, pages: InstancePages, monkeypatch: pytest.MonkeyPatch
) -> None:
    for client in ("a", "b", "c"):
        await pages.ask(wanted(client), shared=False)
    monkeypatch.setattr(secrets, "token_hex", lambda _: "this call")

    taken = await instances.see_to("r", 2)

    assert await instances.see_to("r", 2) == taken == ["ann/a", "ann/b"]
    assert await instances.see_to("other", 0) == []
    monkeypatch.setattr(secrets, "token_hex", lambda _: "another call")
    assert await instances.see_to("r", 2) == ["ann/c"]


@pytest.mark.parametrize("looked_at", [2, 5])
async def test_those_that_wait_hide_no_others(
    instances: Instances,
    pages: InstancePages,
    redis: Redis,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
    looked_at: int,
) -> None:
    monkeypatch.setattr(registry, "_LOOKED_AT", looked_at)
    lost, over = [(await pages.ask(wanted(client), shared=False))[0] for client in "lo"]
    await instances.end(over)
    await instances.see_to("r", 1)
    await instances.change(lost, HELD, State.RUNNING, due=10)
    waiting = [(await pages.ask(wanted(f"c{n}"), shared=False))[0] for n in range(8)]
    for address in (lost, over):  # as if their time had come just now
        await redis.zadd(keys.instances(), {address: time.time() * 1000})

    async with asyncio.timeout(30):
        while (await instances.get(lost)).state is State.RUNNING or await instances.find(over):
            await instances.see_to()

    assert await instances.see_to("s", 2) == waiting[:2]  # who came first


async def test_what_there_is_is_counted(instances: Instances, pages: InstancePages) -> None:
    for client in ("a", "b", "c"):
        await pages.ask(wanted(client), shared=False)
    await instances.see_to("r1", 2)
    await instances.see_to("r2", 0)
    await instances.change("ann/a", HELD, State.RUNNING, due=10)
    await instances.change("ann/b", HELD, State.BACKOFF, due=10, runner="")
    await instances.end("ann/b", because="it had to")

    tally = await instances.count()

    assert tally.states == {"pending": 1, "running": 1, "failed": 1}
    assert (tally.used, tally.free, tally.runners) == (1, 0, 2)
    assert tally.entered == {
        **{"pending": 3, "starting": 2, "running": 1, "backoff": 1, "failed": 1}
    }


async def test_slots_of_runners_that_have_left_are_not_counted(instances: Instances) -> None:
    await instances.see_to("r1", 8)
    await instances.see_to("r2", 5)
    await instances.leave("r1")

    tally = await instances.count()

    assert (tally.free, tally.runners) == (5, 1)
