"""The short way leads to what the routes behind it would have found."""

from typing import Any

import pytest
from starlette.routing import BaseRoute, Match, Mount, NoMatchFound, Route
from starlette.types import Receive, Scope, Send

from hypha_cluster.web.by_name import ByName


async def page(request: Any) -> Any: ...


async def mounted(scope: Scope, receive: Receive, send: Send) -> None: ...


ROUTES: list[BaseRoute] = [
    Route("/health", page),
    Route("/public/apps/login/", page),
    Route("/public/apps/login/send", page, methods=["POST"]),
    Route("/public/{kind}/login/other", page),
    Mount("/assets", app=mounted),
    Route("/{workspace}/services/{service}", page),
    Route("/files/{name:path}", page),
    Route("/{workspace}/apps/{service}", page),
    Mount("/{workspace}/apps/{service}", app=mounted),
    Route("/{workspace}/{page}", page),
]
PATHS = [
    *(
        "/",
        "/health",
        "/health/apps/x",
        "/public/apps",
        "/public/apps/login/",
        "/public/apps/login",
    ),
    *("/public/apps/login/send", "/public/apps/login/other", "/public/apps/own/page"),
    *("/assets/apps/x", "/files/apps/x/y", "/ws/apps/mine", "/ws/apps/mine/", "/ws/apps/mine/a/b"),
    *("/ws/services/apps", "/apps/ws/mine/", "/apps/apps/mine/", "/ws/page", "/ws/apps", "//apps/"),
]


def found(routes: list[BaseRoute], scope: dict[str, Any]) -> tuple[Any, Any] | None:
    """The path of the route that fits first, and what it found."""
    for route in routes:
        match, child = route.matches(scope)
        if match is Match.FULL:
            kept = {key: value for key, value in child.items() if not key.startswith("hypha.")}
            return getattr(child.get("hypha.found_by_name", route), "path", None), kept
    return None


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("root", ["", "/base"])
@pytest.mark.parametrize("path", PATHS)
def test_it_finds_what_they_find(path: str, root: str, method: str) -> None:
    scope = {"type": "http", "method": method, "path": root + path, "root_path": root}

    short = ByName("/{workspace}/apps/{service}", ROUTES)

    assert found([short, *ROUTES], scope) == found(ROUTES, scope)


def test_it_is_for_its_name_alone() -> None:
    short = ByName("/{workspace}/apps/{service}", ROUTES)

    for path, fits in (("/ws/apps/mine/", Match.FULL), ("/ws/services/mine", Match.NONE)):
        assert short.matches({"type": "http", "method": "GET", "path": path})[0] is fits
    assert short.matches({"type": "lifespan"})[0] is Match.NONE


def test_it_has_no_name_by_which_it_is_linked() -> None:
    with pytest.raises(NoMatchFound):
        ByName("/{workspace}/apps/{service}", ROUTES).url_path_for("page")
