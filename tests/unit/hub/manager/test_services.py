"""The functions of the manager by which clients offer services, and find them."""

import logging
from typing import Any

import pytest

from hypha_cluster.errors import BadRequest, HubError, PermissionDenied, TooMany
from hypha_cluster.hub.context import Context
from hypha_cluster.hub.manager.services import RECOVERY
from hypha_cluster.hub.services import HubService
from hypha_cluster.links.client import RedisClient
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.limits import SERVICE_INFO
from hypha_cluster.registry.clients import ClaimMode
from hypha_cluster.registry.keys import Keys
from tests.unit.hub.manager.rig import ANN, BOB, GET, REGISTER, Manager, service

PUBLIC = {"visibility": "public"}


def announced(*services: dict[str, Any], client: str = "me") -> dict[str, Any]:
    """What a client says of itself."""
    return {"id": client, "services": list(services)}


async def ids_of(manager: Manager, context: Context, query: Any = None) -> list[str]:
    return sorted(info["id"] for info in await manager.services.list_services(context, query))


# Offering.


async def test_a_service_is_put_into_its_client_and_into_the_registry(manager: Manager) -> None:
    me = await manager.attach()

    info = await manager.services.register_service(manager.context(me), service("echo"))

    ((method, (api, options)),) = me.asked
    assert method == REGISTER
    assert api["config"] == {"workspace": "ann"}
    assert api["f"]["_rtarget"] == "ann/me"
    assert options["notify"] is False
    assert info["id"] == "ann/me:echo"
    (provider,) = await manager.registered.providers("ann", "echo")
    assert (provider.address, provider.is_public, provider.online) == ("ann/me", False, True)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("echo", "A service is a dict"),
        ({"id": "echo", "config": "public"}, "'config' of a service is a dict"),
        ({"id": 5}, "A service id is text, not 5"),
        ({"id": "a/b"}, "a/b"),
        ({"id": "echo", "config": {"visibility": "secret"}}, "'public' or 'protected'"),
    ],
)
async def test_what_is_wrong_with_a_service_is_said_before_the_client_is_asked(
    manager: Manager, wrong: Any, says: str
) -> None:
    me = await manager.attach()

    with pytest.raises(BadRequest, match=says):
        await manager.services.register_service(manager.context(me), wrong)

    assert me.asked == []


async def test_a_client_that_does_not_say_what_it_has_registered_is_told(manager: Manager) -> None:
    me = await manager.attach()
    me.answer = lambda method, args: None

    with pytest.raises(HubError, match="did not say what it has registered"):
        await manager.services.register_service(manager.context(me), service("echo"))


async def test_nobody_offers_anything_in_a_workspace_of_others(manager: Manager) -> None:
    with pytest.raises(PermissionDenied):
        await manager.services.register_service(manager.context(identity=BOB), service("echo"))


async def test_what_a_client_announces_replaces_what_it_had(manager: Manager) -> None:
    me = await manager.attach()
    context = manager.context(me)

    await manager.services.update_client_info(context, announced(service("a"), service("b")))
    before = await ids_of(manager, context)
    await manager.services.update_client_info(context, announced(service("b"), service("c")))

    assert before == ["ann/me:a", "ann/me:b"]
    assert await ids_of(manager, context) == ["ann/me:b", "ann/me:c"]


async def test_what_a_client_has_for_itself_is_no_service(manager: Manager) -> None:
    me = await manager.attach()
    own = announced(service("built-in"), service(RECOVERY), service("me:real"))

    await manager.services.update_client_info(manager.context(me), own)

    assert await ids_of(manager, manager.context(me)) == ["ann/me:real"]


@pytest.mark.parametrize(
    ("info", "says"),
    [
        ("me", "'me'"),
        ({"id": "you", "services": []}, "must be the caller's own, 'me'"),
        (announced() | {"services": "none"}, "is a list"),
        (announced("echo"), "a dict with an id"),  # type: ignore[arg-type]
        (announced({"id": "s", "config": 5}), "'config' of service 's'"),
        (announced(service("s", docs="x" * SERVICE_INFO)), f"more than {SERVICE_INFO} bytes"),
        (announced(service("s", config={"visibility": 5})), "'visibility'"),
    ],
)
async def test_what_is_announced_wrongly_changes_nothing(
    manager: Manager, info: Any, says: str
) -> None:
    me = await manager.attach()
    await manager.services.update_client_info(manager.context(me), announced(service("a")))

    with pytest.raises(BadRequest, match=says):
        await manager.services.update_client_info(manager.context(me), info)

    assert await ids_of(manager, manager.context(me)) == ["ann/me:a"]


async def test_an_error_that_a_client_reports_changes_nothing(manager: Manager) -> None:
    me = await manager.attach()
    await manager.services.update_client_info(manager.context(me), announced(service("a")))

    await manager.services.update_client_info(manager.context(me), {"id": "me", "error": "x"})

    assert await ids_of(manager, manager.context(me)) == ["ann/me:a"]


