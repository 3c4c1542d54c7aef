"""Which services a query means, and who of several answers."""

from dataclasses import replace
from typing import Any

import pytest

from hypha_cluster.errors import BadRequest, PermissionDenied, ServiceNotFound
from hypha_cluster.hub.context import Context
from hypha_cluster.hub.selection import Selection, choose, matches, parse_query, searched
from hypha_cluster.hub.services import HubService, HubServices
from hypha_cluster.protocol.address import ServiceQuery
from hypha_cluster.registry.services import Provider

PUBLIC = {"config": {"visibility": "public"}}
PROTECTED: dict[str, Any] = {"config": {"visibility": "protected"}}


def provider(address: str, info: dict[str, Any] = PUBLIC, *, online: bool = True) -> Provider:
    return Provider(address, "s", info, online)


class FakeServices:
    """What some clients offer."""

    def __init__(self, *providers: Provider) -> None:
        self._providers = providers

    async def providers(self, workspace: str, service: str) -> list[Provider]:
        return [p for p in self._providers if p.address.startswith(f"{workspace}/")]

    async def public_providers(self, service: str) -> list[Provider]:
        return [p for p in self._providers if p.is_public]

    async def provider(self, address: str, service: str) -> Provider | None:
        return next((p for p in self._providers if p.address == address), None)


def selection(*providers: Provider, own: HubServices | None = None) -> Selection:
    """Make one that has no calls waiting anywhere."""
    return Selection(FakeServices(*providers), own or own_services(), lambda address: 0)


def own_services(*services: HubService) -> HubServices:
    return HubServices(services)


async def nothing(context: Context) -> None:
    """Do nothing."""


LOGIN = HubService("s", "Login", "Asks who somebody is.", {"start": nothing})


# Queries of get_service.


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("s", ServiceQuery(None, None, "s")),
        ({"id": "s"}, ServiceQuery(None, None, "s")),
        ({"service_id": "s"}, ServiceQuery(None, None, "s")),
        ({"id": "c:s", "workspace": "w"}, ServiceQuery("w", "c", "s")),
        ({"id": "v/c:s", "workspace": "w"}, ServiceQuery("v", "c", "s")),
        ({"id": "s", "workspace": "*"}, ServiceQuery(None, None, "s")),
        ("w/c", ServiceQuery("w", "c", "default")),
        ("w/*:s", ServiceQuery("w", None, "s")),
        ("*", None),
        ({}, None),
        ({"id": None}, None),
    ],
)
def test_a_query_names_a_service(query: object, wanted: ServiceQuery | None) -> None:
    assert parse_query(query) == wanted


@pytest.mark.parametrize("query", [None, 5, ["s"], "", {"id": 5}, {"id": ""}, "a*:s", "s*", "c:*"])
def test_a_query_that_names_none_is_an_error(query: object) -> None:
    with pytest.raises(BadRequest):
        parse_query(query)


# Who of several answers.


def test_nobody_is_chosen_among_none() -> None:
    assert choose([]) is None


def test_the_least_busy_provider_is_chosen() -> None:
    calls = {"w/a": 2, "w/b": 1, "w/c": 3}
    providers = [Provider(address, "s", {}, online=True) for address in calls]

    chosen = choose(providers, "least_busy", calls.__getitem__)

    assert chosen is not None
    assert chosen.address == "w/b"


@pytest.mark.parametrize(("mode", "chosen"), [("first", "w/a"), ("last", "w/c")])
def test_a_mode_says_who_is_chosen(mode: str, chosen: str) -> None:
    found = choose([provider("w/b"), provider("w/c"), provider("w/a")], mode)

    assert found is not None
    assert found.address == chosen


def test_everybody_is_chosen_now_and_then() -> None:
    providers = [provider(f"w/{name}") for name in "abc"]

    chosen = [choose(providers) for _ in range(200)]

    assert all(provider in chosen for provider in providers)


def test_who_is_online_is_preferred() -> None:
    away, here = provider("w/a", online=False), provider("w/b")

    assert choose([away, here], "first") is here
    assert choose([away], "first") is away


# Permission.


async def test_a_service_of_ones_own_workspace_comes_first() -> None:
    mine, foreign = provider("home/c", PROTECTED), provider("other/c")

    found = await selection(foreign, mine).find(ServiceQuery(None, None, "s"), "home", inside=True)

    assert found is mine


async def test_a_public_service_is_found_by_its_bare_name() -> None:
    foreign = provider("other/c")

    found = await selection(foreign).find(ServiceQuery(None, None, "s"), "home", inside=True)

    assert found is foreign


async def test_the_public_ones_of_other_workspaces_are_not_meant_when_one_was_named() -> None:
    wanted = ServiceQuery("home", None, "s")

    assert await selection(provider("other/c")).find(wanted, "home", inside=True) is None


