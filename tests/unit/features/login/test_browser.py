"""Whose cookie counts: pages of all applications have one origin, and not one owner."""

from typing import Any

import pytest
from starlette.requests import HTTPConnection

from hypha_cluster.features.login.browser import cookie_of

OPENED = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "sec-fetch-site": "none"}
INSIDE = {"referer": "https://hub/w/apps/other/page", "sec-fetch-site": "same-origin"}


def asked(
    kind: str = "http", method: str = "GET", root_path: str = "/w/apps/s", **headers: str
) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = {"host": "hub", "cookie": "a=b; __Host-hypha=token", **named}
    scope = {
        "type": kind,
        "path": "/w/apps/s/",
        "root_path": root_path,
        "headers": [(name.encode(), value.encode()) for name, value in raw.items()],
    }
    return HTTPConnection(scope if kind == "websocket" else {**scope, "method": method})


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("headers", [OPENED, {**OPENED, "sec-fetch-site": "cross-site"}])
def test_the_cookie_counts_where_a_person_goes(method: str, headers: dict[str, str]) -> None:
    assert cookie_of(asked(method=method, **headers), secure=True) == "token"


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {}),
        ("POST", OPENED),
        ("GET", {**OPENED, "sec-fetch-dest": "iframe"}),
        ("GET", {**OPENED, "sec-fetch-dest": ""}),
        ("GET", {**OPENED, "sec-fetch-mode": "no-cors"}),
        ("GET", {"sec-fetch-mode": "navigate"}),
        ("GET", {"sec-fetch-dest": "document"}),
        ("GET", {"sec-fetch-site": "same-origin"}),
    ],
)
def test_nobody_else_gets_anything_by_it(method: str, headers: dict[str, str]) -> None:
    assert cookie_of(asked(method=method, **headers), secure=True) == ""


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "headers",
    [
        INSIDE,
        {**INSIDE, "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"},
        {"referer": "https://hub/w/apps/s/"},
    ],
)
@pytest.mark.parametrize("root_path", ["/w/apps/s", ""])
def test_a_page_cannot_say_that_it_is_from_inside(
    method: str, headers: dict[str, str], root_path: str
) -> None:
    """A page of any application of the hub chooses its Referer; /apps/… has no root path."""
    connection = asked(method=method, root_path=root_path, **headers)

    assert cookie_of(connection, secure=True) == ""


@pytest.mark.parametrize("origin", ["https://hub", "https://evil", ""])
def test_a_websocket_has_no_cookie(origin: str) -> None:
    """Pages of all applications open it from the same origin."""
    assert cookie_of(asked("websocket", origin=origin), secure=True) == ""
    assert cookie_of(asked("websocket", origin=origin, **OPENED), secure=True) == ""


def test_without_tls_the_cookie_has_its_plain_name() -> None:
    plain = asked(cookie="hypha=token", **OPENED)

    assert cookie_of(plain, secure=False) == "token"
    assert cookie_of(plain, secure=True) == ""


def test_without_a_cookie_there_is_no_token() -> None:
    assert cookie_of(asked(cookie="a=b", **OPENED), secure=True) == ""
