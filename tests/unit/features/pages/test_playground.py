"""The playground, and the frame of no origin in which it runs code."""

import io
import zipfile

import httpx2
import pytest
from starlette.applications import Starlette

from hypha_cluster.features.pages.looking import Lookers
from hypha_cluster.features.pages.pages import TEMPLATES
from hypha_cluster.features.pages.playground import MSGPACK, OLD_PAGES, PAGE, SANDBOX, Playground
from hypha_cluster.web.rendering import Pages
from tests.unit.features.rig import ANN, URL, Ground, Visitor, site_of


@pytest.fixture
def site(ground: Ground) -> Starlette:
    playground = Playground(Lookers(ground.grounds), Pages(TEMPLATES, with_scripts=True))
    return site_of(playground.routes())


async def test_it_is_there_for_everybody_and_under_its_old_names(site: Starlette) -> None:
    async with Visitor(site) as visitor:
        for path in (PAGE, *OLD_PAGES):
            page = await visitor.open(URL + path)
            assert (page.status, page.path) == (200, PAGE)
            assert "Offer a service" in page


async def test_who_has_signed_in_may_run_code_as_themselves(
    site: Starlette, ground: Ground
) -> None:
    ann = await Visitor.who_is(ANN, site, ground)

    page = await ann.open(URL + PAGE)

    assert "ann@example.org" in page


async def test_the_frame_is_of_no_origin_and_reaches_the_hub_alone(site: Starlette) -> None:
    async with Visitor(site) as visitor:
        page = await visitor.open(URL + SANDBOX)

    policy = page.headers["content-security-policy"]
    assert "sandbox allow-scripts;" in policy
    assert "allow-same-origin" not in policy
    assert f"connect-src {URL}/ wss://hub.example/ws;" in policy
    assert f"frame-ancestors {URL}" in policy


async def test_python_finds_msgpack_here(site: Starlette) -> None:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=site)) as client:
        answer = await client.get(URL + MSGPACK)

    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert "msgpack/__init__.py" in archive.namelist()
    assert answer.headers["access-control-allow-origin"] == "*"
