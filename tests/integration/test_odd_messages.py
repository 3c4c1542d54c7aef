"""What a gateway does not understand of what comes over the bus costs nobody anything."""

import asyncio

from redis.asyncio import Redis

from hypha_cluster.protocol.envelope import pack
from hypha_cluster.registry.keys import Keys
from tests.conftest import GatewayFactory
from tests.metrics import metric
from tests.raw_client import RawClient

ODD = [
    b"\x00",
    b"\xc1",
    b"\x81",
    b"\x81\xa2to",
    b"\xdf\xff\xff\xff\xff",
    b"\x81\xa4from\xa2\xff\xfe",
    pack(["left"]),
    pack(["left", 7, None]),
    pack(["ousted", "a"]),
    pack(["something new"]),
    pack([99, "left", "ann/me"]),
    pack([["s", "t"]]),
    pack({}),
    b"\x81\x01\x02",
    pack({"from": 1, "to": 2, "method": 3}),
    pack({"from": "a/b", "type": "method", "method": ["x.resolve"]}),
    pack({"from": "a/b", "to": "c/d", "type": "method", "method": "x.resolve"}) + pack([1]),
    pack({"from": "a/b", "to": "c/d", "type": "method", "method": "services.x.y"})
    + pack({"args": 5, "promise": 7}),
]


async def test_odd_messages_are_dropped_and_all_goes_on(
    gateway_factory: GatewayFactory, redis: Redis, redis_prefix: str
) -> None:
    keys = Keys(redis_prefix)
    first, second = gateway_factory(node_name="first"), gateway_factory(node_name="second")
    async with (
        await RawClient.connect(first.url) as provider,
        await RawClient.connect(second.url) as caller,
    ):
        await provider.offer("mirror", "public", echo=lambda value: value)
        before = await subscribers(redis)

        for message in ODD:
            for channel in (
                keys.events(),
                keys.node_channel("first"),
                keys.node_channel("second"),
                keys.channel(provider.address),
                keys.channel(caller.address),
            ):
                await redis.execute_command("SPUBLISH", channel, message)  # type: ignore[no-untyped-call]  # redis-py has none for it

        assert await caller.call(provider.address, "services.mirror.echo", 5) == 5
    assert await subscribers(redis) == before
    for gateway in (first, second):
        dropped = await asyncio.to_thread(
            metric, gateway.url, "hypha_dropped_messages_total", kind="event"
        )
        assert dropped > len(ODD)
        assert "Traceback" not in gateway.log()


async def subscribers(redis: Redis) -> set[str]:
    clients = await redis.client_list()
    return {each["id"] for each in clients if each["name"].endswith("-subscribe")}
