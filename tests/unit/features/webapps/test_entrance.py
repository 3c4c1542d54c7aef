"""Whose cookie counts: pages of all applications have one origin, and not one owner."""

from typing import Any

import pytest
from starlette.requests import HTTPConnection

from hypha_cluster.features.webapps.entrance import cookie_of

OPENED = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "sec-fetch-site": "none"}
INSIDE = {"referer": "https://hub/w/apps/other/page", "sec-fetch-site": "same-origin"}


def asked(kind: str = "http", method: str = "GET", base: str = "", **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = {"host": "hub", "cookie": "a=b; __Host-hypha=token", **named}
    return HTTPConnection(
        {
            "type": kind,
            "method": method,
            "path": "/w/apps/s/",
            "root_path": f"{base}/w/apps/s",
            "headers": [(name.encode(), value.encode()) for name, value in raw.items()],
        }
    )


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", OPENED),
        ("GET", INSIDE),
        ("POST", INSIDE),
        ("POST", {"referer": "https://hub/w/apps/s/"}),
    ],
)
def test_the_cookie_counts_for_whom_it_was_given(method: str, headers: dict[str, str]) -> None:
    assert cookie_of(asked(method=method, **headers), secure=True) == "token"


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {}),
        ("POST", OPENED),
        ("GET", {**OPENED, "sec-fetch-dest": "iframe"}),
        ("GET", {**INSIDE, "referer": "https://hub/evil/apps/s/"}),
        ("GET", {**INSIDE, "referer": "https://evil/w/apps/s/"}),
        ("POST", {**INSIDE, "sec-fetch-site": "cross-site"}),
        ("GET", {"sec-fetch-site": "same-origin"}),
    ],
)
def test_a_page_of_somebody_else_gets_nothing_by_it(method: str, headers: dict[str, str]) -> None:
    assert cookie_of(asked(method=method, **headers), secure=True) is None


@pytest.mark.parametrize(
    ("origin", "token"), [("https://hub", "token"), ("https://evil", None), ("", None)]
)
def test_a_websocket_is_opened_by_a_page_of_this_origin(origin: str, token: str | None) -> None:
    assert cookie_of(asked("websocket", origin=origin), secure=True) == token


def test_a_base_path_is_in_front_of_the_workspace() -> None:
    headers = {**INSIDE, "referer": "https://hub/hypha/w/apps/other/"}

    assert cookie_of(asked(base="/hypha", **headers), secure=True) == "token"


def test_without_tls_the_cookie_has_its_plain_name() -> None:
    plain = asked(cookie="hypha=token", **OPENED)

    assert cookie_of(plain, secure=False) == "token"
    assert cookie_of(plain, secure=True) is None


def test_without_a_cookie_there_is_no_token() -> None:
    assert cookie_of(asked(cookie="a=b", **OPENED), secure=True) is None
