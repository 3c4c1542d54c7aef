"""Python clients make workspaces, look at them, and change what is theirs to change."""

from typing import Any

import pytest

from tests.conformance.python_scene import Connect, Pair, every_release, refusal_of, unique
from tests.gateways import Hub
from tests.python_client import Connection, Local

pytestmark = pytest.mark.clients

KEYS = {
    "name", "persistent", "owners", "visibility", "read_only", "description", "icon", "covers",
    "docs", "allow_list", "deny_list", "applications", "interfaces",
}  # fmt: skip


async def make(owner: Connection, name: str, **config: Any) -> Any:
    return await owner["create_workspace"](
        {"name": name, "owners": [], "visibility": "protected", **config}
    )


async def user_id(connection: Connection) -> str:
    user: str = (await connection["get_connection_info"]())["user_info"]["id"]
    return user


@every_release
async def test_a_workspace_can_be_made_and_entered(
    hub: Hub, release: str, connect: Connect
) -> None:
    owner = await connect(release, hub.first)
    name = unique("lab")

    made = await make(owner, name, description="A place to work")

    assert set(made) >= KEYS
    assert made["name"] == name
    assert made["description"] == "A place to work"
    assert made["owners"] == [await user_id(owner)]
    assert made["persistent"] is False
    token = await owner["generate_token"]({"scopes": [name]})
    inside = await connect(release, hub.second, workspace=name, token=token)
    assert await inside["get_workspace_info"]() == made
    assert await inside["list_services"]() == []


@every_release
async def test_the_own_workspace_is_described(hub: Hub, release: str, pair: Pair) -> None:
    owner, colleague = await pair(hub, release)

    info = await owner["get_workspace_info"]()

    assert set(info) >= KEYS
    assert info["name"] == owner.workspace
    assert info["owners"] == [await user_id(owner)]
    assert info["visibility"] == "protected"
    assert info["persistent"] is False
    assert await colleague["getWorkspaceInfo"](owner.workspace) == info


@every_release
async def test_a_workspace_is_not_made_twice(hub: Hub, release: str, strangers: Pair) -> None:
    owner, stranger = await strangers(hub, release)
    name = unique("lab")
    made = await make(owner, name, description="mine")

    for thief, target, overwrite in (
        (owner, name, False),
        (stranger, name, False),
        (stranger, name, True),
        (stranger, owner.workspace, True),
    ):
        config = {"name": target, "owners": [], "visibility": "protected"}
        await refusal_of(thief["create_workspace"](config, overwrite=overwrite))

    assert await owner["get_workspace_info"](name) == made
    assert await owner["echo"]("still in") == "still in"


UNFIT: dict[str, dict[str, Any]] = {
    "no name": {"owners": [], "visibility": "protected"},
    "no owners": {"name": "incomplete", "visibility": "protected"},
    "no visibility": {"name": "incomplete", "owners": []},
    "slash": {"name": "a/b", "owners": [], "visibility": "protected"},
    "colon": {"name": "a:b", "owners": [], "visibility": "protected"},
    "star": {"name": "*", "owners": [], "visibility": "protected"},
    "empty name": {"name": "", "owners": [], "visibility": "protected"},
    "persistent": {
        "name": "kept", "owners": [], "visibility": "protected", "persistent": True
    },
}  # fmt: skip


@every_release
async def test_a_workspace_that_cannot_be_is_refused(
    hub: Hub, release: str, connect: Connect
) -> None:
    client = await connect(release, hub.first)

    for config in UNFIT.values():
        await refusal_of(client["create_workspace"](config))


@every_release
async def test_a_workspace_is_not_described_to_strangers(
    hub: Hub, release: str, strangers: Pair
) -> None:
    owner, stranger = await strangers(hub, release)

    assert "Permission denied" in await refusal_of(stranger["get_workspace_info"](owner.workspace))
    await refusal_of(stranger["get_workspace_info"]("no-such-workspace"))


@every_release
async def test_what_is_said_about_a_workspace_can_be_changed(
    hub: Hub, release: str, pair: Pair
) -> None:
    owner, colleague = await pair(hub, release)

    await owner["set"]({"description": "A better place", "docs": "https://example.org"})

    info = await colleague["get_workspace_info"]()
    assert info["description"] == "A better place"
    assert info["docs"] == "https://example.org"
    assert await user_id(owner) in info["owners"]
    mistakes: list[dict[str, Any]] = [{"nothing": 1}, {"_owners": []}, {"name": "another"}]
    for mistake in mistakes:
        await refusal_of(owner["set"](mistake))
    assert await colleague["get_workspace_info"]() == info


@every_release
async def test_the_summary_counts_what_is_there(hub: Hub, release: str, pair: Pair) -> None:
    first, second = await pair(hub, release)
    await second["register_service"](
        {"id": "greeter", "name": "The greeter", "hello": Local("hello")}
    )

    summary = await first["get_summary"]()

    assert summary["name"] == first.workspace
    clients = {await first.client_id(), await second.client_id()}
    assert clients <= set(summary["clients"])
    assert summary["client_count"] == len(summary["clients"])
    assert summary["service_count"] == len(summary["services"])
    [greeter] = [entry for entry in summary["services"] if entry["id"].endswith(":greeter")]
    assert set(greeter) >= {"id", "name", "type", "description", "config"}
    assert greeter["name"] == "The greeter"
    assert await second["getSummary"]() == summary


@every_release
async def test_applications_are_kept_until_they_are_removed(
    hub: Hub, release: str, pair: Pair
) -> None:
    first, second = await pair(hub, release)
    application = {"id": "painter", "name": "Painter", "type": "application", "tags": ["paint"]}

    await first["install_application"](application)

    installed = (await second["get_workspace_info"]())["applications"]
    assert installed["painter"]["name"] == "Painter"
    await second["uninstall_application"]("painter")
    assert (await first["get_workspace_info"]())["applications"] == {}
    await refusal_of(first["uninstallApplication"]("painter"))
    await refusal_of(first["installApplication"]({"id": "nameless"}))


@every_release
@pytest.mark.parametrize("function", ["get_service", "list_services"])
async def test_a_malformed_query_is_an_error(
    hub: Hub, release: str, connect: Connect, function: str
) -> None:
    client = await connect(release, hub.first)

    await refusal_of(client[function](42))
    await refusal_of(client[function](["a", "list"]))
    assert await client["echo"]("still here") == "still here"
