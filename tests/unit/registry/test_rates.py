"""How fast somebody may use something, on two gateways whose clock is set by hand."""

import pytest
from redis.asyncio import Redis

from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.rates import Rate, Rates
from tests.fakes import FakeClock

RATE = Rate("frames", per_second=100.0, ahead=10.0)


class Gateways:
    """Two that count for themselves, and exchange."""

    def __init__(self, redis: RedisClient, prefix: str) -> None:
        self.clock = FakeClock()
        self.first, self.second = (Rates(redis, Keys(prefix), self.clock) for _ in range(2))

    async def exchange(self) -> None:
        for _ in range(2):
            await self.first.exchange()
            await self.second.exchange()


@pytest.fixture
def gateways(redis_client: RedisClient, redis_prefix: str) -> Gateways:
    return Gateways(redis_client, redis_prefix)


async def test_so_much_may_be_used_at_once_and_then_so_much_in_a_second(gateways: Gateways) -> None:
    rates = gateways.first
    assert [rates.ask(RATE, "ann", 500.0) for _ in range(3)] == [0.0, 0.0, pytest.approx(5.0)]
    assert rates.ask(RATE, "bob") == 0.0

    gateways.clock.now += 5.0

    assert [rates.ask(RATE, "ann", 500.0) for _ in range(2)] == [0.0, pytest.approx(5.0)]


async def test_what_is_larger_than_all_that_may_come_at_once_comes_when_nothing_else_does(
    gateways: Gateways,
) -> None:
    rates = gateways.first

    assert rates.ask(RATE, "ann", 3_000.0) == 0.0
    wait = rates.ask(RATE, "ann", 3_000.0)
    assert wait == pytest.approx(30.0)
    assert rates.ask(RATE, "ann") == pytest.approx(20.01)

    gateways.clock.now += wait

    assert rates.ask(RATE, "ann", 3_000.0) == 0.0


async def test_what_came_already_is_noted_though_it_is_too_much(gateways: Gateways) -> None:
    rates = gateways.first

    assert [rates.charge(RATE, "ann", 1_000.0) for _ in range(2)] == [0.0, pytest.approx(10.0)]


async def test_what_is_used_elsewhere_counts_here(gateways: Gateways) -> None:
    gateways.first.charge(RATE, "ann", 900.0)
    gateways.second.charge(RATE, "ann", 900.0)
    await gateways.exchange()
    gateways.first.charge(RATE, "ann", 10.0)  # so that it tells, and is told
    await gateways.exchange()

    for rates in (gateways.first, gateways.second):
        assert rates.ask(RATE, "ann") > 7.0


async def test_what_is_little_costs_no_command_and_is_forgotten(
    gateways: Gateways, redis: Redis, redis_prefix: str
) -> None:
    gateways.first.charge(RATE, "ann", 9.0)
    await gateways.exchange()

    assert [key async for key in redis.scan_iter(f"{redis_prefix}:*")] == []
    assert len(gateways.first) == 1

    gateways.clock.now += 11.0
    await gateways.exchange()

    assert len(gateways.first) == 0


async def test_what_is_dear_is_asked_of_redis(gateways: Gateways) -> None:
    rates = [gateways.first, gateways.second]
    waits = [await rates[n % 2].take(RATE, "ann", 250.0) for n in range(5)]

    assert waits[:4] == [0.0] * 4
    assert waits[4] == pytest.approx(2.5, abs=1.0)


async def test_nobody_waits_longer_than_for_what_may_be_used_at_once(gateways: Gateways) -> None:
    gateways.first.charge(RATE, "ann", 1e6)
    await gateways.first.exchange()
    await gateways.second.take(RATE, "ann")

    assert 0 < await gateways.second.take(RATE, "ann") <= RATE.ahead + 1