async def test_a_default_service_is_set_up_when_it_appears(manager: Manager) -> None:
    me = await manager.attach()
    me.offers["default"] = {"id": "default", "setup": rpc.reference("me", "services.default.setup")}

    for _ in range(2):
        await manager.services.update_client_info(
            manager.context(me), announced(service("default"))
        )

    assert [method for method, _ in me.asked] == [GET, "services.default.setup"]


async def test_services_have_a_limit_for_each_user(
    redis_client: RedisClient, redis_prefix: str
) -> None:
    manager = Manager(redis_client, Keys(redis_prefix), services=2)
    me = await manager.attach()
    three = announced(*(service(name) for name in "abc"))

    with pytest.raises(TooMany):
        await manager.services.update_client_info(manager.context(me), three)

    assert await ids_of(manager, manager.context(me)) == []


async def test_a_client_whose_place_another_gateway_has_announces_itself_there(
    manager: Manager,
) -> None:
    """What this gateway would write would be lost; the client is asked to say all of it anew."""
    me = await manager.attach()
    elsewhere = me.connection.attachment._replace(holder="other#1", node="other")
    claim = await manager.registry.claim(elsewhere, ClaimMode.TAKE)
    await manager.registry.noted(claim)

    with pytest.raises(HubError):
        await manager.services.register_service(manager.context(me), service("echo"))

    assert [args[0]["id"] for method, args in me.asked if method == REGISTER] == ["echo", RECOVERY]


async def test_who_cannot_be_asked_for_its_services_is_named(
    manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    me = await manager.attach()
    del manager.hub.clients["ann/me"]

    with caplog.at_level(logging.WARNING):
        await manager.services.recover(me.connection)

    assert "ann/me could not be asked what it offers" in caplog.text


# Finding.


@pytest.fixture
async def offered(manager: Manager) -> Manager:
    """Ann offers `open` to everybody, and `shut`; Bob offers `bobs`."""
    for user, infos in (
        (ANN, [service("open", config=PUBLIC, type="tool"), service("shut")]),
        (BOB, [service("bobs")]),
    ):
        program = await manager.attach(identity=user)
        context = manager.context(program, user)
        await manager.services.update_client_info(context, announced(*infos))
        program.offers = {info["id"]: info for info in infos}
    return manager


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (None, ["ann/me:open", "ann/me:shut"]),
        ("ann", ["ann/me:open", "ann/me:shut"]),
        ({"type": "tool"}, ["ann/me:open"]),
        ({"id": "me:shut"}, ["ann/me:shut"]),
        ({"workspace": "ann", "id": "ann/me:shut"}, ["ann/me:shut"]),
        ("public", ["ann/me:open"]),
        ({"workspace": "public"}, ["ann/me:open"]),
        ("bob", []),
    ],
)
async def test_a_listing_has_what_is_asked_for_and_may_be_seen(
    offered: Manager, query: Any, found: list[str]
) -> None:
    visit = offered.context(await offered.attach("visitor"))

    assert await ids_of(offered, visit, query) == found


@pytest.mark.parametrize("query", ["shut", "me:shut", {"id": "shut", "workspace": "ann"}])
async def test_a_service_comes_as_its_provider_describes_it(offered: Manager, query: Any) -> None:
    visit = offered.context(await offered.attach("visitor"))

    found = await offered.services.get_service(visit, query)

    assert found
    assert found["id"] == "ann/me:shut"
    assert found["f"]["_rtarget"] == "ann/me"


async def test_what_nobody_offers_is_none_and_what_is_shut_is_denied(offered: Manager) -> None:
    visit = offered.context(await offered.attach("visitor"))

    assert await offered.services.get_service(visit, "nothing") is None
    with pytest.raises(PermissionDenied):
        await offered.services.get_service(visit, "bob/*:bobs")


async def test_an_app_is_launched_if_nobody_offers_what_is_asked_for(
    redis_client: RedisClient, redis_prefix: str
) -> None:
    launched: list[dict[str, Any]] = []

    async def launch(context: Context, query: dict[str, Any]) -> tuple[str, str]:
        launched.append(query)
        return "ann/me", "echo"

    apps = HubService("apps", "Apps", "", {}, launch=launch)
    manager = Manager(redis_client, Keys(redis_prefix), [apps])
    me = await manager.attach()
    await manager.services.register_service(manager.context(me), service("echo"))

    there = await manager.services.get_service(manager.context(me), {"id": "echo", "launch": True})
    started = await manager.services.get_service(manager.context(me), {"id": "app", "launch": True})
    named = {"id": "echo", "launch": True, "client_name": "mine"}
    anew = await manager.services.get_service(manager.context(me), named)

    assert there
    assert there == started == anew
    assert launched == [{"id": "app", "launch": True}, named]


async def test_a_hub_without_apps_launches_none(offered: Manager) -> None:
    visit = offered.context(await offered.attach("visitor"))

    with pytest.raises(BadRequest, match="cannot launch applications"):
        await offered.services.get_service(visit, {"id": "app", "launch": True})
