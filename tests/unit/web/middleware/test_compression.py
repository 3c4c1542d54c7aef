"""Answers are compressed for who accepts it, but for what a route sends as it is."""

import gzip
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hypha_cluster.web.middleware.compression import Compress, answer_with, as_it_is

LONG = b"x" * 5_000


@pytest.mark.parametrize(("is_stream", "is_compressed"), [(False, True), (True, False)])
async def test_a_stream_is_not_held_back(is_stream: bool, is_compressed: bool) -> None:
    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        sending = as_it_is(scope, send) if is_stream else send
        await sending({"type": "http.response.start", "status": 200, "headers": []})
        await sending({"type": "http.response.body", "body": LONG, "more_body": True})
        await sending({"type": "http.response.body", "body": LONG})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(dict(message))

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    headers = [(b"accept-encoding", b"gzip")]
    await Compress(route)({"type": "http", "headers": headers}, receive, send)

    body = b"".join(message.get("body", b"") for message in sent)
    assert (gzip.decompress(body) if is_compressed else body) == 2 * LONG
    assert len(sent) == 3
    assert is_compressed or sent[1]["body"] == LONG


async def test_without_it_a_route_sends_as_ever() -> None:
    async def send(message: Any) -> None: ...

    assert as_it_is({"type": "http"}, send) is send


@pytest.mark.parametrize("size", [0, 999, 1_000, 100_000])
@pytest.mark.parametrize("accepted", [b"gzip", b"identity"])
async def test_an_answer_is_the_same_whether_it_goes_past_what_compresses(
    size: int, accepted: bytes
) -> None:
    async def answered(send_with: Callable[..., Awaitable[None]]) -> list[Any]:
        async def route(scope: Scope, receive: Receive, send: Send) -> None:
            await send_with(Response(b"x" * size, media_type="text/plain"), scope, receive, send)

        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(dict(message))

        async def receive() -> Any:
            raise AssertionError("nothing is read")

        headers = [(b"accept-encoding", accepted)]
        await Compress(route)({"type": "http", "headers": headers}, receive, send)
        return sent

    async def by_all(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
        await response(scope, receive, send)

    assert await answered(answer_with) == await answered(by_all)
