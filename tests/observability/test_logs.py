"""Log lines for programs: which gateway, request and client each is about, and no secrets."""

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import InvalidStatus

from hypha_cluster.app import create_app
from hypha_cluster.config import Config
from tests.conftest import GatewayFactory
from tests.gateways import POLL, SECOND, Gateway
from tests.raw_client import RawClient

Line = dict[str, Any]


def lines(gateway: Gateway) -> list[Line]:
    """The log but for what is printed for people."""
    return [json.loads(line) for line in gateway.log().splitlines() if line.startswith("{")]


async def line_with(gateway: Gateway, fits: Callable[[Line], bool]) -> Line:
    deadline = time.monotonic() + 10 * SECOND
    while not (found := [line for line in lines(gateway) if fits(line)]):
        assert time.monotonic() < deadline, gateway.log()
        await asyncio.sleep(POLL)
    return found[-1]


def ask(url: str, **headers: str) -> tuple[int, str]:
    """The status of an answer, and the id that it came with."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        asked = urllib.request.Request(url, headers=named)
        with urllib.request.urlopen(asked, timeout=10 * SECOND) as answer:
            return answer.status, answer.headers["X-Request-ID"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["X-Request-ID"]


@pytest.fixture
def gateway(gateway_factory: GatewayFactory) -> Gateway:
    return gateway_factory(log_format="json", log_level="debug", node_name="east-1")


async def test_the_life_of_a_client_is_told_with_its_name(gateway: Gateway) -> None:
    client = await RawClient.connect(gateway.url)
    address, token = client.address, client.info["reconnection_token"]
    client.break_off()
    await line_with(gateway, lambda line: "is suspended" in line["message"])
    client = await RawClient.connect(gateway.url, client.client_id, reconnection_token=token)
    await client.close()
    await line_with(gateway, lambda line: "has left" in line["message"])

    told = [line for line in lines(gateway) if line.get("client") == address]

    words = ("is attached", "is suspended", "is back", "has left")
    assert [line["message"] for line in told if line["level"] == "info"] == [
        f"{address} {word}." for word in words
    ]
    assert {line["node"] for line in told} == {"east-1"}
    assert all(line["request_id"] for line in told)
    assert token not in gateway.log()


async def test_a_refused_client_is_told_the_id_of_its_request(gateway: Gateway) -> None:
    url = f"{gateway.url.replace('http', 'ws', 1)}/ws?client_id=me&token=eyJh.bm8.c2ln"
    headers = {"X-Request-ID": "from-outside-1"}

    with pytest.raises(InvalidStatus) as refusal:
        await open_websocket(url, additional_headers=headers)

    line = await line_with(gateway, lambda line: "refused" in line["message"])
    assert refusal.value.response.headers["X-Request-ID"] == "from-outside-1"
    assert (line["request_id"], line["client"], line["level"]) == ("from-outside-1", "me", "info")
    assert "eyJh.bm8.c2ln" not in gateway.log()


async def test_a_client_is_let_in_with_the_id_of_its_request(gateway: Gateway) -> None:
    url = f"{gateway.url.replace('http', 'ws', 1)}/ws?client_id=me"

    async with open_websocket(url, additional_headers={"X-Request-ID": "r-1"}) as socket:
        assert socket.response
        assert socket.response.headers["X-Request-ID"] == "r-1"
        line = await line_with(gateway, lambda line: "is attached" in line["message"])

    assert line["request_id"] == "r-1"


async def test_what_a_client_does_wrong_is_told_with_its_name(gateway: Gateway) -> None:
    async with await RawClient.connect(gateway.url) as client:
        await client.send({"type": "method", "to": client.address, "method": "a.__class__"})
        line = await line_with(gateway, lambda line: "A frame of" in line["message"])

    assert (line["client"], line["node"], line["level"]) == (client.address, "east-1", "info")


async def test_an_http_request_keeps_the_id_that_it_came_with(gateway: Gateway) -> None:
    status, returned = await asyncio.to_thread(
        ask, f"{gateway.url}/nowhere/services?token=secret-1", X_Request_ID="mine"
    )

    line = await line_with(gateway, lambda line: line.get("request_id") == "mine")
    assert (status, returned) == (404, "mine")
    assert line["message"].startswith("GET /nowhere/services: 404 after")
    assert "secret-1" not in gateway.log()


async def test_an_http_request_without_a_good_id_gets_one(gateway: Gateway) -> None:
    first, second, third = [
        (await asyncio.to_thread(ask, f"{gateway.url}/", X_Request_ID=given))[1]
        for given in ("", "two words", "x" * 1000)
    ]

    assert len({first, second, third}) == 3
    assert all(len(made) == 16 for made in (first, second, third))


def test_a_failure_of_the_hub_is_answered_with_the_id_of_the_request(
    valkey_url: str, redis_prefix: str
) -> None:
    def fail(request: Request) -> Response:
        raise RuntimeError("a fault")

    app = create_app(Config(redis_url=valkey_url, redis_prefix=redis_prefix))
    with TestClient(app, raise_server_exceptions=False) as browser:
        app.router.routes.append(Route("/fault", fail))
        answer = browser.get("/fault", headers={"X-Request-ID": "mine"})

    assert answer.status_code == 500
    assert answer.headers["X-Request-ID"] == "mine"
    assert "a fault" not in answer.text
