"""What happens to clients with event streams: they are slow, expelled, sent away, or forgotten."""

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from redis.asyncio import Redis

from hypha_cluster.config import Config
from hypha_cluster.identity.access import Identity
from hypha_cluster.identity.revocation import Revocation
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.revocations import Revocations
from hypha_cluster.settings import MIB
from hypha_cluster.web import sse
from tests.conformance.python_scene import eventually
from tests.conftest import GatewayFactory
from tests.gateways import SECOND, Gateway
from tests.http import ask
from tests.in_process import served
from tests.metrics import metric
from tests.raw_client import RawClient, Rejected
from tests.redis_servers import RedisServer, plain_server
from tests.sse_client import EventSource, Refused, SseClient
from tests.token_rig import SECRET, token_of, tokens_of

LIMIT = 30 * SECOND
ANN = Identity("ann", False, "ann@example.org")
FRAME = bytes(500_000)


async def streams(gateway: Gateway) -> float:
    return await asyncio.to_thread(metric, gateway.url, "hypha_event_streams")


async def has_no_stream(gateway: Gateway) -> bool:
    return not await streams(gateway)


async def test_a_reader_that_takes_nothing_is_dropped_and_costs_no_more_than_its_outbox(
    gateway_factory: GatewayFactory,
) -> None:
    gateway = gateway_factory(outbox_size=4 * MIB, send_timeout=2)
    async with (
        await RawClient.connect(gateway.url) as caller,
        await SseClient.connect(
            gateway.url,
            workspace=caller.workspace,
            token=await caller.manager("generate_token"),
        ) as slow,
    ):
        slow.stream.transport.pause_reading()
        calls = [
            asyncio.create_task(caller.call(slow.address, "services.x.y", FRAME)) for _ in range(60)
        ]
        with pytest.raises(Rejected, match="is busy"):
            async with asyncio.timeout(LIMIT):
                await next(asyncio.as_completed(calls))

        assert await asyncio.to_thread(metric, gateway.url, "hypha_outbox_bytes") < 10 * MIB
        await eventually(partial(has_no_stream, gateway))
        assert await asyncio.to_thread(metric, gateway.url, "hypha_outbox_bytes") == 0
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        slow.stream.transport.resume_reading()
        await slow.closed()


async def test_who_is_revoked_or_kicked_does_not_come_back(
    gateway_factory: GatewayFactory, redis_client: RedisClient, redis_prefix: str
) -> None:
    first, second = (gateway_factory(jwt_secret=SECRET) for _ in range(2))
    revocations = Revocations(redis_client, Keys(redis_prefix))
    token = token_of(ANN)
    identity = await tokens_of().verify(token)
    assert identity.origin
    revoked = await SseClient.connect(first.url, token=token)
    kicked = await SseClient.connect(second.url)

    await revocations.note(
        Revocation.of_token(identity.origin.token, identity.expires_at, time.time())
    )
    await revocations.note(Revocation.of_client(kicked.address, time.time()))

    for client in (revoked, kicked):
        await client.closed()
        for gateway in (first, second):
            assert await refusal_of(client, gateway.url) in (401, 403, 409)
        answer = await client.stream.post(b"", second.url)
        assert answer.status == 404, answer


async def refusal_of(client: SseClient, url: str) -> int:
    """The status by which a gateway does not let a client come back.

    A gateway that hears of it a moment later than another one ends the stream that it let in.
    """
    while True:
        try:
            await client.come_back(url)
        except Refused as refused:
            return refused.status
        await client.closed()


