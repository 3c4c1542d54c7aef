"""What fails while a client attaches does not end its connection soon: the client would spin."""

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
from tests.raw_client import RawClient

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
