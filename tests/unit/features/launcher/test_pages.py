"""Files of apps: for who may enter, and for whoever has the address with a ticket."""

import json
from typing import Any
from unittest.mock import Mock
from urllib.parse import urlencode

import pytest
from starlette.requests import Request
from starlette.responses import Response

from hypha_cluster.errors import InvalidToken, NotFound, PermissionDenied
from hypha_cluster.features.launcher.pages import AppPages
from hypha_cluster.identity.access import Identity
from hypha_cluster.registry.apps import App
from tests.app_rig import ANN
from tests.unit.features.launcher.rig import BOB, GUEST, URL, WINDOW, Site

TOKENS = {"anns": ANN, "bobs": BOB, None: GUEST}


class Gatekeeper:
    async def identify(self, token: str | None) -> Identity:
        if token not in TOKENS:
            raise InvalidToken("nonsense")
        return TOKENS[token]


class Browsers:
    """signed_in: whom the cookie speaks for."""

    signed_in: Identity | None = None

    async def visitor(self, connection: Any) -> Identity | None:
        return self.signed_in


class Shelf:
    """The pages, and one app."""

    def __init__(self, site: Site, app: App) -> None:
        self.app = app
        self.browsers = Browsers()
        lookup = Mock(base_url=lambda _: URL)
        gatekeeper: Any = Gatekeeper()
        browsers: Any = self.browsers
        self._pages = AppPages(site.apps, site.pages, gatekeeper, lookup, site.workspaces, browsers)

    async def get(
        self,
        path: str,
        *,
        app: str = "adder",
        method: str = "GET",
        query: dict[str, str] | None = None,
        **headers: str,
    ) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        scope = {
            "type": "http",
            "method": method,
            "path": f"/apps/ann/{app}/{path}",
            "root_path": "",
            "query_string": urlencode(query or {}).encode(),
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
            "path_params": {"workspace": "ann", "app": app, "path": path},
        }
        return await self._pages.serve(Request(scope))


@pytest.fixture
async def shelf(site: Site) -> Shelf:
    attached = [{"name": "data/a.txt", "source": "0123"}]
    app = await site.install(recipe=WINDOW._replace(attachments=attached))
    return Shelf(site, app)


async def opened(shelf: Shelf) -> str:
    """The part of an address that is a ticket, as ann gets it."""
    answer = await shelf.get("index.html", query={"token": "anns"})
    return answer.headers["location"].removeprefix("./").partition("/")[0]


async def test_a_header_gets_the_file_itself(shelf: Shelf) -> None:
    answer = await shelf.get("data/a.txt", authorization="Bearer anns")

    assert (answer.status_code, answer.body, answer.media_type) == (200, b"0123", "text/plain")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert "allow-same-origin" not in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "private, no-cache"


async def test_a_token_in_the_address_is_taken_out_of_it(shelf: Shelf) -> None:
    answer = await shelf.get("data/a.txt", query={"token": "anns", "x": "1"})

    location = answer.headers["location"]
    assert answer.status_code == 307
    assert location.startswith("../~")
    assert location.endswith("/data/a.txt?x=1")
    assert "anns" not in location
    ticket = location.removeprefix("../").partition("/")[0]
    assert (await shelf.get(f"{ticket}/data/a.txt")).body == b"0123"


async def test_who_has_signed_in_is_led_to_an_address_with_a_ticket(shelf: Shelf) -> None:
    shelf.browsers.signed_in = ANN

    answer = await shelf.get("")

    assert (answer.status_code, answer.headers["cache-control"]) == (307, "no-store")
    assert answer.headers["location"].endswith("/index.html")


@pytest.mark.parametrize(
    ("headers", "query", "error"),
    [
        ({}, {}, PermissionDenied),
        ({"authorization": "Bearer bobs"}, {}, PermissionDenied),
        ({}, {"token": "bobs"}, PermissionDenied),
        ({"authorization": "Bearer nonsense"}, {}, InvalidToken),
        ({}, {"token": "nonsense"}, InvalidToken),
    ],
)
async def test_others_get_nothing(
    shelf: Shelf, headers: dict[str, str], query: dict[str, str], error: type[Exception]
) -> None:
    for path in ("index.html", "nothing"):
        with pytest.raises(error):
            await shelf.get(path, query=query, **headers)


@pytest.mark.parametrize("ticket", ["~", "~made-up", "~" + "x" * 500])
async def test_a_ticket_that_is_none_opens_nothing(shelf: Shelf, ticket: str) -> None:
    with pytest.raises(PermissionDenied, match="too old"):
        await shelf.get(f"{ticket}/index.html")


async def test_a_ticket_is_for_one_app(shelf: Shelf, site: Site) -> None:
    await site.install("other")

    with pytest.raises(PermissionDenied, match="too old"):
        await shelf.get(f"{await opened(shelf)}/index.html", app="other")


async def test_an_open_page_keeps_its_version(shelf: Shelf, site: Site) -> None:
    ticket = await opened(shelf)
    await site.installer.edit(shelf.app, "ann", {"source": "mark(2)"})

    old = await shelf.get(f"{ticket}/index.html")
    new = await shelf.get("index.html", authorization="Bearer anns")

    assert b"mark(2)" not in old.body
    assert b"mark(2)" in new.body


@pytest.mark.parametrize("path", ["nothing", "data", "a.txt"])
async def test_what_is_not_there_is_not_found(shelf: Shelf, path: str) -> None:
    with pytest.raises(NotFound, match=f"File not found: ann/adder/{path}"):
        await shelf.get(path, authorization="Bearer anns")
    with pytest.raises(NotFound):
        await shelf.get(path, query={"token": "anns"})


async def test_a_file_that_somebody_has_is_not_sent_again(shelf: Shelf) -> None:
    first = await shelf.get("data/a.txt", authorization="Bearer anns")
    tag = first.headers["etag"]

    again = await shelf.get("data/a.txt", authorization="Bearer anns", if_none_match=tag)
    head = await shelf.get("data/a.txt", method="HEAD", authorization="Bearer anns")

    assert (again.status_code, again.body) == (304, b"")
    assert (head.body, head.headers["content-length"]) == (b"", "4")


async def test_what_the_app_says_of_itself_is_a_file_too(shelf: Shelf) -> None:
    answer = await shelf.get("rdf.json", authorization="Bearer anns")

    assert json.loads(bytes(answer.body))["source"] == f"{URL}/apps/ann/adder/index.html"
