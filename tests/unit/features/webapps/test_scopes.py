"""What an application elsewhere is told of a request."""

from typing import Any

import pytest

from hypha_cluster.features.webapps.scopes import app_path, app_scope, with_full_path
from hypha_cluster.hub.visiting import Visitor
from hypha_cluster.identity.access import Identity

ANN = Identity("ann")
VISITOR = Visitor(ANN, inside=True, base_url="http://hub")


def server_scope(**more: Any) -> dict[str, Any]:
    """What the server of a gateway says, and what Starlette adds when it has found the way."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.1"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/w/apps/s/x/y z",
        "raw_path": b"/w/apps/s/x/y%20z?a=b",
        "query_string": b"a=b",
        "root_path": "/w/apps/s",
        "app_root_path": "",
        "headers": [(b"host", b"hub"), (b"x", b"1"), (b"x", b"2")],
        "client": ("1.2.3.4", 5),
        "server": ("6.7.8.9", 10),
        "state": {"own": object()},
        "extensions": {},
        "app": object(),
        "endpoint": object(),
        "path_params": {"workspace": "w", "service": "s", "path": "x/y z"},
        **more,
    }


def test_a_request_is_plain_values() -> None:
    assert app_scope(server_scope(), VISITOR, "w") == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "method": "GET",
        "server": ["6.7.8.9", 10],
        "client": ["1.2.3.4", 5],
        "root_path": "/w/apps/s",
        "path": "/x/y z",
        "raw_path": b"/w/apps/s/x/y%20z",
        "query_string": b"a=b",
        "headers": [[b"host", b"hub"], [b"x", b"1"], [b"x", b"2"]],
        "state": {},
        "path_params": {},
        "app_root_path": "",
        "context": {"user": ANN.to_wire(), "ws": "w"},
    }


def test_a_websocket_has_subprotocols_and_no_method() -> None:
    scope = server_scope(type="websocket", scheme="ws", subprotocols=["a"])

    plain = app_scope(scope, VISITOR, "w")

    assert plain["subprotocols"] == ["a"]
    assert plain["asgi"]["spec_version"] == "2.4"
    assert "method" not in plain


@pytest.mark.parametrize(
    ("kind", "scheme", "forwarded", "expected"),
    [
        ("http", "http", b"https", "https"),
        ("http", "https", b"http", "http"),
        ("websocket", "ws", b"https", "wss"),
        ("http", "http", b"gopher", "http"),
    ],
)
def test_the_scheme_is_the_browsers(
    kind: str, scheme: str, forwarded: bytes, expected: str
) -> None:
    headers = [(b"x-forwarded-proto", forwarded)]
    scope = server_scope(type=kind, scheme=scheme, headers=headers)

    assert app_scope(scope, VISITOR, "w")["scheme"] == expected


@pytest.mark.parametrize(
    ("path", "relative"), [("/w/apps/s/", "/"), ("/w/apps/s", "/"), ("/w/apps/s/w/apps/s/", None)]
)
def test_a_path_is_relative_to_the_application(path: str, relative: str | None) -> None:
    assert app_path(server_scope(path=path)) == (relative or "/w/apps/s/")


def test_an_application_may_ask_for_the_full_path() -> None:
    plain = with_full_path(app_scope(server_scope(), VISITOR, "w"))

    assert plain["path"] == "/w/apps/s/x/y z"
    assert plain["root_path"] == "/w/apps/s"
    assert "app_root_path" not in plain


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"hypha=secret", None),
        (b"__Host-hypha=secret; __Host-hypha-away=state", None),
        (b"a=b; __Host-hypha=secret; c=d; hypha-away=state", b"a=b; c=d"),
        (b"a=b;__HOST-hypha=secret;;hypha=;\xa0hypha=secret", b"a=b"),
        (b"=hypha=secret; a=b", b"a=b"),
        (b"hyphae=mine; my-hypha=mine; x=hypha", b"hyphae=mine; my-hypha=mine; x=hypha"),
    ],
)
def test_the_cookies_of_the_hub_are_for_the_hub_alone(
    kind: str, sent: bytes, told: bytes | None
) -> None:
    """Whoever offers an application would be whoever visits it."""
    headers = [(b"host", b"hub"), (b"cookie", sent), (b"cookie", b"hypha=secret"), (b"x", b"1")]

    plain = app_scope(server_scope(type=kind, headers=headers), VISITOR, "w")

    cookies = [] if told is None else [[b"cookie", told]]
    assert plain["headers"] == [[b"host", b"hub"], *cookies, [b"x", b"1"]]
