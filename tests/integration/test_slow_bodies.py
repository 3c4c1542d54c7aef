"""A body that comes byte by byte holds nothing for long, whatever it is sent for, on both paths."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from hypha_cluster.config import Config
from hypha_cluster.features.webapps import inlet
from hypha_cluster.web import bodies
from tests.gateways import SECOND
from tests.in_process import served
from tests.raw_client import RawClient

PATIENCE = 0.5  # seconds that a body has
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(params=[True, False], ids=["fast", "hypercorn"])
async def url(
    request: pytest.FixtureRequest,
    valkey_url: str,
    redis_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[str]:
    monkeypatch.setattr(bodies, "BODY_PATIENCE", PATIENCE)
    monkeypatch.setattr(inlet, "BODY_PATIENCE", PATIENCE)
    config = Config(
        redis_url=valkey_url,
        redis_prefix=redis_prefix,
        host="127.0.0.1",
        port=0,
        fast_websockets=request.param,
    )
    async with served(config) as (url, _):
        yield url


async def post_slowly(url: str, path: str, content_type: str = "application/json") -> str:
    """Send a byte now and then for as long as the other side takes it; its answer's first line."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    head = f"POST {path} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: {content_type}\r\n"
    writer.write(f"{head}Content-Length: 10000\r\n\r\n".encode())

    async def dribble() -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)

    dribbling = asyncio.create_task(dribble())
    try:
        async with asyncio.timeout(30 * SECOND):
            return (await reader.readline()).decode()
    finally:
        dribbling.cancel()
        writer.transport.abort()


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/public/services/hypha-login/start", "application/json"),
        ("/services/call", "application/json"),
        ("/sse?session_id=0123456789", "application/octet-stream"),
        ("/login/sign-in", FORM),
        ("/login/invitation", FORM),
    ],
)
async def test_a_slow_body_is_refused(url: str, path: str, content_type: str) -> None:
    assert " 408 " in await post_slowly(url, path, content_type)


async def test_a_slow_body_is_no_more_taken_for_a_web_application(url: str) -> None:
    async with await RawClient.connect(url) as provider:
        await provider.offer("site", "public", index=lambda event: {"body": "x"})
        api = provider.functions["services.built-in.get_service"]("site") | {"type": "functions"}
        provider.functions["services.built-in.get_service"] = lambda wanted: api
        info = {"id": f"{provider.client_id}:site", "type": "functions", "config": api["config"]}
        await provider.manager("update_client_info", {"id": provider.client_id, "services": [info]})
        answer = await post_slowly(url, f"/{provider.workspace}/apps/site/index")

    assert " 408 " in answer


async def test_others_are_served_meanwhile(url: str) -> None:
    slow = [post_slowly(url, "/public/services/hypha-login/start") for _ in range(20)]
    slowly = asyncio.gather(*slow)
    async with await RawClient.connect(url) as client:
        assert await client.manager("get_connection_info")
    assert all(" 408 " in answer for answer in await slowly)
