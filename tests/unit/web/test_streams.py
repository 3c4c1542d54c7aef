"""In which form the items of a stream are sent; what fails before the first has its own status."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import nullcontext
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Message

from hypha_cluster.errors import NotAcceptable, RemoteError
from hypha_cluster.web.streams import answer_stream

ARRAY = {"_rtype": "ndarray", "_rvalue": b"ab", "_rshape": [2], "_rdtype": "uint8"}


async def stream(*items: Any) -> AsyncGenerator[Any]:
    for item in items:
        if isinstance(item, Exception):
            raise item
        yield item


async def sent(accept: str, *items: Any, is_file: bool = False) -> tuple[str, bytes, bool]:
    """The content type, what was sent, and whether it was ended as a whole."""
    scope = {"type": "http", "headers": [(b"accept", accept.encode())]}
    answer = await answer_stream(Request(scope), stream(*items), nullcontext, is_file=is_file)
    messages: list[Message] = []

    async def receive() -> Message:
        return await asyncio.Future[Message]()

    async def send(message: Message) -> None:
        messages.append(message)

    await answer(scope, receive, send)
    start, *bodies = messages
    assert start["status"] == 200
    headers = dict(start["headers"])
    assert b"content-length" not in headers
    body = b"".join(each["body"] for each in bodies)
    is_whole = bool(bodies) and not bodies[-1].get("more_body")
    return headers[b"content-type"].decode(), body, is_whole


@pytest.mark.parametrize(
    ("accept", "items", "is_file", "content_type", "body"),
    [
        ("*/*", (1, {"a": None}), False, "application/x-ndjson", b'1\n{"a":null}\n'),
        ("application/msgpack", (1, b"a"), False, "application/msgpack", b"\1\xc4\1a"),
        ("text/event-stream", (1, "a"), False, "text/event-stream; charset=utf-8", None),
        ("*/*", (b"a", b"b"), False, "application/octet-stream", b"ab"),
        ("application/octet-stream", ("a", ARRAY), False, "application/octet-stream", b"aab"),
        ("*/*", ("ü", "b"), True, "text/plain; charset=utf-8", "üb".encode()),
        ("text/event-stream", (b"a",), True, "application/octet-stream", b"a"),
        ("*/*", (), False, "application/x-ndjson", b""),
    ],
)
async def test_the_form_is_the_one_that_is_asked_for(
    accept: str, items: tuple[Any, ...], is_file: bool, content_type: str, body: bytes | None
) -> None:
    expected = b'data: 1\n\ndata: "a"\n\n' if body is None else body

    assert await sent(accept, *items, is_file=is_file) == (content_type, expected, True)


async def test_what_fails_at_once_has_a_status() -> None:
    with pytest.raises(RemoteError):
        await sent("*/*", RemoteError("no"))
    with pytest.raises(NotAcceptable, match="msgpack"):
        await sent("*/*", ARRAY | {"_rtype": "odd"})
    with pytest.raises(NotAcceptable, match="bytes"):
        await sent("application/octet-stream", 5)


@pytest.mark.parametrize("late", [RemoteError("no"), float("nan")])
async def test_what_fails_later_breaks_it_off(late: Any) -> None:
    assert await sent("*/*", 1, late) == ("application/x-ndjson", b"1\n", False)


async def test_events_tell_what_has_failed() -> None:
    _, body, is_whole = await sent("text/event-stream", 1, RemoteError("no"))

    assert is_whole
    assert body.endswith(b'event: error\ndata: {"success":false,"detail":"no"}\n\n')
