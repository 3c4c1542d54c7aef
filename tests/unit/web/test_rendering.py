"""Pages are filled with text, run what they name, and are for browsers only."""

from pathlib import Path

import pytest
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Router

from hypha_cluster.web.rendering import BrowserRoute, PageFiles, Pages, wants_page
from tests.unit.web.middleware.asgi import ask, headers_of

BROWSER = [(b"accept", b"text/html,application/xhtml+xml,*/*;q=0.8")]


@pytest.fixture
def pages(tmp_path: Path) -> Pages:
    (tmp_path / "own.html").write_text(
        '{% extends "site.html" %}{% block main %}{{ x }}{% endblock %}'
    )
    return Pages(tmp_path, with_scripts=True)


def test_what_is_put_into_a_page_is_text(pages: Pages) -> None:
    text = bytes(pages.show("own", "/hub", x="<b>&\"'").body).decode()

    assert "&lt;b&gt;&amp;&#34;&#39;" in text
    assert 'href="/hub/pages/style.css"' in text


@pytest.mark.parametrize("is_there", [True, False])
def test_the_way_to_the_api_is_shown_where_its_page_can_be_had(
    pages: Pages, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """Else it would lead to an error."""
    monkeypatch.setattr("hypha_cluster.web.assets.is_there", lambda name: is_there)

    text = bytes(pages.show("own", "/hub", x="").body).decode()

    assert ('href="/hub/api-docs"' in text) is is_there
    assert 'href="/hub/playground"' in text


def test_each_answer_names_its_own_nonce(pages: Pages) -> None:
    policies = {pages.show("own", "", x="").headers["content-security-policy"] for _ in range(2)}

    assert len(policies) == 2
    assert all("script-src 'nonce-" in policy for policy in policies)


def test_pages_without_scripts_run_none(tmp_path: Path) -> None:
    page = Pages(tmp_path, with_scripts=False).show("site", "", 404, headers={"x-more": "1"})

    assert "script-src" not in page.headers["content-security-policy"]
    assert (page.status_code, page.headers["x-more"]) == (404, "1")


def test_no_page_that_opened_it_looks_into_a_page(pages: Pages) -> None:
    """Web applications have the same origin, and pages have tokens and forms."""
    assert pages.show("own", "", x="").headers["cross-origin-opener-policy"] == "same-origin"


async def test_files_are_sent_again_only_if_they_changed(tmp_path: Path) -> None:
    (tmp_path / "own.js").write_text("1")
    router = Router(PageFiles(tmp_path).routes())

    start, body = await ask(router, path="/pages/own.js")
    tag = headers_of(start)["etag"]
    again, _ = await ask(router, path="/pages/own.js", headers=[(b"if-none-match", tag.encode())])

    assert (start["status"], body["body"], again["status"]) == (200, b"1", 304)
    assert headers_of(start)["content-type"].startswith("text/javascript")
    assert (await ask(router, path="/pages/style.css"))[0]["status"] == 200


@pytest.mark.parametrize("name", ["base.html", "nothing.js", "..%2frendering.py"])
async def test_only_styles_and_scripts_are_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(HTTPException) as caught:
        await ask(Router(PageFiles(tmp_path).routes()), path=f"/pages/{name}")

    assert caught.value.status_code == 404


@pytest.mark.parametrize(
    ("accept", "wants"), [(BROWSER, True), ([(b"accept", b"*/*")], False), ([], False)]
)
async def test_who_asks_for_html_gets_pages(accept: list[tuple[bytes, bytes]], wants: bool) -> None:
    async def page(request: object) -> Response:
        return Response("page")

    start, *_ = await ask(Router([BrowserRoute("/", page)]), headers=accept)

    assert wants_page({"type": "http", "headers": accept}) is wants
    assert (start["status"] == 200) is wants
