"""Who wants to have all of a gateway's memory: their connections go, and others go on."""

import asyncio
import os

import pytest
from websockets.asyncio.client import ClientConnection, connect as open_websocket

from hypha_cluster.config import Config
from tests.gateways import SECOND
from tests.in_process import served
from tests.raw_client import RawClient

LIMIT = 20 * SECOND
MEGABYTE = 1_000_000


def begun(size: int, of: int) -> bytes:
    """So much of a binary frame of another length, as a client sends it."""
    return b"\x82\xff" + of.to_bytes(8) + bytes(4) + bytes(size)


async def hold(url: str, size: int) -> ClientConnection:
    """Begin a message, and do not end it."""
    address = f"{url.replace('http', 'ws', 1)}/ws?client_id=x{os.urandom(4).hex()}"
    socket = await open_websocket(address, compression=None, ping_interval=None)
    socket.transport.write(begun(size, 16 * MEGABYTE))
    return socket


async def test_messages_that_do_not_end_give_way_to_those_that_do(
    valkey_url: str, redis_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = "hypha_cluster.serving.http11.connection.UNFINISHED_MESSAGES"
    monkeypatch.setattr(bound, 10 * MEGABYTE)
    config = Config(port=0, redis_url=valkey_url, redis_prefix=redis_prefix)
    async with served(config) as (url, _), await RawClient.connect(url) as victim:
        await victim.offer("sink", "public", take=len)
        attackers = [await hold(url, 3 * MEGABYTE) for _ in range(8)]

        for _ in range(5):  # each comes in several pieces
            assert await victim.call(victim.address, "services.sink.take", bytes(900_000))

        async with asyncio.timeout(LIMIT):
            for socket in attackers[:5]:
                await socket.wait_closed()
                assert socket.close_code == 1013
        assert attackers[-1].close_code is None
        for socket in attackers:
            socket.transport.abort()
        assert await victim.manager("echo", "still here") == "still here"
