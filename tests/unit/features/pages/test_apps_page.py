"""The page of server apps: for whoever has a name and may enter the workspace."""

import pytest
from starlette.applications import Starlette

from hypha_cluster.features.pages.apps_page import AppsPage
from hypha_cluster.features.pages.looking import Lookers
from hypha_cluster.features.pages.pages import TEMPLATES
from hypha_cluster.identity.access import Identity, Workspace
from hypha_cluster.web.rendering import Pages
from tests.unit.features.rig import ANN, BOB, URL, Ground, Visitor, site_of

HTML = {"Accept": "text/html"}


@pytest.fixture
async def site(ground: Ground) -> Starlette:
    await ground.workspaces.create(Workspace("lab", owners=["ann"]))
    page = AppsPage(Lookers(ground.grounds), Pages(TEMPLATES, with_scripts=True))
    return site_of(page.routes())


def token_in(text: str) -> str:
    return text.partition('data-token="')[2].partition('"')[0]


async def test_who_may_enter_gets_the_page_with_a_token_of_theirs(
    site: Starlette, ground: Ground
) -> None:
    ann = await Visitor.who_is(ANN, site, ground)

    page = await ann.open(f"{URL}/lab/apps/", **HTML)

    assert page.status == 200
    assert (await ground.tokens.verify(token_in(page.text))).id == "ann"


@pytest.mark.parametrize("who", [BOB, None])
async def test_others_are_told_so_and_get_none(
    site: Starlette, ground: Ground, who: Identity | None
) -> None:
    other = await Visitor.who_is(who, site, ground) if who else Visitor(site)

    page = await other.open(f"{URL}/lab/apps/", **HTML)

    assert (page.status, token_in(page.text)) == (403, "")


async def test_programs_find_no_page_here(site: Starlette, ground: Ground) -> None:
    ann = await Visitor.who_is(ANN, site, ground)

    assert (await ann.open(f"{URL}/lab/apps/", Accept="application/json")).status == 404