@pytest.mark.parametrize("client", ["c", None])
async def test_a_protected_service_is_for_those_inside(client: str | None) -> None:
    theirs = provider("other/c", PROTECTED)
    wanted = ServiceQuery("other", client, "s")

    assert await selection(theirs).find(wanted, "home", inside=True) is theirs
    with pytest.raises(PermissionDenied):
        await selection(theirs).find(wanted, "home", inside=False)


@pytest.mark.parametrize("config", [{}, {"visibility": "Public"}, {"visibility": None}])
async def test_what_does_not_say_public_is_protected(config: dict[str, Any]) -> None:
    theirs = provider("other/c", {"config": config})

    with pytest.raises(PermissionDenied):
        await selection(theirs).find(ServiceQuery("other", "c", "s"), "home", inside=False)


async def test_a_service_that_a_client_does_not_offer_is_not_found() -> None:
    with pytest.raises(ServiceNotFound):
        await selection().find(ServiceQuery("home", "c", "s"), "home", inside=True)


# Services of the hub's own.

OWN = "public/workspace-manager"


@pytest.mark.parametrize(
    "wanted",
    [
        ServiceQuery(None, None, "s"),
        ServiceQuery("public", None, "s"),
        ServiceQuery("public", "workspace-manager", "s"),
    ],
)
async def test_the_hubs_own_service_goes_before_anybodys_of_that_name(wanted: ServiceQuery) -> None:
    chosen = selection(provider("other/c"), own=own_services(LOGIN))

    found = await chosen.find(wanted, "home", inside=False)

    assert found is not None
    assert found.address == OWN


async def test_a_service_of_ones_own_workspace_goes_before_the_hubs() -> None:
    mine = provider("home/c", PROTECTED)
    chosen = selection(mine, own=own_services(LOGIN))

    assert await chosen.find(ServiceQuery(None, None, "s"), "home", inside=True) is mine


@pytest.mark.parametrize("inside", [True, False])
async def test_a_service_that_the_hub_has_not_is_not_found_by_anybody(inside: bool) -> None:
    wanted = ServiceQuery("public", "workspace-manager", "missing")

    with pytest.raises(ServiceNotFound, match="public/workspace-manager:missing"):
        await selection(own=own_services(LOGIN)).find(wanted, "home", inside=inside)


async def test_an_unlisted_service_of_the_hub_is_found_by_its_address_only() -> None:
    unlisted = replace(LOGIN, workspace=None, visibility="protected", is_listed=False)
    chosen = selection(own=own_services(unlisted))
    direct = ServiceQuery("home", "workspace-manager", "s")

    assert await chosen.find(ServiceQuery(None, None, "s"), "home", inside=True) is None
    assert await chosen.find(direct, "home", inside=True) is not None
    with pytest.raises(PermissionDenied):
        await chosen.find(direct, "home", inside=False)


async def test_an_unknown_mode_is_an_error() -> None:
    with pytest.raises(BadRequest, match="mode"):
        await selection().find(ServiceQuery(None, None, "s"), "home", inside=True, mode="best")


# Queries of list_services.


@pytest.mark.parametrize(
    ("query", "workspaces", "rest"),
    [
        (None, ["home"], {}),
        ({}, ["home"], {}),
        ("other", ["other"], {}),
        ("*", ["home", "public"], {}),
        ({"workspace": "*"}, ["home", "public"], {}),
        ({"workspace": "other", "type": "x"}, ["other"], {"type": "x"}),
        ({"name": "n"}, ["home"], {"name": "n"}),
        ({"workspace": None}, ["home"], {}),
    ],
)
def test_a_query_covers_workspaces(
    query: object, workspaces: list[str], rest: dict[str, Any]
) -> None:
    assert searched(query, "home") == (workspaces, rest)


@pytest.mark.parametrize("query", [5, ["home"], {"workspace": 5}])
def test_a_query_that_covers_nothing_is_an_error(query: object) -> None:
    with pytest.raises(BadRequest):
        searched(query, "home")


@pytest.mark.parametrize(
    ("query", "home", "match"),
    [
        ({}, "w", True),
        ({"id": "w/c:s"}, None, True),
        ({"id": "c:s"}, "w", True),
        ({"id": "c:s"}, None, False),
        ({"id": "c:s"}, "other", False),
        ({"name": "n", "type": "t"}, "w", True),
        ({"name": "n", "type": "u"}, "w", False),
        ({"colour": "red"}, "w", False),
        ({"colour": None}, "w", True),
    ],
)
def test_a_service_matches_what_is_asked_for(
    query: dict[str, Any], home: str | None, match: bool
) -> None:
    info = {"id": "w/c:s", "name": "n", "type": "t"}

    assert matches(info, query, home) == match
