"""What is left of clients that are gone: nothing."""

import asyncio
from collections.abc import Callable

from redis.asyncio import Redis

from hypha_cluster.registry.keys import Keys
from tests.conftest import GatewayFactory
from tests.gateways import SECOND
from tests.metrics import metric
from tests.raw_client import RawClient

CLIENTS = 200
AT_ONCE = 20
LIMIT = 60 * SECOND
# What a cluster keeps whoever is there; leases and what is probed of them come and go.
OF_THE_CLUSTER = ("secret", "leases", "node:", "first-invitation", "invitation:", "told:")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def live_and_leave(url: str, number: int) -> None:
    async with await RawClient.connect(url) as client:
        client.functions["services.hello.hello"] = lambda name: f"Hello {name}"
        service = {
            "id": f"{client.client_id}:hello-{number}",
            "name": "hello",
            "type": "generic",
            "config": {"visibility": "public" if number % 2 else "protected"},
        }
        info = {"id": client.client_id, "services": [service]}
        await client.manager("update_client_info", info)
        assert await client.manager("echo", number) == number
        answer = await client.call(client.address, "services.hello.hello", "me")
        assert answer == "Hello me"


async def keys_of_clients(redis: Redis, prefix: str) -> list[str]:
    keys = [key.decode() async for key in redis.scan_iter(f"{prefix}:*", count=1000)]
    names = [key.removeprefix(f"{prefix}:") for key in keys]
    kept = (name for name in names if not name.startswith(OF_THE_CLUSTER))
    return sorted(name for name in kept if not name.endswith(":left"))  # it expires


async def test_clients_that_leave_leave_nothing_behind(
    gateway_factory: GatewayFactory, redis: Redis, redis_prefix: str
) -> None:
    gateways = [gateway_factory(), gateway_factory()]
    await live_and_leave(gateways[0].url, 0)
    await until(lambda: all(metric(g.url, "hypha_connections") == 0 for g in gateways))
    tasks = [metric(gateway.url, "hypha_tasks") for gateway in gateways]

    for start in range(0, CLIENTS, AT_ONCE):
        numbers = range(start, start + AT_ONCE)
        await asyncio.gather(*(live_and_leave(gateways[n % 2].url, n) for n in numbers))
    await until(lambda: all(metric(g.url, "hypha_connections") == 0 for g in gateways))

    await until(
        lambda: all(
            metric(g.url, "hypha_tasks") <= before
            for g, before in zip(gateways, tasks, strict=True)
        )
    )
    assert await keys_of_clients(redis, redis_prefix) == []
    assert all(metric(gateway.url, "hypha_pending_calls") == 0 for gateway in gateways)


async def test_a_node_holds_at_most_four_connections_to_redis(
    gateway_factory: GatewayFactory, redis: Redis
) -> None:
    before = len(await redis.client_list())
    gateway = gateway_factory()

    await asyncio.gather(*(live_and_leave(gateway.url, n) for n in range(AT_ONCE)))

    assert len(await redis.client_list()) - before <= 4


async def test_a_client_that_redis_has_lost_without_a_word_is_known_again(
    gateway_factory: GatewayFactory, redis: Redis, redis_prefix: str
) -> None:
    """As when one of several Redis servers comes back empty."""
    keys = Keys(redis_prefix)
    async with await RawClient.connect(gateway_factory().url) as client:
        service = await client.offer("mirror", "public")
        await redis.delete(
            keys.client(client.address),
            keys.client_services(client.address),
            keys.services(client.workspace),
        )

        async with asyncio.timeout(LIMIT):
            while service not in [each["id"] for each in await client.manager("list_services")]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # the listing is all that tells


async def test_the_place_of_who_leaves_is_free_at_once(gateway_factory: GatewayFactory) -> None:
    urls = [gateway_factory().url for _ in range(2)]
    async with await RawClient.connect(urls[0]) as host:

        async def come_and_go(seat: str) -> list[str]:
            had = []
            for url in urls * 5:  # each time as another user
                token = await host.manager("generate_token")
                guest = await RawClient.connect(url, seat, workspace=host.workspace, token=token)
                had.append(guest.address)
                await guest.close()
            return had

        seats = [f"seat-{number}" for number in range(AT_ONCE)]
        had = await asyncio.gather(*(come_and_go(seat) for seat in seats))
        assert had == [[f"{host.workspace}/{seat}"] * 10 for seat in seats]
