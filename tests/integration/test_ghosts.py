"""Clients that look attached to a dead gateway: not for ever, and no call to them is silent."""

import signal
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from hypha_cluster.identity.access import Identity, own_workspace
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.clients import Attachment, ClaimMode, ClientRegistry
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.public import PublicListing
from tests.conftest import GatewayFactory
from tests.gateways import SECOND, Gateway
from tests.raw_client import RawClient, Rejected


@pytest.fixture
def gateway(gateway_factory: GatewayFactory) -> Gateway:
    return gateway_factory(reconnect_grace=60)


@pytest.fixture
async def caller(gateway: Gateway) -> AsyncIterator[RawClient]:
    async with await RawClient.connect(gateway.url) as caller:
        yield caller


class Attach:
    """Has a client in the workspace of another one look attached."""

    def __init__(self, client: RedisClient, redis: Redis, keys: Keys) -> None:
        self.redis = redis
        self.keys = keys
        self._registry = ClientRegistry(client, keys, PublicListing(client, keys))

    async def __call__(self, neighbour: RawClient, name: str, node: str) -> str:
        user = Identity(neighbour.user["id"])
        address = f"{neighbour.workspace}/{name}"
        attachment = Attachment(address, name, own_workspace(user), user, f"{node}#1", node)
        await self._registry.noted(await self._registry.claim(attachment, ClaimMode.NEW))
        return address

    async def state(self, address: str) -> bytes | str | None:
        return await self.redis.hget(self.keys.client(address), "state")


@pytest.fixture
async def attach(redis_client: RedisClient, redis: Redis, redis_prefix: str) -> Attach:
    return Attach(redis_client, redis, Keys(redis_prefix))


async def test_a_call_to_a_ghost_has_an_answer(caller: RawClient, attach: Attach) -> None:
    """Nothing leads to this one: neither a lease, nor the list of its gateway's clients."""
    ghost = await attach(caller, "ghost", "dead")
    await attach.redis.delete(attach.keys.node_clients("dead"))

    with pytest.raises(Rejected, match="ghost is away: its connection broke"):
        await caller.call(ghost, "services.built-in.ping", "ping")

    assert await attach.state(ghost) == b"suspended"


async def test_a_call_to_a_client_of_a_gateway_that_has_just_died_has_an_answer(
    caller: RawClient, attach: Attach
) -> None:
    """It waits until the lease has ended, and then no longer than from the crash on."""
    victim = await attach(caller, "victim", "dying")
    lasts = 2_000
    await attach.redis.hset(attach.keys.node("dying"), mapping={"epoch": "x", "about": "{}"})
    await attach.redis.pexpire(attach.keys.node("dying"), lasts)
    await attach.redis.zadd(attach.keys.leases(), {"dying": int(time.time() * 1000) + lasts})
    began = time.monotonic()

    with pytest.raises(Rejected, match="victim is away"):
        await caller.place(
            {"type": "method", "to": victim, "method": "services.built-in.ping"},
            {"args": ["ping"]},
            limit=15 * SECOND,
        )

    # The lease was renewed for the last time 3 s before, and a client is waited for for 8 s.
    assert time.monotonic() - began > 4


async def test_a_client_whose_gateway_lives_is_waited_for(
    caller: RawClient, attach: Attach
) -> None:
    there = await attach(caller, "there", "alive")
    await attach.redis.hset(attach.keys.node("alive"), mapping={"epoch": "x", "about": "{}"})

    with pytest.raises(TimeoutError):
        await caller.place(
            {"type": "method", "to": there, "method": "services.built-in.ping"},
            {"args": ["ping"]},
            limit=4 * SECOND,
        )

    assert await attach.state(there) == b"online"
    assert await attach.redis.llen(attach.keys.mail(there)) == 1


async def test_a_call_at_a_gateway_itself_ends_with_its_lease(
    caller: RawClient, gateway_factory: GatewayFactory
) -> None:
    """So clients call what a gateway has passed on; only the end of its lease tells of its end."""
    other = gateway_factory(node_name="other")
    other.send_signal(signal.SIGSTOP)  # it takes what is sent to it, and does nothing with it
    try:
        with pytest.raises(Rejected, match="Gateway other ended before it answered"):
            await caller.place(
                {"type": "method", "to": f"{caller.workspace}/~other", "method": "session.send"},
                {"args": []},
                limit=20 * SECOND,
            )
    finally:
        other.kill()
