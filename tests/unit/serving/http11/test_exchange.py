"""What an application sees of a request, and what becomes of its answer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.unit.serving.http11.wire import HERE, LIMIT, PEER, Peer

Script = Callable[[Any, Any, Any], Awaitable[None]]


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(part: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": part, "more_body": more}


async def test_a_request_is_told_as_asgi_says_it() -> None:
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await send(start(204))
        await send(body(b""))

    peer = Peer(app, is_secure=True, root_path="/base")
    peer.get("/a%20b/%C3%A9?x=%31&y", "X-One: 1", "x-two:2")
    await peer.heard()

    (scope,) = scopes
    assert (scope["method"], scope["scheme"], scope["http_version"]) == ("GET", "https", "1.1")
    assert (scope["path"], scope["raw_path"]) == ("/a b/é", b"/a%20b/%C3%A9")
    assert (scope["query_string"], scope["root_path"]) == (b"x=%31&y", "/base")
    assert scope["headers"] == [(b"host", b"hub"), (b"x-one", b"1"), (b"x-two", b"2")]
    assert (scope["client"], scope["server"]) == (PEER, HERE)
    peer.lose()


async def test_a_body_comes_as_it_arrives_and_the_end_is_told() -> None:
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while True:
            got.append(await receive())
            if not got[-1].get("more_body"):
                break
        await send(start(200, (b"content-length", b"0")))
        await send(body(b""))

    peer = Peer(app)
    peer.post(b"ab", size=4)
    await peer.heard()
    peer.connection.data_received(b"cd")

    assert peer.statuses(await peer.heard()) == [200]
    assert [each["body"] for each in got] == [b"ab", b"cd"]
    peer.lose()


async def test_who_waits_for_an_invitation_gets_one_when_its_body_is_wanted() -> None:
    asked = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asked.wait()
        message = await receive()
        await send(start(200, (b"content-length", b"1")))
        await send(body(message["body"]))

    peer = Peer(app)
    peer.post(b"", "Expect: 100-continue", size=1)
    assert await peer.heard() == b""
    asked.set()
    assert await peer.heard() == b"HTTP/1.1 100 Continue\r\n\r\n"

    peer.connection.data_received(b"x")

    assert (await peer.heard()).endswith(b"\r\n\r\nx")
    peer.lose()


async def test_an_answer_before_the_body_is_read_ends_the_connection() -> None:
    """What is left of the body would be taken for the next request."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(413, (b"content-length", b"0")))
        await send(body(b""))

    peer = Peer(app)
    peer.post(b"ab", size=1_000)

    heard = await peer.heard()
    assert peer.statuses(heard) == [413]
    assert b"connection: close" in heard
    assert peer.wire.half_closed
    peer.lose()


async def test_the_head_goes_with_the_first_part_of_the_body() -> None:
    may = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await may.wait()
        await send(body(b"one", more=True))
        await send(body(b"two"))

    peer = Peer(app)
    peer.get()
    assert await peer.heard() == b""
    may.set()

    heard = await peer.heard()
    assert b"transfer-encoding: chunked" in heard
    assert heard.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    peer.lose()


async def test_an_application_waits_until_its_peer_takes_more() -> None:
    sent: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        for number in range(3):
            await send(body(b"x", more=True))
            sent.append(number)

    peer = Peer(app)
    peer.get()
    peer.connection.pause_writing()
    await peer.heard()
    assert sent == []  # a peer that takes none has no answer begun

    peer.connection.resume_writing()
    await peer.heard()

    assert sent == [0, 1, 2]
    peer.lose()


async def test_a_peer_that_has_left_is_told_and_hears_nothing() -> None:
    told: list[str] = []
    gone = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await gone.wait()
        told.append((await receive())["type"])
        await send(start())
        await send(body(b"x"))
        told.append("went on")

    peer = Peer(app)
    peer.get()
    await peer.heard()
    peer.lose()
    gone.set()

    async with asyncio.timeout(LIMIT):
        while len(told) < 2:
            assert await peer.heard() == b""
    assert told == ["http.disconnect", "went on"]


@pytest.mark.parametrize(
    "messages", [[], [start()], [body(b"x")], [start(), start()], [{"type": "websocket.accept"}]]
)
async def test_an_application_that_answers_nothing_whole_is_answered_for(
    messages: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    peer = Peer(app)
    with caplog.at_level(logging.ERROR):
        peer.get()
        heard = await peer.heard()

    assert peer.statuses(heard) == [500]
    assert b"connection: close" in heard
    assert ("is not to be sent now" in caplog.text) is (messages not in ([], [start()]))
    assert peer.wire.ended() == "closed"
    peer.lose()


@pytest.mark.parametrize(("is_stuck", "ended"), [(False, "closed"), (True, "aborted")])
async def test_an_answer_that_breaks_off_is_cut_short_so_that_nobody_takes_it_for_whole(
    is_stuck: bool, ended: str
) -> None:
    may = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"half", more=True))
        await may.wait()
        raise ValueError("a bug of an application")

    peer = Peer(app)
    peer.get()
    heard = await peer.heard()
    if is_stuck:  # what it has not taken would be kept for it
        peer.connection.pause_writing()
    may.set()
    heard += await peer.heard()

    assert heard.endswith(b"4\r\nhalf\r\n")
    assert peer.wire.ended() == ended
    peer.lose()


async def test_one_application_that_fails_is_no_matter_for_the_next() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/bad":
            raise RuntimeError("a bug of an application")
        await send(start(200, (b"content-length", b"0")))
        await send(body(b""))

    bad, good = Peer(app), Peer(app)
    bad.get("/bad")
    good.get("/good")

    assert bad.statuses(await bad.heard()) == [500]
    assert good.statuses(await good.heard()) == [200]
    for peer in (bad, good):
        peer.lose()
