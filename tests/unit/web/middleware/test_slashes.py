"""A slash too much, or too few, leads to the path that is there; by a relative way."""

import urllib.parse

import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, Router

from hypha_cluster.web.middleware.slashes import lead_by_slashes
from tests.unit.web.middleware.asgi import ask, headers_of


async def there(request: object) -> PlainTextResponse:
    return PlainTextResponse("there")


ROUTES = [Route("/", there), Route("/a/{b}", there), Route("/deep/", there)]


async def led(path: str, query: bytes = b"") -> tuple[int, str]:
    inner = lead_by_slashes(Router(ROUTES))
    router = lead_by_slashes(Router([Mount("/base", app=inner), *ROUTES]))
    start = (await ask(router, path=path, query_string=query))[0]
    return start["status"], headers_of(start).get("location", "")


@pytest.mark.parametrize("base", ["", "/base"])
@pytest.mark.parametrize(
    ("path", "to"),
    [
        ("/a/b/", "/a/b"),
        ("/deep", "/deep/"),
        ("/a/é ?#:x/", "/a/%C3%A9%20%3F%23%3Ax"),
        ("/a/%2F/", "/a/%252F"),
    ],
)
async def test_the_way_leads_there_from_wherever_it_is(base: str, path: str, to: str) -> None:
    status, location = await led(base + path)

    assert status == 307
    outside = f"https://proxy.example/x{base}{urllib.parse.quote(path)}"
    assert urllib.parse.urljoin(outside, location) == f"https://proxy.example/x{base}{to}"


async def test_the_query_is_kept() -> None:
    assert await led("/a/b/", b"x=1&y=%20") == (307, "../b?x=1&y=%20")


@pytest.mark.parametrize("path", ["/", "/a/b", "/deep/", "/base/", "/base/a/b"])
async def test_what_is_there_is_answered(path: str) -> None:
    assert await led(path) == (200, "")


@pytest.mark.parametrize("path", ["//", "///", "/a/b//", "/a//", "/a", "/nowhere/", "/base//x"])
async def test_where_nothing_is_nothing_leads(path: str) -> None:
    assert (await led(path))[0] == 404
