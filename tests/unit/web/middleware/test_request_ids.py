"""Every request has an id, its own or one that is made, and its answer says which."""

import logging

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from hypha_cluster import log_fields
from hypha_cluster.web.middleware.request_ids import RequestIds
from tests.unit.web.middleware.asgi import ask, headers_of

HEADER = "x-request-id"


async def show(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(log_fields.request_id.get())(scope, receive, send)


async def test_an_id_is_taken_over() -> None:
    start, body = await ask(RequestIds(show), headers=[(HEADER.encode(), b"mine-1")])

    assert headers_of(start)[HEADER] == "mine-1"
    assert body["body"] == b"mine-1"


@pytest.mark.parametrize("given", [[], [(HEADER.encode(), b"no\nline")], [(HEADER.encode(), b"")]])
async def test_where_there_is_none_that_fits_one_is_made(given: list[tuple[bytes, bytes]]) -> None:
    (first, body), (second, _) = [await ask(RequestIds(show), headers=given) for _ in range(2)]

    assert headers_of(first)[HEADER] == body["body"].decode() != headers_of(second)[HEADER]


@pytest.mark.parametrize("kind", ["websocket.accept", "websocket.http.response.start"])
async def test_a_websocket_has_one_too(kind: str) -> None:
    async def accept(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": kind})

    (start,) = await ask(RequestIds(accept), type="websocket")

    assert headers_of(start)[HEADER]


async def test_what_is_no_request_is_left_alone() -> None:
    async def start(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "lifespan.startup.complete"})

    assert await ask(RequestIds(start), type="lifespan") == [{"type": "lifespan.startup.complete"}]


async def test_a_request_is_told_of_without_its_query(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        await ask(RequestIds(show), path="/ws/é", query_string=b"token=secret")

    assert "GET /ws/%C3%A9: 200 after" in caplog.text
    assert "secret" not in caplog.text
