"""Python clients list services, with every form of query."""

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


async def offer(provider: Connection) -> tuple[str, str]:
    """Register a public camera and a protected stage, and return their full ids."""
    camera = await provider["register_service"](
        {
            "id": "camera",
            "name": "The camera",
            "type": "camera",
            "config": {"visibility": "public", "resolution": 4},
            "snap": Local("hello"),
        }
    )
    stage = await provider["register_service"](
        {"id": "stage", "name": "The stage", "type": "stage", "move": Local("hello")}
    )
    return camera["id"], stage["id"]


async def ids(connection: Connection, *query: Any) -> set[str]:
    return {service["id"] for service in await connection["list_services"](*query)}


@every_release
async def test_a_workspace_lists_what_its_clients_offer(hub: Hub, release: str, pair: Pair) -> None:
    provider, caller = await pair(hub, release)
    camera, stage = await offer(provider)

    assert await ids(caller) == await ids(provider) == {camera, stage}
    assert await ids(caller, None) == await ids(caller, {}) == {camera, stage}
    assert await ids(caller, caller.workspace) == {camera, stage}
    assert await ids(caller, {"workspace": caller.workspace}) == {camera, stage}
    assert {camera, stage} <= await ids(caller, {"workspace": "*"})
    assert [service["id"] for service in await caller["list_plugins"]({"type": "stage"})] == [stage]


@every_release
async def test_a_listed_service_is_described(hub: Hub, release: str, pair: Pair) -> None:
    provider, caller = await pair(hub, release)
    camera, _ = await offer(provider)

    [service] = await caller["listServices"]({"name": "The camera"})

    assert service["id"] == camera
    assert service["name"] == "The camera"
    assert service["type"] == "camera"
    assert service["description"] in ("", None)
    assert set(service["config"]) == {"visibility", "require_context", "workspace", "flags"}
    assert service["config"]["visibility"] == "public"
    assert service["config"]["workspace"] == provider.workspace
    assert not service["config"]["require_context"]


@every_release
async def test_a_query_selects_by_type_name_and_id(hub: Hub, release: str, pair: Pair) -> None:
    provider, caller = await pair(hub, release)
    camera, stage = await offer(provider)
    here = caller.workspace
    relative_id = f"{await provider.client_id()}:stage"

    assert await ids(caller, {"type": "camera"}) == {camera}
    assert await ids(caller, {"name": "The stage"}) == {stage}
    assert await ids(caller, {"name": "The stage", "type": "camera"}) == set()
    assert await ids(caller, {"id": relative_id}) == {stage}
    assert await ids(caller, {"workspace": here, "id": stage}) == {stage}
    assert await ids(caller, {"workspace": here, "type": "camera"}) == {camera}
    assert await ids(caller, {"workspace": "*", "id": camera}) == {camera}
    assert await ids(caller, {"type": "no such type"}) == set()


@every_release
async def test_public_services_are_listed_for_everybody(
    hub: Hub, release: str, strangers: Pair
) -> None:
    provider, stranger = await strangers(hub, release)
    camera, stage = await offer(provider)

    everywhere = await ids(stranger, "public")

    assert camera in everywhere
    assert stage not in everywhere
    assert await ids(stranger) == set()
    assert not {camera, stage} & await ids(stranger, {"workspace": "*"})


@every_release
async def test_a_stranger_sees_only_the_public_part_of_a_workspace(
    hub: Hub, release: str, strangers: Pair
) -> None:
    provider, stranger = await strangers(hub, release)
    camera, _ = await offer(provider)

    assert await ids(stranger, provider.workspace) == {camera}
    assert await ids(stranger, {"workspace": provider.workspace}) == {camera}
    assert await ids(stranger, {"workspace": provider.workspace, "type": "stage"}) == set()


@every_release
async def test_who_may_enter_another_workspace_sees_all_of_it(
    hub: Hub, release: str, connect: Connect
) -> None:
    owner = await connect(release, hub.first)
    lab = unique("lab")
    await owner["create_workspace"]({"name": lab, "owners": [], "visibility": "protected"})
    token = await owner["generate_token"]({"scopes": [lab]})
    provider = await connect(release, hub.second, workspace=lab, token=token)
    camera, stage = await offer(provider)

    assert await ids(owner, lab) == {camera, stage}


@every_release
async def test_a_workspace_that_does_not_exist_is_an_error(
    hub: Hub, release: str, connect: Connect
) -> None:
    client = await connect(release, hub.first)

    await refusal_of(client["list_services"]("no-such-workspace"))


@every_release
async def test_what_a_client_offered_leaves_with_it(
    hub: Hub, release: str, connect: Connect
) -> None:
    host = await connect(release, hub.first)
    guest = await colleague(connect, host, release, hub.second)
    await offer(guest)
    camera, stage = await offer(host)

    # Taken back rather than left, so that it is over when the function returns.
    await guest.rpc("unregister_service", "camera")
    await guest.rpc("unregister_service", "stage")

    assert await ids(host) == await ids(guest) == {camera, stage}


@pytest.mark.parametrize("release", ["0.5.59"])
async def test_every_service_has_documentation_in_the_listing_of_its_workspace(
    hub: Hub, release: str, pair: Pair
) -> None:
    provider, caller = await pair(hub, release)
    await offer(provider)

    assert [service["docs"] for service in await caller["list_services"]()] == [{}, {}]
