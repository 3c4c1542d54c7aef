"""Services over HTTP: where arguments stand, what is called with them, and what is answered."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx2
import msgpack
import pytest
from starlette.requests import Request

from hypha_cluster.errors import (
    FunctionNotFound,
    PermissionDenied,
    RemoteError,
    WorkspaceNotFound,
)
from hypha_cluster.hub.directory import Directory
from hypha_cluster.hub.visiting import Visitor, Visits
from hypha_cluster.identity.access import PUBLIC, Identity, Workspace
from hypha_cluster.protocol import rpc
from hypha_cluster.registry.revocations import Revocations
from hypha_cluster.registry.services import Provider
from hypha_cluster.registry.workspaces import Workspaces
from hypha_cluster.web.bodies import Bodies, Room
from hypha_cluster.web.lookup import Lookup
from hypha_cluster.web.services import ServicesApi
from tests.unit.features.rig import site_of

ANN = Identity("ann", is_anonymous=False)
PROVIDER = Provider("lab/me", "sums", {}, online=True)
LARGEST = 200_000
FUNCTION = "/lab/services/sums/add"


class Hub:
    """One service, of which `add` is a function, and what that was called with."""

    def __init__(self) -> None:
        self.called: list[tuple[bool, dict[str, Any]]] = []
        self.modes: list[str] = []
        self.result: Any = 5
        self.held = 0

    # Who asks.

    async def identify(self, request: Request) -> Identity:
        return ANN

    async def enter(self, request: Request, workspace: str) -> Visitor:
        by_get = request.method != "POST"
        return Visitor(ANN, workspace == "lab", "http://hub", by_get=by_get)

    async def find(
        self, request: Request, workspace: str, service: str, mode: str = "random"
    ) -> tuple[Visitor, Provider]:
        self.modes.append(mode)
        return await self.enter(request, workspace), PROVIDER

    async def get(self, name: str) -> Workspace:
        return Workspace(name, owners=["root"])

    async def require(self, identity: Identity, name: str) -> Workspace:
        if name != "lab":
            raise PermissionDenied(f"Permission denied for workspace {name}.")
        return await self.get(name)

    # What there is.

    async def public(self) -> list[dict[str, Any]]:
        return [{"id": "lab/me:sums"}, {"id": "public/other:x"}]

    async def visible(self, name: str, *, inside: bool) -> list[dict[str, Any]]:
        if name == "nowhere":
            raise WorkspaceNotFound(name)
        return [{"id": f"{name}/me:sums"}, {"id": f"{name}/me:own"}][: 2 if inside else 1]

    async def describe(self, visitor: Visitor, provider: Provider) -> dict[str, Any]:
        return {"id": "lab/me:sums", "add": rpc.reference(provider.address, "services.sums.add")}

    async def member(self, visitor: Visitor, provider: Provider, path: str) -> Any:
        members = {"add": rpc.reference(provider.address, "services.sums.add"), "version": 7}
        if path not in members:
            raise FunctionNotFound(path)
        return members[path]

    async def call(
        self, visitor: Visitor, provider: Provider, function: Any, args: list[Any], kwargs: Any
    ) -> Any:
        assert args == []
        self.called.append((visitor.by_get, kwargs))
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    async def follow(
        self, visitor: Visitor, provider: Provider, stream: dict[str, Any]
    ) -> AsyncGenerator[Any]:
        for item in stream["items"]:
            yield item

    @asynccontextmanager
    async def holding(self, identity: Identity, workspace: str) -> AsyncIterator[None]:
        assert (identity, workspace) == (ANN, "lab")
        self.held += 1
        yield


def site(hub: Any) -> httpx2.AsyncClient:
    api = ServicesApi(
        cast(Lookup, hub),
        cast(Workspaces, hub),
        cast(Directory, hub),
        cast(Visits, hub),
        cast(Revocations, hub),
        Bodies(Room(), LARGEST),
    )
    app = site_of([api.call_route(), *api.routes()])
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://hub")


@pytest.mark.parametrize(
    ("method", "query", "more", "arguments"),
    [
        ("GET", "?a=1&b=x&a=2", {}, {"a": 2, "b": "x"}),
        ("GET", "", {}, {}),
        ("POST", "", {"json": {"a": 1}}, {"a": 1}),
        ("POST", "?a=1", {"json": {"b": 2}}, {"b": 2}),
        ("POST", "", {"data": {"a": "1"}}, {"a": 1}),
        ("POST", "?a=1", {}, {"a": 1}),
        ("POST", "", {}, {}),
        ("POST", "", {"json": {"text": "x" * 150_000}}, {"text": "x" * 150_000}),
        (
            *("POST", ""),
            {
                "content": msgpack.packb({"a": b"\x00"}),
                "headers": {"content-type": "application/msgpack"},
            },
            {"a": b"\x00"},
        ),
    ],
)
async def test_arguments_are_those_of_the_body_and_without_one_of_the_query(
    method: str, query: str, more: dict[str, Any], arguments: dict[str, Any]
) -> None:
    hub = Hub()

    answer = await site(hub).request(method, FUNCTION + query, **more)

    packed = answer.headers["content-type"] == "application/msgpack"
    result = msgpack.unpackb(answer.content) if packed else answer.json()
    assert (answer.status_code, result) == (200, 5)
    assert [kwargs for _, kwargs in hub.called] == [arguments]


@pytest.mark.parametrize(
    ("method", "query", "in_address"),
    [
        ("GET", "", True),
        ("POST", "?a=1", True),
        ("POST", "", False),
        ("POST", "?_mode=first", False),
    ],
)
async def test_arguments_that_stood_in_an_address_are_told_apart(
    method: str, query: str, in_address: bool
) -> None:
    hub = Hub()

    await site(hub).request(method, FUNCTION + query)

    assert [by_get for by_get, _ in hub.called] == [in_address]


@pytest.mark.parametrize(("query", "mode"), [("", "random"), ("?_mode=first&a=1", "first")])
async def test_the_mode_is_no_argument(query: str, mode: str) -> None:
    hub = Hub()

    await site(hub).get(FUNCTION + query)

    assert hub.modes == [mode]
    assert "_mode" not in hub.called[0][1]


async def test_a_head_request_calls_nothing() -> None:
    hub = Hub()

    there = await site(hub).head(FUNCTION)
    nowhere = await site(hub).head("/lab/services/sums/subtract")

    assert (there.status_code, nowhere.status_code, hub.called) == (200, 404, [])


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_value_is_read_without_a_call(method: str) -> None:
    hub = Hub()

    answer = await site(hub).request(method, "/lab/services/sums/version")

    assert (answer.json(), hub.called) == (7, [])


@pytest.mark.parametrize(
    ("error", "status"),
    [("TypeError: add() missing 1 required argument: 'a'", 422), ("TypeError: no", 500)],
)
async def test_arguments_that_do_not_fit_are_the_callers_mistake(error: str, status: int) -> None:
    hub = Hub()
    hub.result = RemoteError(error)

    answer = await site(hub).get(FUNCTION)

    assert answer.status_code == status
    assert error in answer.json()["detail"]


async def test_a_body_that_is_too_large_calls_nothing() -> None:
    hub = Hub()

    answer = await site(hub).post(FUNCTION, json={"a": "x" * LARGEST})

    assert (answer.status_code, hub.called) == (413, [])


@pytest.mark.parametrize("of_hub", [True, False])
async def test_a_stream_is_answered_while_the_token_holds(of_hub: bool) -> None:
    hub = Hub()
    stream = {"_rtype": "generator", "items": [1, 2]}
    visitor = Visitor(ANN, inside=True, base_url="")
    hub.result = hub.follow(visitor, PROVIDER, stream) if of_hub else stream

    answer = await site(hub).get(FUNCTION)

    assert answer.status_code == 200
    assert answer.text.split() == ["1", "2"]
    assert hub.held == 1


@pytest.mark.parametrize(
    ("workspace", "ids"),
    [
        ("lab", ["me:sums", "me:own"]),
        ("other", ["me:sums"]),
        (PUBLIC, ["lab/me:sums", "other:x"]),
    ],
)
async def test_a_listing_names_what_the_caller_may_see(workspace: str, ids: list[str]) -> None:
    answer = await site(Hub()).get(f"/{workspace}/services")

    assert [info["id"] for info in answer.json()] == ids


async def test_a_service_is_described_with_the_names_of_its_functions() -> None:
    answer = await site(Hub()).get("/lab/services/sums")

    assert answer.json()["id"] == "lab/me:sums"
    assert "add" in str(answer.json()["add"])


@pytest.mark.parametrize(("workspace", "status"), [("lab", 200), (PUBLIC, 200), ("other", 403)])
async def test_settings_are_for_who_may_enter_but_those_of_public(
    workspace: str, status: int
) -> None:
    answer = await site(Hub()).get(f"/{workspace}/info")

    assert answer.status_code == status
    if status == 200:
        assert answer.json()["name"] == workspace
