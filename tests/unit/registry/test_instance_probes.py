"""Turns of probing, in a real Redis: each instance is probed by one gateway at a time."""

import asyncio
import secrets
import time

import pytest
from redis.asyncio import Redis

from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.instance import HELD, ProbeTimes, State
from hypha_cluster.registry.instance_pages import InstancePages
from hypha_cluster.registry.instance_probes import InstanceProbes, ProbeTurn
from hypha_cluster.registry.instances import Instances
from hypha_cluster.registry.keys import Keys
from tests.app_rig import wanted


@pytest.fixture
def keys(redis_prefix: str) -> Keys:
    return Keys(redis_prefix)


@pytest.fixture
def turns(redis_client: RedisClient, keys: Keys) -> InstanceProbes:
    return InstanceProbes(redis_client, keys)


async def test_a_probe_is_due_for_one_gateway(
    instances: Instances, turns: InstanceProbes, pages: InstancePages, redis: Redis, keys: Keys
) -> None:
    await pages.ask(wanted("a", probe=ProbeTimes(60.0, 0.0, 5.0)), shared=False)
    await pages.ask(wanted("b"), shared=False)
    await instances.see_to("r", 2)
    assert await turns.due() == []
    for address in ("ann/a", "ann/b"):
        await instances.change(address, HELD, State.RUNNING, due=10, epoch=1)

    due = await asyncio.gather(*(turns.due() for _ in range(5)))

    found = sorted([turn.address for turn in each] for each in due)
    assert found == [[], [], [], [], ["ann/a"]]


async def due_addresses(turns: InstanceProbes) -> list[str]:
    return [turn.address for turn in await turns.due()]


async def probed(instances: Instances, pages: InstancePages) -> str:
    """An instance that runs, and is probed each 0.1 s."""
    address, _ = await pages.ask(wanted("a", probe=ProbeTimes(0.1, 0.0, 60.0)), shared=False)
    await instances.see_to("r", 1)
    await instances.change(address, HELD, State.RUNNING, due=10, epoch=1)
    return address


async def left(redis: Redis, keys: Keys, address: str) -> float:
    """Milliseconds until the next probe."""
    return float(await redis.zscore(keys.probes(), address) or 0) - time.time() * 1000


async def test_no_probe_begins_before_the_last_one_is_noted(
    instances: Instances, turns: InstanceProbes, pages: InstancePages, redis: Redis, keys: Keys
) -> None:
    address = await probed(instances, pages)
    (turn,) = await turns.due()

    assert await left(redis, keys, address) > 60_000  # its patience, not its period
    assert await turns.note(turn, is_well=False, forgiven_after=600) == 1
    assert await left(redis, keys, address) <= 100


async def test_a_probe_counts_once_and_only_in_its_turn(
    instances: Instances, turns: InstanceProbes, pages: InstancePages, redis: Redis, keys: Keys
) -> None:
    address = await probed(instances, pages)
    (late,) = await turns.due()
    await redis.zadd(keys.probes(), {address: 1})  # as if its gateway were lost
    (turn,) = await turns.due()

    async def note(turn: ProbeTurn) -> int | None:
        return await turns.note(turn, is_well=False, forgiven_after=600)

    assert await note(late) is None
    assert [await note(turn), await note(turn)] == [1, 1]  # the reply was lost
    await redis.zadd(keys.probes(), {address: 1})
    (again,) = await turns.due()
    assert await note(again) == 2
    await redis.zadd(keys.probes(), {address: 1})
    (last,) = await turns.due()
    await instances.change(address, HELD, State.BACKOFF, due=10, epoch=1)
    assert await note(last) is None


@pytest.mark.parametrize(
    ("ran", "is_well", "restarts"), [(3_600, True, 0), (5, True, 9), (3_600, False, 9)]
)
async def test_restarts_are_forgiven_to_who_has_run_well(
    instances: Instances,
    turns: InstanceProbes,
    pages: InstancePages,
    redis: Redis,
    keys: Keys,
    ran: int,
    is_well: bool,
    restarts: int,
) -> None:
    address = await probed(instances, pages)
    await redis.hset(keys.instance(address), "probe_restarts", 9)
    await redis.hincrby(keys.instance(address), "changed", -ran * 1000)
    (turn,) = await turns.due()

    await turns.note(turn, is_well=is_well, forgiven_after=600)

    assert (await instances.get(address)).probe_restarts == restarts


async def test_a_gateway_hears_again_which_probes_are_its_own(
    instances: Instances,
    turns: InstanceProbes,
    pages: InstancePages,
    redis_client: RedisClient,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await probed(instances, pages)
    other = InstanceProbes(redis_client, keys)
    monkeypatch.setattr(secrets, "token_hex", lambda _: "this call")

    due = await turns.due()

    assert await turns.due() == due != []
    monkeypatch.undo()
    assert await other.due() == []


async def test_looking_for_probes_reads_only_those_that_are_due(
    instances: Instances, turns: InstanceProbes, pages: InstancePages, redis: Redis, keys: Keys
) -> None:
    for client, probe in (
        ("a", ProbeTimes(60.0, 0.0, 5.0)),
        ("later", ProbeTimes(60.0, 50.0, 5.0)),
        ("none", None),
    ):
        await pages.ask(wanted(client, probe=probe), shared=False)
    await instances.see_to("r", 3)
    for client in ("a", "later", "none"):
        await instances.change(f"ann/{client}", HELD, State.RUNNING, due=10, epoch=1)

    assert {*await redis.zrange(keys.probes(), 0, -1)} == {b"ann/a", b"ann/later"}
    assert await due_addresses(turns) == ["ann/a"]
    assert await turns.due() == []
    await redis.zadd(keys.probes(), {"ann/a": 1})
    assert await due_addresses(turns) == ["ann/a"]
    await instances.end("ann/a")
    assert await redis.zrange(keys.probes(), 0, -1) == [b"ann/later"]
