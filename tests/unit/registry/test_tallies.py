"""How many of something somebody has, on two gateways."""

import pytest
from redis.asyncio import Redis

from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.tallies import Tally


@pytest.fixture
def tallies(redis_client: RedisClient, redis_prefix: str) -> list[Tally]:
    keys = Keys(redis_prefix)
    return [Tally(redis_client, keys, "connections", node, 100) for node in ("first", "second")]


async def exchange(tallies: list[Tally]) -> None:
    for _ in range(2):
        for each in tallies:
            await each.exchange()


async def test_what_is_elsewhere_counts_here_until_it_has_gone(tallies: list[Tally]) -> None:
    first, second = tallies
    first.change("ann", 60)
    second.change("ann", 30)
    await exchange(tallies)

    assert (first.has_room("ann", 10), first.has_room("ann", 11)) == (True, False)
    assert second.has_room("bob", 100)

    first.change("ann", -60)
    await exchange(tallies)

    assert (second.has_room("ann", 70), second.has_room("ann", 71)) == (True, False)


async def test_of_who_has_few_nobody_is_told(
    tallies: list[Tally], redis: Redis, redis_prefix: str
) -> None:
    tallies[0].change("ann", 1)
    await exchange(tallies)

    assert [key async for key in redis.scan_iter(f"{redis_prefix}:*")] == []


async def test_a_gateway_that_says_nothing_more_does_not_count(
    tallies: list[Tally], redis: Redis, redis_prefix: str
) -> None:
    tallies[0].change("ann", 60)
    await exchange(tallies)
    key = Keys(redis_prefix).tally("connections", "ann")
    assert 0 < await redis.pttl(key) <= 10_000

    await redis.hset(key, "dead", "90 1")
    await exchange(tallies)

    assert tallies[0].has_room("ann", 40)
    assert not await redis.hexists(key, "dead")


async def test_without_a_limit_there_is_room(redis_client: RedisClient, redis_prefix: str) -> None:
    tally = Tally(redis_client, Keys(redis_prefix), "services", "node", 0)
    tally.change("ann", 1_000_000)

    assert tally.has_room("ann", 1_000_000)
