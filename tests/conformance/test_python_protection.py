"""Who reaches which service: protected ones for their workspace, public ones for everybody."""

import pytest

from tests.conformance.python_scene import (
    Connect,
    Pair,
    colleague,
    every_release,
    refusal_of,
    unique,
)
from tests.gateways import SECOND, Hub
from tests.python_client import Connection, Local

pytestmark = pytest.mark.clients


async def offer(provider: Connection, name: str, visibility: str) -> str:
    service = await provider["register_service"](
        {
            "id": name,
            "config": {"visibility": visibility, "require_context": ["who_calls"]},
            "hello": Local("hello"),
            "who_calls": Local("who_calls"),
        },
        overwrite=True,
    )
    full_id: str = service["id"]
    return full_id


async def reference_to(connection: Connection, full_id: str, function: str) -> object:
    """Make up a reference, as somebody could who knows how the client does it."""
    address, name = full_id.split(":")
    method = {
        "_rtype": "method",
        "_rtarget": address,
        "_rmethod": f"services.{name}.{function}",
        "_rpromise": True,
    }
    return await connection.rpc("_generate_remote_method", method)


@every_release
async def test_a_protected_service_is_there_for_its_workspace(
    hub: Hub, release: str, connect: Connect
) -> None:
    provider = await connect(release, hub.first)
    full_id = await offer(provider, "safe", "protected")

    guest = await colleague(connect, provider, release, hub.second)

    for query in ("safe", full_id):
        safe = await guest["get_service"](query)
        assert await safe["hello"]("John") == "Hello John"


@every_release
async def test_a_protected_service_is_refused_to_strangers(
    hub: Hub, release: str, strangers: Pair
) -> None:
    provider, stranger = await strangers(hub, release)
    full_id = await offer(provider, unique("safe"), "protected")
    workspace, client = provider.workspace, await provider.client_id()
    name = full_id.split(":")[1]

    for query in (full_id, {"workspace": workspace, "id": f"{client}:{name}"}):
        text = await refusal_of(stranger["get_service"](query), within=2 * SECOND)
        assert "Permission denied" in text
    assert await stranger["get_service"](name) is None


@every_release
async def test_a_function_of_a_protected_service_is_refused_to_strangers(
    hub: Hub, release: str, strangers: Pair
) -> None:
    provider, stranger = await strangers(hub, release)
    full_id = await offer(provider, "safe", "protected")
    hello = await reference_to(stranger, full_id, "hello")
    assert callable(hello)

    text = await refusal_of(hello("John"), within=2 * SECOND)

    assert "Permission denied" in text


@every_release
async def test_a_public_service_is_there_for_everybody(
    hub: Hub, release: str, strangers: Pair
) -> None:
    provider, stranger = await strangers(hub, release)
    name = unique("fountain")
    full_id = await offer(provider, name, "public")

    for query in (name, full_id):
        fountain = await stranger["get_service"](query)
        assert await fountain["hello"]("John") == "Hello John"


@every_release
async def test_a_provider_knows_who_calls_from_another_workspace(
    hub: Hub, release: str, strangers: Pair
) -> None:
    provider, stranger = await strangers(hub, release)
    fountain = await stranger["get_service"](await offer(provider, "fountain", "public"))

    context = await fountain["who_calls"]()

    info = await stranger["get_connection_info"]()
    assert context["from"] == await stranger.address()
    assert context["user"] == info["user_info"]
    assert context["user"]["id"] == stranger.workspace


@every_release
async def test_a_provider_knows_whose_token_a_caller_has(
    hub: Hub, release: str, connect: Connect
) -> None:
    provider = await connect(release, hub.first)
    await offer(provider, "safe", "protected")
    guest = await colleague(connect, provider, release, hub.second)
    safe = await guest["get_service"]("safe")

    user = (await safe["who_calls"]())["user"]

    host = (await provider["get_connection_info"]())["user_info"]
    assert user["parent"] == host["id"]
    assert user["id"] != host["id"]
    assert user["scopes"] == [provider.workspace]


@every_release
async def test_a_public_service_can_be_withdrawn_from_strangers(
    hub: Hub, release: str, strangers: Pair
) -> None:
    provider, stranger = await strangers(hub, release)
    name = unique("fountain")
    full_id = await offer(provider, name, "public")
    fountain = await stranger["get_service"](name)

    await offer(provider, name, "protected")

    assert "Permission denied" in await refusal_of(stranger["get_service"](full_id))
    assert "Permission denied" in await refusal_of(fountain["hello"]("John"))
    assert await stranger["get_service"](name) is None
