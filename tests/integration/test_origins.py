"""Pages of which origins may connect, and what browsers are told of answers."""

import pytest
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from tests.conftest import GatewayFactory
from tests.gateways import Gateway
from tests.http import ask
from tests.raw_client import RawClient


@pytest.fixture
def gateway(gateway_factory: GatewayFactory) -> Gateway:
    return gateway_factory(allow_origins="https://page.example")


async def status(gateway: Gateway, origin: str | None, token: str = "") -> int:
    url = f"{gateway.url.replace('http', 'ws', 1)}/ws?client_id=page&token={token}"
    try:
        async with open_websocket(url, origin=Origin(origin) if origin else None):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


async def test_only_pages_of_allowed_origins_connect(gateway: Gateway) -> None:
    assert await status(gateway, None) == 101
    assert await status(gateway, "https://page.example") == 101
    assert await status(gateway, gateway.url) == 101
    for foreign in ("https://evil.example", "null", "https://page.example.evil.example"):
        assert await status(gateway, foreign) == 403


async def test_a_page_in_a_sandbox_connects_by_its_token_alone(gateway: Gateway) -> None:
    """As the playground does, which comes from nowhere; what a browser adds by itself is none."""
    async with await RawClient.connect(gateway.url) as user:
        token = await user.manager("generate_token")

    assert await status(gateway, "null", token) == 101
    for origin, other in (("null", ""), ("null", "nonsense"), ("https://evil.example", token)):
        assert await status(gateway, origin, other) == 403


async def test_answers_of_the_hubs_own_say_what_they_are(gateway: Gateway) -> None:
    for path in ("/", "/public/services", "/no/such/thing", "/health/live"):
        headers = (await ask(f"{gateway.url}{path}")).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "strict-transport-security" not in headers


CALLED = "/public/services/hypha-login/start"


@pytest.mark.parametrize("path", [CALLED, "/sse?session_id=0123456789&client_id=page"])
async def test_only_pages_of_allowed_origins_call(gateway: Gateway, path: str) -> None:
    """Also by a form, which browsers send without asking first."""
    url = f"{gateway.url}{path}"
    form = {"Content-Type": "text/plain"}
    refused = "may not connect"

    for foreign in ("https://evil.example", "null"):
        for body in (None, b"x"):
            answer = await ask(url, body, Origin=foreign, **(form if body else {}))
            assert (answer.status, refused in answer.value["detail"]) == (403, True)
    for good in ("https://page.example", gateway.url):
        answer = await ask(url, b"{}", Origin=good)
        assert refused not in str(answer.value)
    as_picture = await ask(url, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")
    assert as_picture.status == 403
