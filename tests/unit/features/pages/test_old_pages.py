"""Addresses that the original had: pages that are clients of the hub, and a form for plugins."""

import pytest
from starlette.applications import Starlette

from hypha_cluster.features.pages.looking import Lookers
from hypha_cluster.features.pages.old_pages import ECHO, PARSER, TEST, OldPages
from hypha_cluster.features.pages.pages import TEMPLATES
from hypha_cluster.web.rendering import Pages
from tests.unit.features.rig import ANN, URL, Ground, Visitor, site_of


@pytest.fixture
def site(ground: Ground) -> Starlette:
    pages = OldPages(Lookers(ground.grounds), Pages(TEMPLATES, with_scripts=True))
    return site_of(pages.routes())


@pytest.mark.parametrize("path", [ECHO, TEST])
async def test_a_page_that_is_a_client_reaches_the_hub_alone_and_repeats_no_token(
    site: Starlette, path: str
) -> None:
    async with Visitor(site) as visitor:
        page = await visitor.open(f"{URL}{path}?workspace=lab&token=secret")

    policy = page.headers["content-security-policy"]
    assert page.status == 200
    assert "sandbox allow-scripts;" in policy
    assert "allow-same-origin" not in policy
    assert f"connect-src wss://hub.example/ws {URL}/" in policy
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "secret" not in page


async def test_the_form_for_plugins_has_a_token_of_who_looks(
    site: Starlette, ground: Ground
) -> None:
    ann = await Visitor.who_is(ANN, site, ground)
    page = await ann.open(URL + PARSER)
    token = page.text.partition('data-token="')[2].partition('"')[0]
    async with Visitor(site) as nobody:
        without = await nobody.open(URL + PARSER)

    assert (await ground.tokens.verify(token)).id == "ann"
    assert without.text.partition('data-token="')[2].partition('"')[0] == ""
