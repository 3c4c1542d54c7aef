"""What fails while a client attaches does not end its connection soon: the client would spin."""

import asyncio
import time
from typing import Final

import pytest
from websockets.asyncio.client import connect

from hypha_cluster.clients.handover import Handover
from hypha_cluster.clients.life import GOING_AWAY
from hypha_cluster.clients.mail import Mail
from hypha_cluster.config import Config
from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.registry.clients import ClientRegistry
from hypha_cluster.relay.listener import RedisListener
from tests.in_process import Flaw, served
from tests.raw_client import RawClient, call_envelope, frame, promise_of, unpack

SPINS: Final = 3.0  # seconds; a Python client that is closed sooner after it came back

AWAY: Final = RedisUnavailable("Redis is away.")
FLAWS: Final = [
    Flaw(owner, method, error)
    for owner, method in [
        (ClientRegistry, "claim"),
        (ClientRegistry, "noted"),
        (RedisListener, "join"),
        (Mail, "collect"),
        (Handover, "obtain"),
    ]
    for error in (AWAY, KeyError("nobody expects this"))
]


@pytest.mark.parametrize("flaw", FLAWS, ids=lambda flaw: f"{flaw.method}: {flaw.error!r}")
async def test_a_client_whose_return_fails_is_let_in_and_sent_away_late(
    valkey_url: str, redis_prefix: str, monkeypatch: pytest.MonkeyPatch, flaw: Flaw
) -> None:
    config = Config(redis_url=valkey_url, redis_prefix=redis_prefix, host="127.0.0.1", port=0)
    async with served(config) as (url, _), served(config) as (other, _):
        client = await RawClient.connect(other, "worker")
        token = client.info["reconnection_token"]
        query = f"client_id=worker&reconnection_token={token}"
        flaw.put_into(monkeypatch)

        async with connect(f"{url.replace('http', 'ws')}/ws?{query}") as socket:
            began = time.monotonic()
            await socket.wait_closed()

        assert flaw.has_failed
        assert socket.close_code == GOING_AWAY
        assert time.monotonic() - began > SPINS
        again = await RawClient.connect(url, "worker", reconnection_token=token)
        assert await again.manager("echo", 5) == 5
        await again.close()


async def test_who_is_put_off_is_told_that_its_calls_go_to_nobody(
    valkey_url: str, redis_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else they would wait for answers until they give up, though the client is back in seconds."""
    config = Config(redis_url=valkey_url, redis_prefix=redis_prefix, host="127.0.0.1", port=0)
    async with served(config) as (url, _), served(config) as (other, _):
        client = await RawClient.connect(other, "worker")
        query = f"client_id=worker&reconnection_token={client.info['reconnection_token']}"
        Flaw(ClientRegistry, "claim", AWAY).put_into(monkeypatch)

        async with connect(f"{url.replace('http', 'ws')}/ws?{query}") as socket:
            envelope = call_envelope("provider", "services.tool.run", session="s")
            body = {"args": [], "promise": promise_of(client.address, "s")}
            await socket.send(frame(envelope, body))
            async with asyncio.timeout(SPINS):
                reject = unpack(await socket.recv(decode=False))

        assert (reject.source, reject.method) == (f"{client.workspace}/provider", "s.reject")
        assert "Call again in some seconds" in reject.args[0]["_rvalue"]
