"""Python clients get a service by every form of id, and the right one."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.python_scene import (
    Connect,
    Pair,
    colleague,
    every_release,
    refusal_of,
    unique,
)
from tests.gateways import Hub
from tests.python_client import Connection, Local

pytestmark = pytest.mark.clients

FORMS: list[Callable[[str, str], Any]] = [
    lambda workspace, client: "greeter",
    lambda workspace, client: {"id": "greeter"},
    lambda workspace, client: {"service_id": "greeter"},
    lambda workspace, client: {"workspace": workspace, "id": "greeter"},
    lambda workspace, client: {"workspace": workspace, "service_id": "greeter"},
    lambda workspace, client: f"{client}:greeter",
    lambda workspace, client: {"id": f"{client}:greeter"},
    lambda workspace, client: {"workspace": workspace, "id": f"{client}:greeter"},
    lambda workspace, client: f"{workspace}/{client}:greeter",
    lambda workspace, client: {"id": f"{workspace}/{client}:greeter"},
    lambda workspace, client: f"{workspace}/*:greeter",
]


async def offer_greeter(provider: Connection, function: str, **config: Any) -> str:
    service = await provider["register_service"](
        {"id": "greeter", "config": config, "greet": Local(function)}
    )
    full_id: str = service["id"]
    return full_id


@every_release
async def test_a_service_is_got_by_every_form_of_its_id(hub: Hub, release: str, pair: Pair) -> None:
    provider, caller = await pair(hub, release)
    full_id = await offer_greeter(provider, "hello")

    for form in FORMS:
        query = form(provider.workspace, await provider.client_id())
        greeter = await caller["get_service"](query)

        assert greeter["id"] == full_id, query
        assert greeter["config"]["workspace"] == provider.workspace
        assert await greeter["greet"]("John") == "Hello John"


@every_release
async def test_a_service_is_got_with_everything_in_it(hub: Hub, release: str, pair: Pair) -> None:
    provider, caller = await pair(hub, release)
    service = {
        "id": "everything",
        "name": "Everything",
        "type": "collection",
        "config": {"visibility": "protected", "colour": "green"},
        "version": 3,
        "sizes": [1, 2, {"unit": "mm"}],
        "nested": {"deeper": {"hello": Local("hello")}},
        "list": [Local("add"), Local("multiply")],
    }
    await provider["register_service"](service)

    got = await caller["getService"]("everything")

    assert got["name"] == "Everything"
    assert got["type"] == "collection"
    assert got["config"]["visibility"] == "protected"
    assert got["config"]["colour"] == "green"
    assert got["version"] == 3
    assert got["sizes"] == [1, 2, {"unit": "mm"}]
    assert await got["nested"]["deeper"]["hello"]("John") == "Hello John"
    assert await got["list"][0](3, 4) == 7
    assert await got["list"][1](3, 4) == 12


@every_release
async def test_a_name_that_nobody_has_gives_nothing(
    hub: Hub, release: str, connect: Connect
) -> None:
    client = await connect(release, hub.first)

    assert await client["get_service"](unique("nothing")) is None
    assert await client["get_service"]({"id": "*"}) is None
    assert await client["get_service"]({}) is None
    await refusal_of(client["get_service"]("client*:greeter"))


@every_release
async def test_a_public_service_is_got_by_its_name_from_any_workspace(
    hub: Hub, release: str, strangers: Pair
) -> None:
    provider, stranger = await strangers(hub, release)
    name = unique("public-greeter")
    service = await provider["register_service"](
        {"id": name, "config": {"visibility": "public"}, "greet": Local("hello")}
    )

    for query in (name, {"service_id": name}, service["id"], f"{provider.workspace}/*:{name}"):
        greeter = await stranger["get_service"](query)

        assert greeter["id"] == service["id"]
        assert await greeter["greet"]("John") == "Hello John"


@every_release
async def test_a_name_means_the_service_of_the_own_workspace_first(
    hub: Hub, release: str, connect: Connect
) -> None:
    caller = await connect(release, hub.first)
    friend = await colleague(connect, caller, release, hub.second)
    squatter = await connect(release, hub.second)
    own = await offer_greeter(friend, "hello")
    await offer_greeter(squatter, "echo", visibility="public")

    for _ in range(5):
        greeter = await caller["get_service"]("greeter")

        assert greeter["id"] == own


@every_release
async def test_a_name_that_several_clients_offer_means_one_of_them(
    hub: Hub, release: str, connect: Connect
) -> None:
    host = await connect(release, hub.first)
    guest = await colleague(connect, host, release, hub.second)
    offered = {await offer_greeter(host, "hello"), await offer_greeter(guest, "hello")}

    got = {(await host["get_service"]("greeter"))["id"] for _ in range(5)}
    await host.rpc("unregister_service", "greeter")
    left = {(await host["get_service"]("greeter"))["id"] for _ in range(5)}

    assert got <= offered
    assert left == {f"{await guest.address()}:greeter"}
