"""What a feature brings is there in every way: over RPC, over HTTP, in listings."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from hypha_cluster.config import Config
from hypha_cluster.features.feature import Feature, Grounds, Lookups
from hypha_cluster.hub.context import Context
from hypha_cluster.hub.services import HubService
from tests.gateways import SECOND
from tests.http import ask
from tests.in_process import served
from tests.raw_client import RawClient, Rejected

GREETER = "public/workspace-manager:greeter"


class Greeting(Feature):
    """Greets whoever asks."""

    name = "greeting"

    def __init__(self, settings: Any, grounds: Grounds) -> None:
        self._grounds = grounds
        self.is_running = asyncio.Event()

    def routes(self, lookups: Lookups) -> list[Route]:
        return [Route("/greeting/{name}", self._page)]

    async def _page(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"Hello, {request.path_params['name']}.")

    def services(self) -> list[HubService]:
        return [
            HubService("greeter", "Greeter", "Greets.", {"greet": self._greet, "wait": self._wait}),
            HubService(
                "helper",
                "Helper",
                "",
                {"greet": self._greet},
                workspace=None,
                visibility="protected",
            ),
        ]

    async def _greet(self, context: Context, name: str = "you") -> dict[str, Any]:
        """Greet somebody."""
        return {"text": f"Hello, {name}.", "user": context.identity.id, "url": context.base_url}

    async def _wait(self, context: Context) -> str:
        """Answer when the job of the feature runs."""
        await self.is_running.wait()
        return "it runs"

    async def run(self) -> None:
        self.is_running.set()
        await asyncio.Event().wait()


@pytest.fixture(params=["", "/hypha"])
async def base(
    request: pytest.FixtureRequest, valkey_url: str, redis_prefix: str
) -> AsyncIterator[str]:
    path: str = request.param
    config = Config(port=0, base_path=path, redis_url=valkey_url, redis_prefix=redis_prefix)
    async with served(config, [(Greeting, None)]) as (url, _):
        yield f"{url}{request.param}"


@pytest.fixture
async def client(base: str) -> AsyncIterator[RawClient]:
    async with await RawClient.connect(base) as client:
        yield client


@pytest.mark.parametrize("query", ["greeter", "public/*:greeter", GREETER, {"id": "greeter"}])
async def test_a_client_finds_and_calls_its_service(
    base: str, client: RawClient, query: object
) -> None:
    service = await client.manager("get_service", query)

    greet = service["greet"]
    answer = await client.call(greet["_rtarget"], greet["_rmethod"], name="Ann")
    assert service["id"] == GREETER
    assert greet["_rdoc"] == "Greet somebody."
    assert answer == {"text": "Hello, Ann.", "user": client.user["id"], "url": base}


async def test_its_service_is_listed_and_called_over_http(base: str) -> None:
    listed = (await ask(f"{base}/public/services")).value
    described = (await ask(f"{base}/public/services/greeter")).value
    answer = (await ask(f"{base}/public/services/greeter/greet?name=Ann")).value

    assert [info["id"] for info in listed] == ["workspace-manager:greeter"]
    assert described["greet"] == {"type": "function", "name": "greet"}
    assert answer["text"] == "Hello, Ann."
    assert answer["url"] == base


async def test_its_service_is_in_every_listing_of_what_is_public(client: RawClient) -> None:
    by_name = await client.manager("list_services", "public")
    by_query = await client.manager("list_services", {"workspace": "public"})
    everywhere = await client.manager("list_services", {"workspace": "*"})

    assert by_name == by_query
    assert GREETER in [info["id"] for info in by_name]
    assert GREETER in [info["id"] for info in everywhere]


async def test_its_service_may_be_offered_in_each_workspace(base: str, client: RawClient) -> None:
    async with await RawClient.connect(base) as stranger:
        mine = await client.manager("get_service", "helper")
        manager = f"{client.workspace}/workspace-manager"
        with pytest.raises(Rejected, match="Permission denied"):
            await stranger.call(manager, "services.helper.greet")
        with pytest.raises(Rejected, match="Permission denied"):
            await stranger.manager("get_service", f"{manager}:helper")

    assert mine["id"] == f"{client.workspace}/workspace-manager:helper"
    assert (await ask(f"{base}/{client.workspace}/services/helper/greet")).status == 403


async def test_its_routes_are_served_and_its_job_runs(base: str, client: RawClient) -> None:
    assert (await ask(f"{base}/greeting/Ann")).body == b"Hello, Ann."
    async with asyncio.timeout(10 * SECOND):
        waited = await client.call("public/workspace-manager", "services.greeter.wait")
    assert waited == "it runs"
