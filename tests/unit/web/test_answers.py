"""Answers in the form that was asked for; long ones let others have their turn."""

import asyncio
import json
from typing import Any

import msgpack
import pytest
from starlette.requests import Request
from starlette.types import Message

from hypha_cluster.errors import NotAcceptable
from hypha_cluster.web.answers import answer, error_response

MSGPACK = "application/msgpack"


def request(**headers: str) -> Request:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "headers": named})


async def sent(response: Any) -> tuple[dict[bytes, bytes], list[bytes]]:
    """Headers and parts of an answer, as they are sent."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    await response({"type": "http", "method": "GET"}, None, send)
    start, *parts = messages
    assert not parts[-1].get("more_body", False)
    return dict(start["headers"]), [part.get("body", b"") for part in parts]


@pytest.mark.parametrize("value", [5, None, "x", {"a": [1]}, [], list(range(100_000))])
@pytest.mark.parametrize(
    ("headers", "read"),
    [
        ({}, json.loads),
        ({"accept": "text/html, */*"}, json.loads),
        ({"accept": MSGPACK}, msgpack.unpackb),
        ({"accept": f"application/json;q=0.5, {MSGPACK}"}, msgpack.unpackb),
        ({"content_type": MSGPACK}, msgpack.unpackb),
    ],
)
async def test_a_value_comes_in_the_form_asked_for(
    value: Any, headers: dict[str, str], read: Any
) -> None:
    fields, parts = await sent(await answer(request(**headers), value))

    body = b"".join(parts)
    assert read(body) == value
    assert fields[b"content-length"] == str(len(body)).encode()
    form = b"application/msgpack" if read is msgpack.unpackb else b"application/json"
    assert fields[b"content-type"] == form


@pytest.mark.parametrize("value", [b"x", {"a": float("nan")}, [[1] * 10_000, b"x"]])
async def test_what_json_cannot_carry_is_refused_with_what_would_be_right(value: Any) -> None:
    with pytest.raises(NotAcceptable, match=MSGPACK):
        await answer(request(), value)
    assert (await answer(request(accept=MSGPACK), value)).status_code == 200


@pytest.mark.parametrize("value", [b"x", {"a": float("nan")}, [[1] * 10_000, b"x"]])
async def test_it_is_described_where_people_look(value: Any) -> None:
    _, parts = await sent(await answer(request(), value, describe=True))

    assert '"type"' in json.dumps(json.loads(b"".join(parts)))


async def test_others_have_their_turn_while_a_long_answer_is_written_and_sent() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    waiting = asyncio.create_task(others())
    response = await answer(request(), list(range(300_000)))
    written = turns
    _, parts = await sent(response)
    waiting.cancel()

    assert written > 20
    assert turns - written >= len(parts) - 1 > 20


async def test_an_error_says_what_is_wrong() -> None:
    response = error_response(418, "short and stout", {"X-Pot": "tea"})
    fields, parts = await sent(response)

    assert response.status_code == 418
    assert json.loads(b"".join(parts)) == {"success": False, "detail": "short and stout"}
    assert fields[b"x-pot"] == b"tea"
