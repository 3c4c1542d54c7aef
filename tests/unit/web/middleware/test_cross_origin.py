"""Whatever is asked, the answer is Starlette's, by whichever way it goes."""

from typing import Any

import pytest
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from hypha_cluster.web.middleware.cross_origin import CrossOrigin
from hypha_cluster.web.middleware.stack import origins

PAGE = "https://page.example"
PREFLIGHT = [(b"access-control-request-method", b"POST")]


async def answer(app: ASGIApp, method: str, headers: list[tuple[bytes, bytes]]) -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        kept = dict(message)
        if "headers" in kept:
            kept["headers"] = sorted(kept["headers"])
        sent.append(kept)

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    await app({"type": "http", "method": method, "headers": headers}, receive, send)
    return sent


@pytest.mark.parametrize("allowed", ["*", PAGE, "https://other.example"])
@pytest.mark.parametrize("vary", [None, "Accept", "Accept-Encoding, Cookie"])
@pytest.mark.parametrize("origin", [None, PAGE])
@pytest.mark.parametrize(("method", "more"), [("GET", []), ("OPTIONS", PREFLIGHT)])
async def test_it_answers_as_starlette_does(
    allowed: str,
    vary: str | None,
    origin: str | None,
    method: str,
    more: list[tuple[bytes, bytes]],
) -> None:
    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        headers = {"vary": vary} if vary else None
        await PlainTextResponse("hello", headers=headers)(scope, receive, send)

    asked = [*more, *([(b"origin", origin.encode())] if origin else [])]

    ours = await answer(CrossOrigin(route, **origins(allowed)), method, asked)

    assert ours == await answer(CORSMiddleware(route, **origins(allowed)), method, asked)


async def test_what_is_no_request_goes_through() -> None:
    seen: list[str] = []

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(message: Any = None) -> Any: ...

    await CrossOrigin(route, **origins("*"))({"type": "websocket"}, nothing, nothing)

    assert seen == ["websocket"]
