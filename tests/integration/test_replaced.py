"""Two programs of one client id: the later one has the place, and the earlier one stops trying."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from websockets.exceptions import InvalidStatus

from hypha_cluster.registry.keys import Keys
from tests.conftest import GatewayFactory
from tests.gateways import Gateway
from tests.metrics import metric
from tests.raw_client import RawClient

ID = "worker"


class Stage:
    """A host, whose token both programs connect with."""

    def __init__(self, host: RawClient, gateways: list[Gateway], token: str) -> None:
        self.gateways = gateways
        self.home = {"workspace": host.workspace, "token": token}

    async def start(self, gateway: int = 0, **query: str) -> RawClient:
        return await RawClient.connect(self.gateways[gateway].url, ID, **self.home, **query)

    async def replace(self, old: RawClient, gateway: int = 0) -> RawClient:
        """Start another program while the first one answers nothing."""
        old.pause()
        new = await self.start(gateway)
        old.resume()
        assert await old.closed() == 1000
        return new

    async def refusal(self, old: RawClient, gateway: int = 0) -> str:
        with pytest.raises(InvalidStatus) as refused:
            await self.start(gateway, reconnection_token=old.info["reconnection_token"])
        assert refused.value.response.status_code == 403
        return (refused.value.response.body or b"").decode()


@pytest.fixture(params=[0, 1], ids=["same node", "two nodes"])
def other(request: pytest.FixtureRequest) -> int:
    """Return the gateway where the program comes that is replaced."""
    number: int = request.param
    return number


@pytest.fixture
async def stage(gateway_factory: GatewayFactory) -> AsyncIterator[Stage]:
    gateways = [gateway_factory(), gateway_factory()]
    async with await RawClient.connect(gateways[0].url) as host:
        yield Stage(host, gateways, await host.manager("generate_token"))


async def test_who_was_replaced_is_refused_while_the_other_one_is_there(
    stage: Stage, other: int
) -> None:
    old = await stage.start(other)
    new = await stage.replace(old)

    assert "replaced" in await stage.refusal(old, other)
    assert "replaced" in await stage.refusal(old, 1 - other)

    assert await new.manager("echo", 5) == 5
    refused = sum(
        metric(gateway.url, "hypha_refused_admissions_total", reason="Replaced")
        for gateway in stage.gateways
    )
    assert refused == 2
    await new.close()


async def test_who_was_replaced_is_refused_while_the_other_one_is_between_two_connections(
    stage: Stage, redis: Redis, redis_prefix: str
) -> None:
    old = await stage.start()
    new = await stage.replace(old)
    new.break_off()
    key = Keys(redis_prefix).client(new.address)
    while await redis.hget(key, "state") != b"suspended":
        pass

    assert "replaced" in await stage.refusal(old)

    again = await stage.start(1, reconnection_token=new.info["reconnection_token"])
    assert await again.manager("echo", 5) == 5
    await again.close()


async def test_a_program_that_comes_back_is_not_taken_for_another_one(
    stage: Stage, other: int
) -> None:
    first = await stage.start()
    second = await stage.start(other, reconnection_token=first.info["reconnection_token"])

    assert await first.closed() == 1000
    third = await stage.start(other, reconnection_token=first.info["reconnection_token"])
    assert await second.closed() == 1000

    assert await third.manager("echo", 5) == 5
    await third.close()


async def test_who_was_replaced_may_start_anew_when_the_other_one_has_left(stage: Stage) -> None:
    old = await stage.start()
    new = await stage.replace(old)
    await new.close()

    assert "has left" in await stage.refusal(old)
    anew = await stage.start()
    assert await anew.manager("echo", 5) == 5
    await anew.close()
