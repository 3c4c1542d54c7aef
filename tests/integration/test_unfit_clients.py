"""Clients that cannot work with this hub: their user, or the operator, is told what would."""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.conftest import GatewayFactory
from tests.gateways import Gateway, Hub
from tests.raw_client import RawClient


def socket_url(url: str, query: str = "") -> str:
    return f"{url.replace('http', 'ws', 1)}/ws{query}"


async def logged(gateway: Gateway, text: str) -> str:
    """Return the line of the gateway's log that has this text, once it is there."""
    async with asyncio.timeout(10):
        while True:
            for line in gateway.log().splitlines():
                if text in line:
                    return line
            await asyncio.sleep(0.02)


async def test_a_client_of_the_next_generation_is_told_what_to_do(hub: Hub) -> None:
    async with connect(socket_url(hub.first)) as socket:
        await socket.send(json.dumps({"client_id": "me", "workspace": None, "token": None}))
        answer = json.loads(await socket.recv(decode=True))
        with pytest.raises(ConnectionClosed):
            await socket.recv()

    assert answer["type"] == "error"
    assert "imjoy-rpc" in answer["message"]
    assert socket.close_code == 1008


async def test_a_client_of_the_next_generation_leaves_nothing(
    gateway_factory: GatewayFactory,
) -> None:
    gateway = gateway_factory()

    async with connect(socket_url(gateway.url)) as socket:
        await socket.wait_closed()

    await logged(gateway, "speaks hypha-rpc")
    assert "is attached" not in gateway.log()


async def test_the_log_names_the_client_that_is_about_to_break_off(
    gateway_factory: GatewayFactory,
) -> None:
    gateway = gateway_factory()

    agent = "Python/3.11 websockets/17.4"
    async with connect(socket_url(gateway.url, "?client_id=me"), user_agent_header=agent):
        line = await logged(gateway, "/me comes with")

    assert "WARNING" in line


async def test_a_client_that_is_warned_of_is_served_all_the_same(hub: Hub) -> None:
    async with await RawClient.connect(hub.first) as client:
        assert await client.manager("echo", 5) == 5
