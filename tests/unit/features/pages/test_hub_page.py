"""The hub's own page: its gateways and what is public, for everybody or for admins alone."""

from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.features.pages.hub_page import FIGURES, HubPage
from hypha_cluster.features.pages.looking import Lookers
from hypha_cluster.features.pages.pages import TEMPLATES
from hypha_cluster.web.rendering import Pages
from tests.unit.features.rig import ADA, ANN, URL, Ground, Visitor, site_of

HTML = {"Accept": "text/html"}


class Hub:
    """What there is: its services, and its gateways; both are away when Redis is."""

    node = "here"

    def __init__(self) -> None:
        self.is_away = False

    async def public(self) -> list[dict[str, Any]]:
        self._look()
        return [{"id": "lab/worker:adder", "name": "Adder"}, {"id": "lab/worker:odd", "name": None}]

    async def gateways(self) -> list[Any]:
        self._look()
        return []

    def alone(self) -> list[Any]:
        return []

    def _look(self) -> None:
        if self.is_away:
            raise RedisUnavailable("The hub cannot reach its Redis at the moment; try again.")


@pytest.fixture
def hub() -> Hub:
    return Hub()


def site(ground: Ground, hub: Any, *, for_admins: bool = False) -> Starlette:
    pages = Pages(TEMPLATES, with_scripts=True)
    page = HubPage(hub, Lookers(ground.grounds), pages, hub, for_admins=for_admins)
    return site_of(page.routes())


async def figures(site: Starlette, **headers: str) -> httpx2.Response:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=site)) as client:
        return await client.get(URL + FIGURES, headers=headers)


async def test_everybody_sees_what_is_public(ground: Ground, hub: Hub) -> None:
    async with Visitor(site(ground, hub)) as visitor:
        page = await visitor.open(f"{URL}/", **HTML)

    assert page.status == 200
    assert "Adder" in page
    assert "odd" in page


async def test_figures_are_for_admins_alone_if_the_operator_wants_it(
    ground: Ground, hub: Hub
) -> None:
    closed = site(ground, hub, for_admins=True)

    answers = [
        await figures(closed),
        await figures(closed, authorization=f"Bearer {ground.token(ANN)}"),
        await figures(closed, authorization=f"Bearer {ground.token(ADA)}"),
        await figures(site(ground, hub)),
    ]

    assert [each.status_code for each in answers] == [403, 403, 200, 200]
    assert answers[2].json() == {"redis": "", "gateways": []}


async def test_while_redis_is_away_the_page_says_so(ground: Ground, hub: Hub) -> None:
    hub.is_away = True
    open_to_all = site(ground, hub)
    async with Visitor(open_to_all) as visitor:
        page = await visitor.open(f"{URL}/", **HTML)

    assert (page.status, "cannot reach its Redis" in page) == (200, True)
    (own,) = (await figures(open_to_all)).json()["gateways"]
    assert (own["name"], own["clients"]) == ("here", None)
