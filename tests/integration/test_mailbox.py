"""Frames for a suspended client wait for it, in their order."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Self

import pytest
from redis.asyncio import Redis

from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.mailboxes import Mailboxes
from tests.gateways import Gateway, Value
from tests.raw_client import LIMIT, RawClient, Rejected, call_envelope

NOTE = "services.open.note"
KEYS = Keys("mailbox")


@pytest.fixture(scope="module")
def gateways(
    valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Gateway, Gateway]]:
    logs = tmp_path_factory.mktemp("mailbox")
    settings: dict[str, Value] = {
        "redis_url": valkey_url,
        "redis_prefix": KEYS.prefix,
        "mailbox_size": 50_000,
    }
    one, two = (Gateway(logs / f"{name}.log", **settings) for name in ("one", "two"))
    with one, two:
        yield one, two


async def go_away(client: RawClient, redis: Redis) -> str:
    """Break the connection off, and return the token to come back with."""
    token: str = client.info["reconnection_token"]
    client.break_off()
    await client.closed()
    key = KEYS.client(client.address)
    async with asyncio.timeout(LIMIT):
        while await redis.hget(key, "state") != b"suspended":  # noqa: ASYNC110  (only Redis knows)
            await asyncio.sleep(0.01)
    return token


async def open_client(gateway: Gateway) -> RawClient:
    """A client that takes notes from everybody."""
    client = await RawClient.connect(gateway.url)
    await client.offer("open", "public", note=lambda *_: None)
    return client


async def come_back(gateway: Gateway, client: RawClient, token: str) -> RawClient:
    return await RawClient.connect(gateway.url, client.client_id, reconnection_token=token)


def notes(client: RawClient) -> list[int]:
    return [received.args[0] for received in client.received if received.method == NOTE]


async def note(sender: RawClient, target: RawClient, *numbers: int) -> None:
    for number in numbers:
        await sender.send(call_envelope(target.address, NOTE), {"args": [number]})


@pytest.mark.parametrize("elsewhere", [0, 1])
async def test_frames_wait_and_come_before_live_ones(
    gateways: tuple[Gateway, Gateway], redis: Redis, elsewhere: int
) -> None:
    first, second = gateways[0], gateways[elsewhere]
    async with await RawClient.connect(first.url) as sender:
        client = await open_client(first)
        await note(sender, client, 0)
        await client.until(lambda received: received.args == [0])
        token = await go_away(client, redis)
        await note(sender, client, *range(1, 50))
        pending = asyncio.create_task(sender.call(client.address, "services.built-in.ping", "p"))
        await sender.manager("echo", "sent all")

        async with await come_back(second, client, token) as again:
            await note(sender, client, *range(50, 100))
            assert await pending == "pong"
            assert await sender.call(client.address, "services.built-in.ping", "p") == "pong"

            assert notes(again) == list(range(1, 100))
            assert not await redis.exists(KEYS.mail(client.address))


@pytest.mark.parametrize("is_broken", [True, False], ids=["broken", "half-open"])
@pytest.mark.parametrize("sender_at", [0, 1])
async def test_no_frame_overtakes_another_while_a_client_moves(
    gateways: tuple[Gateway, Gateway], sender_at: int, is_broken: bool
) -> None:
    """Some get lost with the connection that they were written to; their order is kept."""
    async with await RawClient.connect(gateways[sender_at].url) as sender:
        client = await open_client(gateways[0])
        notebook = Notebook(sender, client)
        async with notebook:
            lives = [client]
            for move in range(1, 20):
                await notebook.has_come(lives[-1])
                token = lives[-1].info["reconnection_token"]
                if is_broken:
                    lives[-1].break_off()
                else:
                    lives[-1].pause()
                lives.append(await come_back(gateways[move % 2], client, token))
            await notebook.has_come(lives[-1])

        came = [notes(life) for life in lives]
        assert all(numbers == sorted(set(numbers)) for numbers in came)
        assert all(before[-1] < after[0] for before, after in pairwise(came))
        for life in lives:
            life.break_off()
            await life.closed()


class Notebook:
    """Notes that are sent without end, a few at a time."""

    def __init__(self, sender: RawClient, target: RawClient) -> None:
        self._sender = sender
        self._target = target
        self._number = 0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._send())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _send(self) -> None:
        while True:
            first, self._number = self._number + 1, self._number + 10
            await note(self._sender, self._target, *range(first, self._number + 1))
            await self._sender.manager("echo", "do not run ahead")

    async def has_come(self, client: RawClient) -> None:
        """Wait until notes come that are sent from now on."""
        now = self._number
        await client.until(lambda received: received.method == NOTE and received.args[0] > now)


async def test_what_does_not_fit_is_rejected_at_once(
    gateways: tuple[Gateway, Gateway], redis: Redis
) -> None:
    async with await RawClient.connect(gateways[0].url) as sender:
        client = await open_client(gateways[0])
        await go_away(client, redis)

        with pytest.raises(Rejected, match="is suspended, and too much waits"):
            await sender.call(client.address, NOTE, bytes(60_000))


async def test_mail_is_taken_once(
    redis_client: RedisClient, redis: Redis, redis_prefix: str
) -> None:
    keys = Keys(redis_prefix)
    mailboxes = Mailboxes(redis_client, keys, lifetime=60)
    await redis.rpush(keys.mail("lab/me"), b"0one", b"1two")
    await redis.set(keys.mail_size("lab/me"), 6)

    assert await mailboxes.take("lab/me") == [b"one", b"two"]

    assert await mailboxes.take("lab/me") == []
    assert not await redis.exists(keys.mail("lab/me"), keys.mail_size("lab/me"))
