"""The page of a workspace: whoever may enter sees all of it, others what is public."""

from typing import Any, cast

import pytest
from starlette.applications import Starlette

from hypha_cluster.errors import ServiceNotFound
from hypha_cluster.features.feature import Lookups
from hypha_cluster.features.pages.looking import Lookers
from hypha_cluster.features.pages.pages import TEMPLATES
from hypha_cluster.features.pages.workspace_page import WorkspacePage
from hypha_cluster.hub.visiting import Visitor as Caller
from hypha_cluster.identity.access import Identity, Workspace
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.address import ServiceQuery
from hypha_cluster.protocol.limits import SHOWN_CLIENTS, SHOWN_SERVICES
from hypha_cluster.registry.services import Provider
from hypha_cluster.web.rendering import Pages
from tests.unit.features.rig import ANN, BOB, URL, Ground, Visitor, site_of

HTML = {"Accept": "text/html"}


def info(service: str, visibility: str = "protected", client: str = "me", **more: Any) -> Any:
    return {"id": f"lab/{client}:{service}", "config": {"visibility": visibility}, **more}


class Services:
    """What there is in lab, and whether the hub runs server apps."""

    def __init__(self) -> None:
        self.infos = [
            info("sums", "public", name="Sums", type="ASGI"),
            info("secrets"),
            info("built-in"),
        ]
        self.has_apps = False

    async def visible(self, workspace: str, *, inside: bool) -> list[dict[str, Any]]:
        return [each for each in self.infos if inside or each["config"]["visibility"] == "public"]

    async def find(self, visitor: Caller, wanted: ServiceQuery, workspace: str) -> Provider:
        if wanted.service == "server-apps" and self.has_apps:
            return Provider("public/workspace-manager", "server-apps", {}, online=True)
        for each in await self.visible(workspace, inside=visitor.inside):
            if each["id"].endswith(f":{wanted.service}"):
                return Provider("lab/me", wanted.service, each, online=True)
        raise ServiceNotFound(f"Service not found: {workspace}/{wanted.service}")

    async def describe(self, visitor: Caller, provider: Provider) -> dict[str, Any]:
        add = rpc.reference(provider.address, f"services.{provider.service}.add")
        return {"docs": "Adds <numbers>.", "add": add, "config": provider.info["config"]}


@pytest.fixture
def services() -> Services:
    return Services()


@pytest.fixture
async def site(ground: Ground, services: Services) -> Starlette:
    await ground.workspaces.create(Workspace("lab", owners=["ann"]))
    nothing: Any = None
    lookups = Lookups(cast(Any, services), cast(Any, services), nothing)
    pages = Pages(TEMPLATES, with_scripts=True)
    return site_of(WorkspacePage(ground.grounds, lookups, Lookers(ground.grounds), pages).routes())


async def connect(ground: Ground, **states: str) -> None:
    for name, state in states.items():
        await ground.redis.sadd(ground.keys.clients("lab"), name)
        if state:
            await ground.redis.hset(ground.keys.client(f"lab/{name}"), {"state": state})


async def test_who_may_enter_sees_all_services_and_clients_with_their_states(
    site: Starlette, ground: Ground
) -> None:
    await connect(ground, here="online", there="suspended", nowhere="")
    ann = await Visitor.who_is(ANN, site, ground)

    page = await ann.open(f"{URL}/lab/", **HTML)

    assert page.status == 200
    assert page.text.index("Sums") < page.text.index("secrets")
    assert "built-in" not in page.text
    rows = page.text.partition("<tbody")[2].split("<tr")[1:]
    assert [("online" in row, "suspended" in row, "gone" in row) for row in rows] == [
        (True, False, False),
        (False, False, True),
        (False, True, False),
    ]


@pytest.mark.parametrize("who", [BOB, None])
async def test_others_see_what_is_public_and_get_no_token(
    site: Starlette, ground: Ground, who: Identity | None
) -> None:
    await connect(ground, here="online")
    other = await Visitor.who_is(who, site, ground) if who else Visitor(site)

    page = await other.open(f"{URL}/lab/", **HTML)

    assert page.status == 403
    assert "Sums" in page.text
    assert 'data-token=""' in page.text
    assert "secrets" not in page.text
    assert "<h2>Clients" not in page.text


@pytest.mark.parametrize("find", ["SECR", "here"])
async def test_only_what_is_looked_for_is_shown(site: Starlette, ground: Ground, find: str) -> None:
    await connect(ground, here="online", there="online", away="online")
    ann = await Visitor.who_is(ANN, site, ground)

    page = await ann.open(f"{URL}/lab/?find={find}", **HTML)

    cards, rows = page.text.count('<li class="card"'), page.text.count("<tr data-id")
    assert (cards, rows) == ((1, 0) if find == "SECR" else (0, 2))


async def test_of_very_many_so_many_are_shown_and_the_rest_counted(
    site: Starlette, ground: Ground, services: Services
) -> None:
    services.infos = [info(f"s{number}") for number in range(SHOWN_SERVICES + 3)]
    await connect(ground, **{f"c{number}": "online" for number in range(SHOWN_CLIENTS + 2)})
    ann = await Visitor.who_is(ANN, site, ground)

    page = await ann.open(f"{URL}/lab/", **HTML)

    assert page.text.count('<li class="card"') == SHOWN_SERVICES
    assert page.text.count("<tr data-id") == SHOWN_CLIENTS
    assert "3 more" in page.text
    assert "2 more" in page.text


@pytest.mark.parametrize("has_apps", [True, False])
async def test_server_apps_are_named_where_there_are_any(
    site: Starlette, ground: Ground, services: Services, has_apps: bool
) -> None:
    services.has_apps = has_apps
    ann = await Visitor.who_is(ANN, site, ground)

    page = await ann.open(f"{URL}/lab/", **HTML)

    assert ("/lab/apps/" in page.text) is has_apps


async def test_odd_infos_of_a_service_do_no_harm(
    site: Starlette, ground: Ground, services: Services
) -> None:
    services.infos = [
        {"id": "lab/me:odd", "config": 5, "name": ["x"], "type": {}, "description": 1}
    ]
    ann = await Visitor.who_is(ANN, site, ground)

    page = await ann.open(f"{URL}/lab/", **HTML)

    assert (page.status, "me:odd" in page.text) == (200, True)


async def test_a_service_has_a_page_of_its_functions(site: Starlette, ground: Ground) -> None:
    page = await Visitor(site).open(f"{URL}/lab/?service=me:sums", **HTML)

    assert page.status == 200
    assert "/lab/services/me%3Asums/add" in page.text
    assert "Adds <numbers>." in page.text
    assert "/lab/apps/sums/" in page.text


async def test_what_is_protected_has_none_for_others(site: Starlette, ground: Ground) -> None:
    ann = await Visitor.who_is(ANN, site, ground)

    inside = await ann.open(f"{URL}/lab/?service=me:secrets", **HTML)
    outside = await Visitor(site).open(f"{URL}/lab/?service=me:secrets", **HTML)

    assert (inside.status, outside.status) == (200, 404)


@pytest.mark.parametrize(
    "path", ["/ws/", "/login/", "/health/", "/static/", "/oauth/", "/nowhere/"]
)
async def test_what_is_no_workspace_has_no_page(site: Starlette, path: str) -> None:
    assert (await Visitor(site).open(f"{URL}{path}", **HTML)).status == 404


async def test_programs_find_no_page_here(site: Starlette, ground: Ground) -> None:
    ann = await Visitor.who_is(ANN, site, ground)

    assert (await ann.open(f"{URL}/lab/", Accept="application/json")).status == 404
