"""Requests are answered in the order in which they come, and each connection comes to its end."""

import asyncio
from typing import Any

import pytest

from hypha_cluster.protocol.limits import TURNS, UNTAKEN_BODY
from hypha_cluster.serving.http11 import connection as module
from tests.unit.serving.http11.wire import LIMIT, Peer


class App:
    """Answers with the path, each request when it `may`."""

    def __init__(self, *, is_held: bool = False) -> None:
        self.may = asyncio.Event()
        if not is_held:
            self.may.set()
        self.asked: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope["path"])
        await self.may.wait()
        body = scope["path"].encode()
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def test_requests_that_come_at_once_are_answered_one_after_the_other() -> None:
    app = App()
    peer = Peer(app)

    for path in ("/a", "/b", "/c"):
        peer.get(path)

    heard = await peer.heard()
    assert [heard.find(path) for path in (b"/a", b"/b", b"/c")] == sorted(
        heard.find(path) for path in (b"/a", b"/b", b"/c")
    )
    assert peer.statuses(heard) == [200, 200, 200]
    assert app.asked == ["/a", "/b", "/c"]
    assert not peer.wire.ended()
    peer.lose()


async def test_no_more_is_read_while_others_wait_than_may_be() -> None:
    app = App(is_held=True)
    peer = Peer(app)

    for number in range(TURNS + 1):
        peer.get(f"/{number}")

    assert not peer.wire.is_read()
    app.may.set()
    heard = b""
    async with asyncio.timeout(LIMIT):
        while len(peer.statuses(heard)) <= TURNS:
            heard += await peer.heard()
    assert peer.statuses(heard) == [200] * TURNS + [429]
    peer.lose()


async def test_a_body_that_nobody_takes_is_not_read_without_end() -> None:
    peer = Peer(App(is_held=True))

    peer.post(bytes(UNTAKEN_BODY), size=2 * UNTAKEN_BODY + 2)
    assert peer.wire.is_read()
    peer.connection.data_received(b"x")

    assert not peer.wire.is_read()
    peer.lose()


async def test_the_last_request_is_the_last() -> None:
    app = App()
    peer = Peer(app)

    peer.get("/last", "Connection: close")
    peer.get("/more")

    heard = await peer.heard()
    assert peer.statuses(heard) == [200]
    assert b"connection: close" in heard
    assert app.asked == ["/last"]
    assert peer.wire.ended() == "closed"
    peer.lose()


async def test_what_is_no_http_is_refused_behind_what_was() -> None:
    app = App(is_held=True)
    peer = Peer(app)

    peer.get("/good")
    peer.connection.data_received(b"what is this\r\n\r\n")
    peer.get("/never")
    app.may.set()

    heard = await peer.heard()
    assert peer.statuses(heard) == [200, 400]
    assert app.asked == ["/good"]
    assert peer.wire.half_closed  # and goes on reading, so that its answer arrives
    peer.lose()


async def test_a_request_that_breaks_off_in_its_body_is_lost_and_refused() -> None:
    told: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] != "http.disconnect":
            told.append(message["body"])
        told.append(message["type"])

    peer = Peer(app)
    peer.say("POST / HTTP/1.1", "Host: hub", "Transfer-Encoding: chunked", body=b"1\r\nx\r\n")
    await peer.heard()
    peer.connection.data_received(b"no size\r\n")

    assert peer.statuses(await peer.heard()) == [400]
    assert told == [b"x", "http.disconnect"]
    peer.lose()


async def test_a_peer_may_end_its_half_before_it_has_its_answer() -> None:
    app = App(is_held=True)
    peer = Peer(app)
    peer.get("/a")

    assert peer.connection.eof_received()  # it is not closed yet
    app.may.set()

    assert peer.statuses(await peer.heard()) == [200]
    assert peer.wire.ended() == "closed"
    peer.lose()


@pytest.mark.parametrize("is_secure", [True, False])
async def test_a_peer_that_ends_and_waits_for_nothing_is_let_go(is_secure: bool) -> None:
    peer = Peer(App(is_held=True), is_secure=is_secure)
    if is_secure:  # where there are no halves
        peer.get("/a")

    assert not peer.connection.eof_received()
    peer.lose()


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not() -> None:
    busy = Peer(App(is_held=True), keep_alive_timeout=0.01)
    idle = Peer(App(), keep_alive_timeout=0.01)
    busy.get("/a")

    async with asyncio.timeout(LIMIT):
        await idle.wire.over.wait()

    assert not busy.wire.ended()
    for peer in (busy, idle):
        peer.lose()


async def test_a_head_that_takes_its_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEAD_PATIENCE", 0.01)
    peer = Peer(App())

    peer.connection.data_received(b"GET / HT")
    async with asyncio.timeout(LIMIT):
        while not (heard := await peer.heard()):
            pass

    assert peer.statuses(heard) == [408]
    peer.lose()


async def test_who_reads_nothing_is_cut_off_and_who_reads_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LINGERING", 0.01)
    peer = Peer(App())
    peer.wire.stuck = True
    peer.connection.data_received(b"no http\r\n\r\n")
    assert peer.wire.written

    peer.wire.taken = 1  # it still reads
    async with asyncio.timeout(LIMIT):
        await peer.wire.over.wait()

    assert peer.wire.ended() == "aborted"
    peer.lose()


async def test_a_site_that_leaves_closes_what_is_idle_and_the_others_after_their_answer() -> None:
    app = App(is_held=True)
    peer = Peer(app)
    peer.get("/a")

    peer.site.leave()
    assert not peer.wire.ended()
    app.may.set()
    heard = await peer.heard()

    assert b"connection: close" in heard
    assert peer.wire.ended() == "closed"
    idle = Peer(App())
    idle.site.leave()
    assert idle.wire.ended() == "closed"
    for each in (peer, idle):
        each.lose()
        assert not each.site.connections


async def test_who_takes_a_connection_over_has_its_transport() -> None:
    peer = Peer(App())

    transport = peer.connection.release()

    assert transport is peer.wire
    assert peer.connection.transport.is_closing()
    peer.get("/a")  # nobody reads it here
    assert await peer.heard() == b""
    assert peer.connection not in peer.site.connections


async def test_the_end_of_a_connection_is_told_to_who_answers_and_who_waits() -> None:
    app = App(is_held=True)
    peer = Peer(app)
    peer.get("/a")
    await peer.heard()
    assert len(peer.connection.tasks) == 1

    peer.lose()
    app.may.set()
    await peer.heard()

    assert peer.connection.successor.result() is None
    assert not peer.connection.tasks
    assert not peer.wire.written
