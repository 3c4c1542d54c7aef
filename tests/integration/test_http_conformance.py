"""How the server keeps to RFC 9112, and what an application sees of it, over real sockets.

Most of it holds for Hypercorn's own path too, and is tested there as well.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any, NamedTuple

import pytest

from hypha_cluster.protocol.limits import TURNS
from hypha_cluster.serving.http11 import connection as http_connection, install, uninstall
from tests.gateways import SECOND
from tests.websocket_rig import HANDSHAKE, LOOPS, PATIENCE, Server, connected

MEGABYTE = 1_000_000
MAX_HEAD = 16_384
HOST = "Host: localhost\r\n"


class Application:
    """Does what a path says, and keeps what a test wants to know."""

    def __init__(self) -> None:
        self.begun: Queue[str] = Queue()
        self.gone: Queue[str] = Queue()
        self.go = asyncio.Event()

    def await_begin(self, path: str) -> None:
        while self.begun.get(timeout=PATIENCE) != path:
            pass

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for stage in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{stage}.complete"})
            return
        self.begun.put(scope["path"])
        await getattr(self, scope["path"].split("/")[1])(scope, receive, send)

    async def echo(self, scope: Any, receive: Any, send: Any) -> None:
        body = await whole_body(receive)
        asked = f"{scope['method']} {scope['path']}?{scope['query_string'].decode()} "
        await answer(send, asked.encode() + body)

    async def size(self, scope: Any, receive: Any, send: Any) -> None:
        await answer(send, str(len(await whole_body(receive))).encode())

    async def stream(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (b"one ", b"", b"two"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    async def flood(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(32):
            await send({"type": "http.response.body", "body": bytes(MEGABYTE), "more_body": True})
            self.begun.put("flood")
        await send({"type": "http.response.body"})

    async def large(self, scope: Any, receive: Any, send: Any) -> None:
        await answer(send, bytes(int(scope["path"].rpartition("/")[2]) * MEGABYTE))

    async def status(self, scope: Any, receive: Any, send: Any) -> None:
        status = int(scope["path"].rpartition("/")[2])
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body"})

    async def early(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer without a look at the body."""
        await answer(send, b"enough")

    async def slow(self, scope: Any, receive: Any, send: Any) -> None:
        await self.go.wait()
        await answer(send, b"slow")

    async def wait(self, scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone.put(scope["path"])
        await answer(send, b"too late")

    async def nothing(self, scope: Any, receive: Any, send: Any) -> None:
        pass

    async def fail(self, scope: Any, receive: Any, send: Any) -> None:
        raise LookupError("a mistake in the application")

    async def half(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise LookupError("a mistake in the application")

    async def short(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"9")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"short", "more_body": True})
        await send({"type": "http.response.body"})

    async def inject(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"x", b"y\r\nset-cookie: z")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    async def ws(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][-1]})


