"""The functions of the manager by which clients make workspaces, and look around in them."""

from typing import Any

import pytest

from hypha_cluster.errors import BadRequest, Conflict, NotFound, PermissionDenied, TooMany
from hypha_cluster.identity.access import Workspace
from hypha_cluster.identity.accounts import Account
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.accounts import Accounts
from hypha_cluster.registry.keys import Keys
from tests.unit.hub.manager.rig import ANN, BOB, NOBODY, Manager, service

LAB: dict[str, Any] = {"name": "lab", "owners": [], "visibility": "protected"}
APP = {"name": "App", "id": "app", "tags": [], "type": "application"}


async def test_who_makes_a_workspace_owns_it(manager: Manager) -> None:
    me = await manager.attach()

    made = await manager.functions.create_workspace(manager.context(me), LAB)

    assert made["owners"] == ["ann@lab.example"]
    assert (await manager.workspaces.get("lab")).owners == ["ann@lab.example"]


@pytest.mark.parametrize(
    ("config", "error", "says"),
    [
        ("lab", BadRequest, "settings of a workspace are a dict"),
        ({"name": "lab"}, BadRequest, "needs owners, visibility"),
        ({**LAB, "name": "a/b"}, BadRequest, "a/b"),
        ({**LAB, "colour": 1}, BadRequest, "has no 'colour'"),
        ({**LAB, "visibility": "secret"}, BadRequest, "'public' or 'protected'"),
        ({**LAB, "name": "cat"}, PermissionDenied, "a user's own workspace"),
    ],
)
async def test_no_workspace_is_made_of_what_is_wrong(
    manager: Manager, config: Any, error: type[Exception], says: str
) -> None:
    me, account = await manager.attach(), Account("cat", "cat@lab.example")
    await Accounts(manager.redis, manager.keys).add(account)  # who has not connected yet
    before = await manager.workspaces.names()

    with pytest.raises(error, match=says):
        await manager.functions.create_workspace(manager.context(me), config)

    assert await manager.workspaces.names() == before


async def test_a_name_is_one_workspaces_and_its_owner_may_overwrite_it(manager: Manager) -> None:
    ann = manager.context(await manager.attach())
    bob = manager.context(await manager.attach(identity=BOB), BOB)
    await manager.functions.create_workspace(ann, LAB)

    with pytest.raises(Conflict, match="lab already exists"):
        await manager.functions.create_workspace(ann, LAB)
    with pytest.raises(PermissionDenied, match="only an owner may overwrite it"):
        await manager.functions.create_workspace(bob, LAB, overwrite=True)
    changed = await manager.functions.create_workspace(
        ann, {**LAB, "description": "Ours"}, overwrite=True
    )

    assert changed["description"] == "Ours"


async def test_workspaces_have_a_limit_for_each_user(
    redis_client: RedisClient, redis_prefix: str
) -> None:
    manager = Manager(redis_client, Keys(redis_prefix), workspaces_a_day=1)
    me = manager.context(await manager.attach())
    await manager.functions.create_workspace(me, LAB)

    with pytest.raises(TooMany):
        await manager.functions.create_workspace(me, {**LAB, "name": "other"})


async def test_only_users_with_an_address_keep_a_workspace_for_good(manager: Manager) -> None:
    nobody = manager.context(await manager.attach(identity=NOBODY), NOBODY)

    with pytest.raises(PermissionDenied, match="for good"):
        await manager.functions.create_workspace(nobody, {**LAB, "persistent": True})


async def test_settings_are_changed_by_who_owns_them(manager: Manager) -> None:
    me = manager.context(await manager.attach())

    await manager.functions.set(me, {"description": "Mine", "visibility": "private"})

    mine = await manager.functions.get_workspace_info(me)
    assert (mine["description"], mine["visibility"]) == ("Mine", "protected")
    with pytest.raises(BadRequest, match="cannot be changed"):
        await manager.functions.set(me, {"name": "other"})


async def test_nobody_changes_what_is_somebody_elses(manager: Manager) -> None:
    await manager.attach()
    bob = manager.context(await manager.attach(identity=BOB), BOB)._replace(workspace="ann")

    with pytest.raises(PermissionDenied):
        await manager.functions.set(bob, {"description": "Bob's now"})
    with pytest.raises(PermissionDenied):
        await manager.functions.get_workspace_info(bob)


async def test_nobody_locks_themselves_out(manager: Manager) -> None:
    me = manager.context(await manager.attach())
    await manager.functions.create_workspace(me, LAB)

    await manager.functions.set(me._replace(workspace="lab"), {"owners": ["bob"]})

    assert (await manager.workspaces.get("lab")).owners == ["bob", "ann@lab.example"]


async def test_an_application_is_installed_and_removed(manager: Manager) -> None:
    me = manager.context(await manager.attach())

    await manager.functions.install_application(me, APP)
    installed = (await manager.workspaces.get("ann")).applications
    await manager.functions.uninstall_application(me, "app")

    assert installed == {"app": APP}
    assert (await manager.workspaces.get("ann")).applications == {}
    with pytest.raises(NotFound, match="'app' is installed in ann"):
        await manager.functions.uninstall_application(me, "app")


@pytest.mark.parametrize(
    ("rdf", "says"),
    [("app", "needs name, id"), ({"id": "app"}, "needs name, tags"), ({**APP, "id": 5}, "is text")],
)
async def test_what_is_no_application_is_not_installed(
    manager: Manager, rdf: Any, says: str
) -> None:
    me = manager.context(await manager.attach())

    with pytest.raises(BadRequest, match=says):
        await manager.functions.install_application(me, rdf)
    with pytest.raises(BadRequest, match="is text"):
        await manager.functions.uninstall_application(me, ["app"])  # type: ignore[arg-type]

    assert (await manager.workspaces.get("ann")).applications == {}


async def test_a_summary_has_clients_and_services(manager: Manager) -> None:
    program = await manager.attach()
    me = manager.context(program)
    await manager.services.register_service(me, service("echo"))
    await manager.make(Workspace("other"))

    summary = await manager.functions.get_summary(me)

    assert (summary["name"], summary["client_count"], summary["service_count"]) == ("ann", 2, 1)
    assert summary["clients"] == ["me", "workspace-manager"]
    assert summary["services"][0]["id"] == "ann/me:echo"
    assert await manager.functions.list_clients(me._replace(workspace="other")) == [
        "workspace-manager"
    ]


async def test_a_user_finds_all_clients_of_theirs(manager: Manager) -> None:
    first, _ = await manager.attach("one"), await manager.attach("two")
    await manager.attach("three", BOB)

    found = await manager.functions.list_user_clients(manager.context(first))

    assert sorted(found) == ["one", "two"]
    assert ANN.id == "ann"