async def test_a_drained_gateway_sends_its_streams_elsewhere(
    gateway_factory: GatewayFactory,
) -> None:
    first, second = gateway_factory(drain_time=5), gateway_factory()
    client = await SseClient.connect(first.url, posts=[second.url])
    await client.offer("tool", double=lambda value: 2 * value)
    token = await client.manager("generate_token")
    async with await RawClient.connect(
        second.url, workspace=client.workspace, token=token
    ) as caller:
        assert client.stream.source.headers["connection"] == "close"  # not to the same one again
        stopping = asyncio.create_task(asyncio.to_thread(first.terminate))
        await client.closed()

        back = await client.come_back(second.url)
        back.functions |= client.functions

        assert await caller.call(client.address, "services.tool.double", 21) == 42
        assert await stopping == 0
        await back.close()


async def test_a_client_comes_back_from_a_gateway_that_was_killed(
    gateway_factory: GatewayFactory,
) -> None:
    first, second = gateway_factory(), gateway_factory()
    client = await SseClient.connect(first.url)
    await client.offer("tool", double=lambda value: 2 * value)
    token = await client.manager("generate_token")
    async with await RawClient.connect(
        second.url, workspace=client.workspace, token=token
    ) as caller:
        first.kill()
        await client.closed()
        back = await client.come_back(second.url)
        back.functions |= client.functions

        assert await caller.call(client.address, "services.tool.double", 21) == 42
        await back.close()


async def test_secrets_are_not_logged(gateway_factory: GatewayFactory) -> None:
    first, second = (gateway_factory(log_level="debug") for _ in range(2))
    async with await RawClient.connect(first.url) as host:
        token = await host.manager("generate_token")
        async with await SseClient.connect(
            first.url, posts=[second.url], workspace=host.workspace, token=token
        ) as client:
            await client.manager("echo", 1)
            await ask(f"{second.url}/sse?session_id={client.stream.query['session_id']}&token=x")
            secrets = (
                client.stream.query["session_id"],
                token,
                client.stream.last_id.partition("~")[0],
            )

    for gateway in (first, second):
        assert not [secret for secret in secrets if secret in gateway.log()]


# While Redis is away.


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with plain_server(tmp_path / "redis") as server:
        yield server


async def test_a_stream_that_cannot_begin_yet_ends_later_and_is_not_refused(
    server: RedisServer, gateway_factory: GatewayFactory
) -> None:
    """After a refusal a browser would not come back."""
    gateway = gateway_factory(redis_url=server.url, relay_timeout=1)
    async with await SseClient.connect(gateway.url) as client:
        server.freeze()
        began = time.monotonic()
        source = await EventSource.open(
            gateway.url, {"client_id": "new", "session_id": "0123456789"}
        )
        events = [event async for event in source.events()]
        source.close()
        server.thaw()

        assert time.monotonic() - began > 5
        assert [event for event in events if event.data or event.id] == []
        assert events[0].retry
        await eventually(partial(_works, client))


async def _works(client: SseClient) -> bool:
    try:
        return bool(await client.manager("echo", 1) == 1)
    except (Rejected, AssertionError, TimeoutError):
        return False


async def test_a_stream_is_kept_from_being_forgotten(
    valkey_url: str, redis_prefix: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By who is on the way, by Redis, and by the hub when the client comes back late."""
    monkeypatch.setattr(sse, "PING", 0.1)
    monkeypatch.setattr(sse, "_RENEWALS", 600)  # while an id is good, which is a minute
    config = Config(
        port=0,
        redis_url=valkey_url,
        redis_prefix=redis_prefix,
        reconnect_grace=1.0,
        reconnection_token_lifetime=60.0,
    )
    async with served(config) as (url, _), await SseClient.connect(url) as client:
        first = client.stream.last_id
        (key,) = [key async for key in redis.scan_iter(f"{redis_prefix}:stream:*")]
        await redis.delete(key)

        async def is_noted() -> bool:
            return await redis.get(key) == client.address.encode()

        await eventually(is_noted)
        await eventually(partial(_is_renewed, client, first))
        assert any(event.comment == "ping" for event in client.stream.events)
        assert await redis.pttl(key) > 60_000
        assert await client.manager("echo", 1) == 1


async def _is_renewed(client: SseClient, first: str) -> bool:
    return client.stream.last_id != first