async def whole_body(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        event = await receive()
        body += event["body"]
        more = event["more_body"]
    return body


async def answer(send: Any, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Reply(NamedTuple):
    """An answer as a client reads it."""

    status: int
    headers: dict[str, str]
    body: bytes


class Peer:
    """A client that writes what it likes, and reads what it must."""

    def __init__(self, port: int, *, secure: bool = False) -> None:
        self.socket = connected(port, secure=secure)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def send(self, text: str | bytes) -> None:
        self.socket.sendall(text if isinstance(text, bytes) else text.encode())

    def ask(self, path: str, headers: str = "", method: str = "GET", version: str = "1.1") -> None:
        self.send(f"{method} {path} HTTP/{version}\r\n{HOST}{headers}\r\n")

    def reply(self, method: str = "GET") -> Reply:
        """Read an answer, as one to `method` is framed."""
        version, status, _ = self._file.readline().decode().split(" ", 2)
        assert version == "HTTP/1.1"
        headers = {}
        while line := self._file.readline().decode().strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        empty = method == "HEAD" or status in ("100", "101", "204", "304")
        return Reply(int(status), headers, b"" if empty else self._body(headers))

    def _body(self, headers: dict[str, str]) -> bytes:
        if "content-length" in headers:
            return self._file.read(int(headers["content-length"]))
        if headers.get("transfer-encoding") == "chunked":
            return b"".join(self._chunks())
        return self._file.read()

    def _chunks(self) -> Iterator[bytes]:
        while line := self._file.readline():
            chunk = self._file.read(int(line, 16))
            assert self._file.readline() == b"\r\n"
            if not chunk:
                return
            yield chunk
        raise EOFError

    def is_cut_off(self) -> bool:
        """Wait for the end of the connection; say whether there was nothing before it."""
        return self._file.read() == b""


@pytest.fixture(autouse=True, scope="module")
def _uninstalled() -> Iterator[None]:
    yield
    uninstall()


@contextlib.contextmanager
def serving(loop: str, *, fast: bool = True, **settings: Any) -> Iterator[Server]:
    install(fast=fast)
    settings = {"h11_max_incomplete_size": MAX_HEAD, **settings}
    with Server(loop, Application(), **settings).running() as server:
        yield server


@pytest.fixture(scope="module", params=[*LOOPS, "hypercorn"])
def any_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    hypercorns = request.param == "hypercorn"
    with serving("uvloop" if hypercorns else request.param, fast=not hypercorns) as server:
        yield server


@pytest.fixture(scope="module", params=LOOPS)
def our_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with serving(request.param) as server:
        yield server


@pytest.fixture
def peer(any_server: Server) -> Iterator[Peer]:
    with Peer(any_server.port) as peer:
        yield peer


@pytest.fixture
def our_peer(our_server: Server) -> Iterator[Peer]:
    with Peer(our_server.port) as peer:
        yield peer


# Requests and answers.


def test_requests_follow_each_other_on_one_connection(peer: Peer) -> None:
    for query in ("a=1", "b=%20"):
        peer.ask(f"/echo/%C3%BC?{query}")
        reply = peer.reply()

        assert reply.status == 200
        assert reply.body.decode() == f"GET /echo/ü?{query} "
        assert "date" in reply.headers
        assert "connection" not in reply.headers


def test_requests_may_come_before_earlier_ones_are_answered(any_server: Server, peer: Peer) -> None:
    peer.ask("/slow")
    peer.send(f"POST /echo HTTP/1.1\r\n{HOST}Content-Length: 3\r\n\r\nabc")
    peer.ask("/stream")

    any_server.call(any_server.application.go.set)

    assert peer.reply().body == b"slow"
    assert peer.reply().body == b"POST /echo? abc"
    assert peer.reply().body == b"one two"
    any_server.call(any_server.application.go.clear)


@pytest.mark.parametrize(
    "framed",
    [
        "Content-Length: 5\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        "Transfer-Encoding: CHUNKED\r\n\r\n5;x=y\r\nhello\r\n0\r\nTrailer: 1\r\n\r\n",
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_body_comes_in_every_framing(peer: Peer, framed: str, at_once: bool) -> None:
    request = f"POST /echo HTTP/1.1\r\n{HOST}{framed}".encode()

    for part in [request] if at_once else [request[i : i + 1] for i in range(len(request))]:
        peer.send(part)
    assert peer.reply().body == b"POST /echo? hello"

    peer.ask("/echo")
    assert peer.reply().body == b"GET /echo? "


def test_an_answer_of_unknown_length_is_chunked(peer: Peer) -> None:
    peer.ask("/stream")

    reply = peer.reply()
    assert reply.headers["transfer-encoding"] == "chunked"
    assert reply.body == b"one two"


def test_for_an_old_client_it_ends_with_the_connection(peer: Peer) -> None:
    peer.ask("/stream", version="1.0")

    reply = peer.reply()
    assert "transfer-encoding" not in reply.headers
    assert reply.body == b"one two"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("HEAD", "/echo", 200), ("HEAD", "/stream", 200), ("GET", "/status/204", 204)]
    + [("GET", "/status/304", 304)],
)
def test_some_answers_have_no_body(peer: Peer, method: str, path: str, status: int) -> None:
    peer.ask(path, method=method)
    assert peer.reply(method).status == status

    peer.ask("/echo")
    assert peer.reply().body == b"GET /echo? "


def test_a_status_without_a_name_is_sent(peer: Peer) -> None:
    peer.ask("/status/299")

    assert peer.reply().status == 299


@pytest.mark.parametrize(
    ("headers", "version"),
    [("Connection: close\r\n", "1.1"), ("", "1.0"), ("Connection: keep-alive\r\n", "1.0")],
)
def test_a_last_request_is_the_last(our_peer: Peer, headers: str, version: str) -> None:
    request = f"GET /echo HTTP/{version}\r\n{HOST}{headers}\r\n"
    our_peer.send(request + request)

    reply = our_peer.reply()
    assert reply.body == b"GET /echo? "
    assert reply.headers["connection"] == "close"
    assert our_peer.is_cut_off()


def test_who_asks_whether_to_go_on_is_told_so(peer: Peer) -> None:
    peer.ask("/echo", "Content-Length: 2\r\nExpect: 100-continue\r\n", method="POST")

    assert peer.reply().status == 100
    peer.send("ok")
    assert peer.reply().body == b"POST /echo? ok"


def test_who_asks_whether_to_go_on_may_be_answered_at_once(our_peer: Peer) -> None:
    our_peer.ask("/early", "Content-Length: 2\r\nExpect: 100-continue\r\n", method="POST")

    reply = our_peer.reply()
    assert (reply.status, reply.headers["connection"]) == (200, "close")
    assert our_peer.is_cut_off()


@pytest.mark.parametrize("loop", LOOPS)
def test_it_works_over_tls(certificate: Path, loop: str) -> None:
    tls: dict[str, Any] = {"certfile": certificate, "keyfile": certificate}
    with serving(loop, **tls) as server, Peer(server.port, secure=True) as peer:
        peer.ask("/size", f"Content-Length: {MEGABYTE}\r\n", method="POST")
        peer.send(bytes(MEGABYTE))
        assert peer.reply().body == str(MEGABYTE).encode()

        peer.ask("/stream", "Connection: close\r\n")
        assert peer.reply().body == b"one two"
        assert peer.is_cut_off()


# Much at once.


def test_a_large_body_is_read_as_fast_as_it_is_taken(peer: Peer) -> None:
    peer.ask("/size", f"Content-Length: {16 * MEGABYTE}\r\n", method="POST")
    peer.send(bytes(16 * MEGABYTE))

    assert peer.reply().body == str(16 * MEGABYTE).encode()


def test_a_peer_must_wait_for_a_slow_application(any_server: Server, peer: Peer) -> None:
    peer.ask("/slow", f"Content-Length: {64 * MEGABYTE}\r\n", method="POST")
    peer.socket.settimeout(1)
    with pytest.raises(TimeoutError):
        peer.send(bytes(64 * MEGABYTE))

    peer.socket.settimeout(PATIENCE)
    any_server.call(any_server.application.go.set)
    assert peer.reply().body == b"slow"
    any_server.call(any_server.application.go.clear)


def test_an_application_does_not_run_ahead_of_a_slow_peer(any_server: Server, peer: Peer) -> None:
    begun = any_server.application.begun
    while not begun.empty():
        begun.get()
    peer.ask("/flood")
    for _ in range(3):
        begun.get(timeout=PATIENCE)

    threading.Event().wait(0.2 * SECOND)
    assert begun.qsize() < 20
    assert len(peer.reply().body) == 32 * MEGABYTE


def test_answers_do_not_pile_up_for_a_slow_peer(any_server: Server, peer: Peer) -> None:
    begun = any_server.application.begun
    while not begun.empty():
        begun.get()
    for _ in range(40):
        peer.ask("/large/1")
    for _ in range(3):
        begun.get(timeout=PATIENCE)

    threading.Event().wait(0.2 * SECOND)
    assert begun.qsize() < 20
    for _ in range(40):
        assert len(peer.reply().body) == MEGABYTE


def test_requests_at_once_have_their_bounds(our_server: Server, our_peer: Peer) -> None:
    our_peer.ask("/slow")
    our_peer.send(f"GET /echo HTTP/1.1\r\n{HOST}\r\n" * (TURNS + 1))
    our_server.call(our_server.application.go.set)

    statuses = [our_peer.reply().status for _ in range(TURNS + 1)]
    assert statuses == [200] * TURNS + [429]
    assert our_peer.is_cut_off()
    our_server.call(our_server.application.go.clear)


def test_an_answer_arrives_though_the_request_goes_on(our_peer: Peer) -> None:
    our_peer.ask("/early", f"Content-Length: {64 * MEGABYTE}\r\n", method="POST")
    our_peer.send(bytes(8 * MEGABYTE))

    assert our_peer.reply().body == b"enough"
    assert our_peer.is_cut_off()


@pytest.mark.parametrize("path", ["/echo", "/slow"])
def test_who_ends_its_half_is_answered(any_server: Server, peer: Peer, path: str) -> None:
    for _ in range(2):
        peer.ask(path)
    peer.socket.shutdown(socket.SHUT_WR)
    any_server.application.await_begin(path)
    any_server.call(any_server.application.go.set)

    assert (peer.reply().status, peer.reply().status) == (200, 200)
    any_server.call(any_server.application.go.clear)


def test_its_half_ends_the_connection(our_server: Server, our_peer: Peer) -> None:
    our_peer.ask("/stream")
    our_peer.socket.shutdown(socket.SHUT_WR)

    assert our_peer.reply().body == b"one two"
    assert our_peer.is_cut_off()


# What is no request.

POST = f"POST /echo HTTP/1.1\r\n{HOST}"
TOKEN = "Authorization: Bearer a\r\n"
LENGTH, CHUNKED = "Content-Length: 1\r\n", "Transfer-Encoding: chunked\r\n"
BAD_REQUESTS = {
    "no request line": "hello\r\n\r\n",
    "bytes that no target has": f"GET /\xfc HTTP/1.1\r\n{HOST}\r\n",
    "no host": "GET /echo HTTP/1.1\r\n\r\n",
    "two hosts": f"GET /echo HTTP/1.1\r\n{HOST}{HOST}\r\n",
    "space before a colon": "GET /echo HTTP/1.1\r\nHost : localhost\r\n\r\n",
    "a header without a name": f"GET /echo HTTP/1.1\r\n{HOST}: x\r\n\r\n",
    "a zero byte": f"GET /echo HTTP/1.1\r\n{HOST}A: \0\r\n\r\n",
    "a bare carriage return": f"GET /echo HTTP/1.1\r\n{HOST}A: b\rc: d\r\n\r\n",
    "lengths that differ": f"{POST}{LENGTH}Content-Length: 2\r\n\r\nab",
    "a length with a sign": f"{POST}Content-Length: +1\r\n\r\na",
    "a length that is no number": f"{POST}Content-Length: 0x1\r\n\r\na",
    "a chunk that is no chunk": f"{POST}{CHUNKED}\r\nxyz\r\n",
    "a chunk with more than it says": f"{POST}{CHUNKED}\r\n1\r\nabc\r\n",
}
# Hypercorn takes some of these for good, by rules that a proxy may not share.
AMBIGUOUS = {
    "a length, and chunks": f"{POST}{LENGTH}{CHUNKED}\r\n0\r\n\r\n",
    "chunks, and a length": f"{POST}{CHUNKED}{LENGTH}\r\n0\r\n\r\n",
    "twice the same length": f"{POST}{LENGTH}{LENGTH}\r\na",
    "a list of lengths": f"{POST}Content-Length: 1, 1\r\n\r\na",
    "two tokens": f"GET /echo HTTP/1.1\r\n{HOST}{TOKEN}Authorization: b\r\n\r\n",
    "twice the same token": f"GET /echo HTTP/1.1\r\n{HOST}{TOKEN}{TOKEN}\r\n",
    "a folded header": f"{POST}A: b\r\n c: d\r\n\r\n",
    "bare line feeds": "GET /echo HTTP/1.1\nHost: localhost\n\n",
    "chunks that end in bare line feeds": f"{POST}{CHUNKED}\r\n1\na\n0\n\n",
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_what_is_no_request_is_refused(peer: Peer, name: str) -> None:
    peer.send(BAD_REQUESTS[name].encode("latin-1"))

    reply = peer.reply()
    assert (reply.status, reply.headers["connection"]) == (400, "close")
    assert peer.is_cut_off()


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_what_another_might_read_otherwise_is_refused(our_peer: Peer, name: str) -> None:
    our_peer.send(AMBIGUOUS[name])

    assert our_peer.reply().status == 400
    assert our_peer.is_cut_off()


@pytest.mark.parametrize("encoding", ["gzip", "gzip, chunked", "identity"])
def test_no_transfer_encoding_but_chunked_is_known(peer: Peer, encoding: str) -> None:
    peer.send(f"{POST}Transfer-Encoding: {encoding}\r\n\r\n0\r\n\r\n")

    assert peer.reply().status == 501
    assert peer.is_cut_off()


@pytest.mark.parametrize("version", ["", " HTTP/0.9", " HTTP/2.0"])
def test_other_versions_are_refused(our_peer: Peer, version: str) -> None:
    our_peer.send(f"GET /echo{version}\r\n{HOST if version else ''}\r\n")

    assert our_peer.reply().status == 505
    assert our_peer.is_cut_off()


@pytest.mark.parametrize(
    "head",
    [
        f"GET /echo HTTP/1.1\r\n{HOST}A: {MAX_HEAD * 'b'}\r\n\r\n",
        f"GET /echo HTTP/1.1\r\n{HOST * MAX_HEAD}\r\n",
        f"GET /echo?{MAX_HEAD * 'a'} HTTP/1.1\r\n{HOST}\r\n",
        f"GET /echo HTTP/1.1\r\n{HOST}A: {20 * MAX_HEAD * 'b'}",
        f"GET /echo?{20 * MAX_HEAD * 'a'}",
    ],
    ids=["header", "headers", "target", "unfinished header", "unfinished target"],
)
def test_a_head_has_its_bounds(our_peer: Peer, head: str) -> None:
    our_peer.send(head)

    assert our_peer.reply().status == 431
    assert our_peer.is_cut_off()


def test_what_came_before_is_still_answered(any_server: Server, peer: Peer) -> None:
    peer.ask("/slow")
    peer.send("no request\r\n\r\n")
    any_server.call(any_server.application.go.set)

    assert peer.reply().body == b"slow"
    assert peer.reply().status == 400
    assert peer.is_cut_off()
    any_server.call(any_server.application.go.clear)


def test_an_application_hears_that_a_body_broke_off(any_server: Server, peer: Peer) -> None:
    peer.send(f"POST /wait HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
    any_server.application.await_begin("/wait")
    peer.send("no chunk\r\n")

    assert peer.reply().status == 400
    assert any_server.application.gone.get(timeout=PATIENCE) == "/wait"
    assert peer.is_cut_off()


# Applications that fail.


@pytest.mark.parametrize("path", ["/nothing", "/fail", "/inject"])
def test_an_application_without_an_answer_has_failed(our_peer: Peer, path: str) -> None:
    our_peer.ask(path)

    reply = our_peer.reply()
    assert (reply.status, reply.body, reply.headers["connection"]) == (500, b"", "close")
    assert "set-cookie" not in reply.headers
    assert our_peer.is_cut_off()


def test_half_an_answer_is_noticed(peer: Peer) -> None:
    peer.ask("/half")

    with pytest.raises(EOFError):
        peer.reply()


def test_an_answer_that_is_too_short_is_noticed(peer: Peer) -> None:
    peer.ask("/short")

    assert peer.reply().body == b"short"
    assert peer.is_cut_off()


# How it ends.


def test_an_application_hears_that_its_peer_has_left(any_server: Server) -> None:
    with Peer(any_server.port) as peer:
        peer.ask("/wait")
        any_server.application.await_begin("/wait")

    assert any_server.application.gone.get(timeout=PATIENCE) == "/wait"


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("fast", [True, False])
def test_only_an_idle_connection_is_closed(loop: str, fast: bool) -> None:
    with (
        serving(loop, fast=fast, keep_alive_timeout=0.2) as server,
        Peer(server.port) as idle,
        Peer(server.port) as halting,
        Peer(server.port) as busy,
    ):
        halting.send("GET /echo HTT")
        busy.ask("/slow")

        assert idle.is_cut_off()
        assert halting.is_cut_off()
        threading.Event().wait(0.3)
        server.call(server.application.go.set)
        assert busy.reply().body == b"slow"
        assert busy.is_cut_off()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("fast", [True, False])
def test_a_server_that_ends_answers_what_it_was_asked(loop: str, fast: bool) -> None:
    with (
        serving(loop, fast=fast) as server,
        Peer(server.port) as idle,
        Peer(server.port) as busy,
    ):
        idle.ask("/echo")
        idle.reply()
        busy.ask("/slow")
        server.application.await_begin("/slow")

        server.stop()

        assert idle.is_cut_off()
        server.call(server.application.go.set)
        assert busy.reply().body == b"slow"
        assert busy.is_cut_off()


def dribble(peer: Peer, text: str) -> None:
    """Send a byte now and then, for as long as the other end takes it."""
    with contextlib.suppress(OSError):
        for character in text * 1_000:
            peer.send(character)
            threading.Event().wait(0.01)


SLOW_HEADS = (
    "GET /",
    "GET /echo HTTP/1.1\r\nHost: a\r\nX: ",
    HANDSHAKE.format(path="/ws")[:-2] + "X: ",
)


@pytest.mark.parametrize("begin", SLOW_HEADS)
def test_a_head_that_comes_slowly_is_refused(
    our_server: Server, begin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often a byte comes; a request before it is answered, and so are those of others."""
    monkeypatch.setattr(http_connection, "HEAD_PATIENCE", 0.3)

    with Peer(our_server.port) as slow, Peer(our_server.port) as other:
        slow.ask("/echo")
        slow.send(begin)
        threading.Thread(target=dribble, args=(slow, "x")).start()

        assert slow.reply().body == b"GET /echo? "
        assert slow.reply().status == 408
        assert slow.is_cut_off()
        other.ask("/echo")
        assert other.reply().status == 200


@pytest.mark.parametrize("begin", SLOW_HEADS)
def test_a_head_that_comes_slowly_ends_on_hypercorns_path_too(begin: str) -> None:
    with (
        serving("uvloop", fast=False, keep_alive_timeout=0.5) as server,
        Peer(server.port) as slow,
    ):
        slow.send(begin)
        threading.Thread(target=dribble, args=(slow, "x")).start()

        with contextlib.suppress(ConnectionError):  # it is still sending
            assert slow.is_cut_off()


def test_one_head_after_the_other_is_not_slow(
    our_peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "HEAD_PATIENCE", 0.3)
    request = f"GET /echo HTTP/1.1\r\n{HOST}\r\n"

    our_peer.send(request[:-1])
    for _ in range(20):
        our_peer.send(request[-1:] + request[:-1])
        assert our_peer.reply().status == 200
        threading.Event().wait(0.03)


@pytest.mark.parametrize("fast", [True, False])
def test_a_tls_handshake_that_does_not_go_on_is_given_up(fast: bool, certificate: Path) -> None:
    with serving(
        "asyncio", fast=fast, certfile=certificate, keyfile=certificate, ssl_handshake_timeout=0.3
    ) as server:
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as slow:
            slow.sendall(b"\x16\x03\x01")
            assert slow.recv(100) == b""
        with Peer(server.port, secure=True) as other:
            other.ask("/echo")
            assert other.reply().status == 200


def test_who_reads_no_end_is_cut_off(
    our_server: Server, our_peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "LINGERING", 0.1)
    before = our_server.tasks()

    our_peer.ask("/early", "Content-Length: 2\r\n", method="POST")
    our_peer.reply()

    our_server.outlast(our_server.tasks() - before)


def test_who_reads_it_slowly_is_not(our_peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "LINGERING", 0.3)

    our_peer.ask("/large/32", "Content-Length: 2\r\n", method="POST")
    read = 0
    while part := our_peer.socket.recv(MEGABYTE):
        read += len(part)
        threading.Event().wait(0.1 if read < 16 * MEGABYTE else 0)

    assert read > 32 * MEGABYTE


def test_nothing_is_left_of_a_connection(our_server: Server) -> None:
    before = our_server.tasks()
    with Peer(our_server.port) as peer, Peer(our_server.port) as other:
        peer.ask("/echo")
        peer.reply()
        other.ask("/wait")
        theirs = our_server.tasks() - before

    our_server.outlast(theirs)
    assert our_server.tasks() <= before


# Upgrades.


def test_http2_is_left_to_hypercorn(peer: Peer) -> None:
    peer.ask("/echo", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n")

    assert peer.reply().headers["upgrade"] == "h2c"


def test_an_upgrade_to_what_is_unknown_is_ignored(peer: Peer) -> None:
    for upgrade in ("h2c", "smoke-signals"):
        headers = f"Connection: Upgrade\r\nUpgrade: {upgrade}\r\nContent-Length: 2\r\n"
        peer.ask("/echo", headers, method="POST")
        peer.send("ok")

        assert peer.reply().body == b"POST /echo? ok"


def test_a_websocket_may_come_after_other_requests(any_server: Server, peer: Peer) -> None:
    offer = "Sec-WebSocket-Protocol: a, b\r\n\r\n"
    handshake = HANDSHAKE.format(path="/ws").removesuffix("\r\n") + offer
    peer.ask("/echo")
    peer.ask("/slow")
    peer.send(handshake)
    any_server.call(any_server.application.go.set)

    assert peer.reply().body == b"GET /echo? "
    assert peer.reply().body == b"slow"
    reply = peer.reply()
    assert (reply.status, reply.headers["sec-websocket-protocol"]) == (101, "b")
    # As RFC 6455 says of the key of these zeros.
    assert reply.headers["sec-websocket-accept"] == "ICX+Yqv66kxgM0FcWaLWlFLwTAI="
    any_server.call(any_server.application.go.clear)


@pytest.mark.parametrize(
    ("good", "bad", "status"),
    [
        ("Key: AAAAAAAAAAAAAAAAAAAAAA==", "Key: AAAA", 400),
        ("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", "", 400),
        ("GET", "POST", 400),
        ("HTTP/1.1", "HTTP/1.0", 400),
        ("Version: 13", "Version: 8", 426),
    ],
)
def test_a_bad_handshake_is_refused(
    our_peer: Peer, good: str, bad: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    our_peer.send(HANDSHAKE.format(path="/ws").replace(good, bad))

    reply = our_peer.reply()
    assert reply.status == status
    assert reply.headers.get("sec-websocket-version") == ("13" if status == 426 else None)
    assert our_peer.is_cut_off()
    assert caplog.records == []


@pytest.mark.parametrize("key", ["Key: AAAA", "Key: AAAAAAAAAAAAAAAAAAAAAA=="])
def test_a_handshake_with_more_is_refused(
    our_peer: Peer, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    handshake = HANDSHAKE.format(path="/ws").replace("Key: AAAAAAAAAAAAAAAAAAAAAA==", key)
    our_peer.send(handshake + "a frame")

    assert our_peer.reply().status == 400
    assert our_peer.is_cut_off()
    assert [record.levelname for record in caplog.records] in ([], ["INFO"])
