"""Pages of which origins may do something here."""

import contextlib
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from hypha_cluster.errors import PermissionDenied
from hypha_cluster.web.origins import CheckOrigins, Origins

PAGE, EVIL, OWN = "https://page.example", "https://evil.example", "http://hub:9527"
PICTURE = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
LINK = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
BESIDE = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}


def asked(method: str, path: str, **headers: str) -> dict[str, Any]:
    named = [(name.encode(), value.encode()) for name, value in headers.items()]
    named.append((b"host", b"hub:9527"))
    return {"type": "http", "method": method, "path": path, "scheme": "http", "headers": named}


async def passes(
    method: str, path: str, allowed: str = PAGE, base_path: str = "", **headers: str
) -> bool:
    reached = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope)

    nothing: Any = None
    check = CheckOrigins(app, Origins(allowed, ""), base_path)
    with contextlib.suppress(PermissionDenied):
        await check(asked(method, path, **headers), nothing, nothing)
    return bool(reached)


ACTS = [
    *(
        ("POST", path)
        for path in (
            *("/sse", "/", "/login/sign-in", "/a/services/b/f", "/services/call"),
            *("/apps/services/b/f", "/a/apps", "/apps/a/b/x.js"),
        )
    ),
    *(("GET", path) for path in ("/sse", "/a/services/b/f", "/services/call", "/a/services")),
    *(
        ("GET", path) for path in ("/apps/services/b/f", "/apps/services")
    ),  # of the workspace `apps`
    ("DELETE", "/a/info"),
]


@pytest.mark.parametrize(("method", "path"), ACTS)
@pytest.mark.parametrize("base_path", ["", "/hub"])
async def test_a_page_of_elsewhere_does_nothing(method: str, path: str, base_path: str) -> None:
    path = base_path + path

    for origin in (EVIL, "null", f"{PAGE}.evil.example", OWN.replace("http", "https")):
        assert not await passes(method, path, base_path=base_path, origin=origin)
    assert not await passes(method, path, base_path=base_path, **PICTURE)
    assert await passes(method, path, base_path=base_path, origin=EVIL, allowed="*")


@pytest.mark.parametrize(("method", "path"), ACTS)
async def test_who_may_does(method: str, path: str) -> None:
    assert await passes(method, path), "a program says no origin"
    assert await passes(method, path, origin=PAGE)
    assert await passes(method, path, origin=PAGE, **PICTURE)
    assert await passes(method, path, origin=OWN)
    assert await passes(method, path, **BESIDE), "a page of the hub's own"
    assert await passes(method, path, **LINK), "a person may go where they like"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", "/"), ("GET", "/health/live"), ("HEAD", "/assets/a/b.js"), ("GET", "/pages/x")),
        *(("POST", "/a/apps/b/f"), ("GET", "/apps/a/b/~ticket/x.js")),
        *(("POST", "/apps/apps/b/f"), ("GET", "/apps/services/b/~ticket/services/x.js")),
    ],
)
async def test_what_is_looked_at_and_what_is_an_applications_is_for_all(
    method: str, path: str
) -> None:
    assert await passes(method, path, origin=EVIL)
    assert await passes(method, path, **PICTURE)


def test_the_public_address_is_the_hubs_own() -> None:
    origins = Origins("", "https://hub.example/below")

    origins.check(HTTPConnection(asked("GET", "/", origin="https://hub.example")))
    with pytest.raises(PermissionDenied):
        origins.check(HTTPConnection(asked("GET", "/", origin=OWN)))
