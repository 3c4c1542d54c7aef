"""How the server keeps to RFC 6455, and what an application sees of it, over real sockets."""

import asyncio
import gc
import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from inspect import signature
from pathlib import Path
from typing import TypeVar

import pytest
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived
from hypercorn.asyncio import run
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.config import Config
from hypercorn.protocol import h2, h11, ws_stream

from hypha_cluster.serving.http11.connection import RELEASED
from hypha_cluster.serving.http11.server import DirectServer, install, uninstall
from hypha_cluster.serving.http11.websocket_connection import Timeouts
from hypha_cluster.serving.http11.websocket_frames import (
    ABNORMAL,
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    INTERNAL_ERROR,
    INVALID_DATA,
    NO_CODE,
    NORMAL,
    PING,
    PONG,
    PROTOCOL_ERROR,
    SERVICE_RESTART,
    TEXT,
    TOO_BIG,
)
from hypha_cluster.serving.http11.websocket_stream import TellingStream
from tests.websocket_rig import LIMIT, LOOPS, PATIENCE, Server, masked

# RFC 8441
EXTENDED_CONNECT = (
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":authority", "localhost"),
    (":path", "/http2"),
    ("sec-websocket-version", "13"),
)
AnyEvent = TypeVar("AnyEvent", ResponseReceived, DataReceived)
BRIEF = Timeouts(close=0.2, ping=0.2)


@pytest.fixture(scope="module", autouse=True)
def _installed() -> Iterator[None]:
    install()
    yield
    uninstall()


@pytest.fixture
def brief_timeouts() -> Iterator[None]:
    install(BRIEF)
    yield
    install()


@pytest.fixture
def hypercorns_path() -> Iterator[None]:
    install(fast=False)
    yield
    install()


@pytest.fixture(scope="module", params=LOOPS)
def server(request: pytest.FixtureRequest, _installed: None) -> Iterator[Server]:
    with Server(request.param).running() as server:
        yield server


everyhow = pytest.mark.parametrize("path", ["/asgi", "/direct", "/outlive"])
either = pytest.mark.parametrize("kind", ["asgi", "direct"])


@everyhow
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 500_000, LIMIT])
def test_messages_of_all_sizes_come_back(server: Server, path: str, opcode: int, size: int) -> None:
    peer = server.connect(path)

    peer.send(FIN | opcode, b"x" * size)

    assert peer.frame() == (FIN | opcode, b"x" * size)


@everyhow
def test_a_frame_may_arrive_byte_by_byte(server: Server, path: str) -> None:
    peer = server.connect(path)
    peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    for byte in masked(FIN | BINARY, bytes(130)) + masked(FIN | TEXT, b"2"):
        peer.socket.sendall(bytes((byte,)))

    assert peer.frame() == (FIN | BINARY, bytes(130))
    assert peer.frame() == (FIN | TEXT, b"2")


@everyhow
def test_many_messages_keep_their_order(server: Server, path: str) -> None:
    peer = server.connect(path)

    peer.socket.sendall(b"".join(masked(FIN | BINARY, str(i).encode()) for i in range(2000)))

    for i in range(2000):
        assert peer.frame() == (FIN | BINARY, str(i).encode())


@everyhow
def test_fragments_are_joined_and_pings_between_them_answered(server: Server, path: str) -> None:
    peer = server.connect(path)

    peer.send(TEXT, "ü".encode()[:1])
    peer.send(FIN | PING, b"between")
    peer.send(CONTINUATION)
    peer.send(FIN | PONG, b"unasked")
    peer.send(FIN | CONTINUATION, "ü".encode()[1:])

    assert peer.frame() == (FIN | PONG, b"between")
    assert peer.frame() == (FIN | TEXT, "ü".encode())


@everyhow
@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (b"\x82\x00", PROTOCOL_ERROR),  # without a mask
        (masked(FIN | BINARY | 0x40), PROTOCOL_ERROR),
        (masked(FIN | 0x3), PROTOCOL_ERROR),
        (masked(FIN | 0xB), PROTOCOL_ERROR),
        (masked(FIN | CONTINUATION), PROTOCOL_ERROR),
        (masked(TEXT) + masked(FIN | TEXT), PROTOCOL_ERROR),
        (masked(PING), PROTOCOL_ERROR),
        (masked(FIN | PING, bytes(126)), PROTOCOL_ERROR),
        (masked(FIN | CLOSE, b"\x03"), PROTOCOL_ERROR),
        (masked(FIN | CLOSE, b"\x03\xed"), PROTOCOL_ERROR),
        (masked(FIN | CLOSE, b"\x03\xe8\xff"), INVALID_DATA),
        (masked(FIN | TEXT, b"\xce\xba\xed\xa0\x80"), INVALID_DATA),
        (masked(FIN | BINARY, bytes(LIMIT + 1)), TOO_BIG),
        (masked(BINARY, bytes(LIMIT)) + masked(FIN | CONTINUATION, b"1"), TOO_BIG),
    ],
)
def test_a_breach_of_the_protocol_ends_only_this_connection(
    server: Server, path: str, wrong: bytes, code: int
) -> None:
    peer, other = server.connect(path), server.connect(path)

    peer.send(FIN | BINARY, b"before")
    assert peer.frame() == (FIN | BINARY, b"before")
    peer.socket.sendall(wrong + masked(FIN | BINARY, b"after"))

    assert peer.ending()[0] == code
    peer.socket.close()
    assert server.application.endings.get(timeout=PATIENCE)[0] == ABNORMAL
    other.send(FIN | BINARY, b"well")
    assert other.frame() == (FIN | BINARY, b"well")


@everyhow
@pytest.mark.parametrize("code", [1000, 1001, 1003, 1011, 1012, 3000, 4999])
def test_a_close_is_answered_with_its_code_and_told(server: Server, path: str, code: int) -> None:
    peer = server.connect(path)

    peer.close(code, "adiós")

    assert peer.ending()[0] == code
    assert server.application.endings.get(timeout=PATIENCE) == (code, "adiós")


@pytest.mark.usefixtures("hypercorns_path")
def test_hypercorns_own_path_tells_how_a_peer_closed_too(server: Server) -> None:
    peer = server.connect("/asgi")

    peer.close(1001, "adiós")

    assert peer.ending()[0] == 1001
    assert server.application.endings.get(timeout=PATIENCE) == (1001, "adiós")


@everyhow
def test_a_close_without_a_code_is_answered_alike(server: Server, path: str) -> None:
    peer = server.connect(path)

    peer.send(FIN | CLOSE)

    assert peer.ending()[0] == NO_CODE
    assert server.application.endings.get(timeout=PATIENCE) == (NO_CODE, "")


@everyhow
@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_that_just_breaks_ends_abnormally(
    server: Server, path: str, reset: bool
) -> None:
    peer = server.connect(path)

    if reset:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.socket.close()
    else:
        peer.socket.shutdown(socket.SHUT_WR)

    assert server.application.endings.get(timeout=PATIENCE) == (ABNORMAL, "")
    assert reset or peer.socket.recv(1) == b""


@either
def test_the_application_closes_and_hears_the_answer(server: Server, kind: str) -> None:
    peer = server.connect(f"/{kind}/close")

    assert peer.frame() == (FIN | CLOSE, struct.pack("!H", 4000) + b"enough")
    peer.send(FIN | BINARY, b"on its way")
    peer.close(4000, "me too")

    assert peer.socket.recv(1) == b""
    assert server.application.endings.get(timeout=PATIENCE) == (4000, "me too")
    if kind == "direct":
        assert server.application.sent.get(timeout=PATIENCE) == len(b"on its way")


def test_an_application_that_had_stopped_reading_hears_the_answer_too(server: Server) -> None:
    peer = server.connect("/direct/close/paused")

    peer.frame()
    peer.close(4000, "me too")

    assert server.application.endings.get(timeout=PATIENCE) == (4000, "me too")


@either
@pytest.mark.usefixtures("brief_timeouts")
def test_a_peer_that_never_answers_a_close_is_cut_off(server: Server, kind: str) -> None:
    server.connect(f"/{kind}/close")

    assert server.application.endings.get(timeout=PATIENCE) == (ABNORMAL, "")


@pytest.mark.parametrize(("how", "code"), [("return", NORMAL), ("raise", INTERNAL_ERROR)])
def test_a_connection_ends_with_its_application(
    server: Server, how: str, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    peer = server.connect(f"/asgi/{how}")

    assert peer.frame() == (FIN | CLOSE, struct.pack("!H", code))
    peer.close(code)

    assert peer.socket.recv(1) == b""
    assert ("a mistake in the application" in caplog.text) == (how == "raise")


def test_a_refusal_is_told_and_may_have_a_body(server: Server) -> None:
    assert b" 403 " in server.connect("/refuse").answer
    aloud = server.connect("/refuse/aloud")

    assert b" 403 " in aloud.answer
    assert aloud.read(7) == b"not you"


@either
def test_a_peer_that_sends_before_it_may_is_refused_and_leaves_nothing(
    server: Server, kind: str
) -> None:
    server.connect("/refuse")
    before = server.tasks()

    peer = server.connect(f"/{kind}", glued=masked(FIN | BINARY, b"early"))

    assert b" 400 " in peer.answer
    assert peer.socket.recv(1) == b""
    peer.socket.close()
    server.outlast(server.tasks() - before)


def test_compression_is_never_agreed_to(server: Server) -> None:
    peer = server.connect("/asgi")  # offers it

    assert b" 101 " in peer.answer
    assert b"extensions" not in peer.answer.lower()


def test_http2_takes_hypercorns_own_path(server: Server) -> None:
    client = H2Connection()
    offer = ("sec-websocket-extensions", "permessage-deflate")
    client.initiate_connection()
    client.send_headers(1, [*EXTENDED_CONNECT, offer])
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:

        def wait_for(kind: type[AnyEvent]) -> AnyEvent:
            connection.sendall(client.data_to_send())
            while True:
                for event in client.receive_data(connection.recv(4096)):
                    if isinstance(event, kind):
                        return event

        answer = wait_for(ResponseReceived)
        client.send_data(1, masked(FIN | TEXT, b"over two"))
        data = wait_for(DataReceived)

    assert (b":status", b"200") in answer.headers
    assert b"sec-websocket-extensions" not in dict(answer.headers)
    assert data.data.startswith(b"\x81\x08over two")


@either
def test_an_application_does_not_run_ahead_of_a_slow_peer(server: Server, kind: str) -> None:
    peer = server.connect(f"/{kind}/flood")
    for _ in range(64):
        assert peer.frame() == (FIN | BINARY, bytes(LIMIT))

    assert max(server.application.sent.get(timeout=PATIENCE) for _ in range(64)) <= 2 * LIMIT


def test_pongs_do_not_pile_up_for_a_peer_that_does_not_read_them(server: Server) -> None:
    peer = server.connect("/direct")
    direct = server.application.directs[-1]()
    assert direct is not None

    peer.socket.sendall(masked(FIN | PING, bytes(125)) * 200_000)

    assert server.call(lambda: direct.buffered) < LIMIT
    peer.socket.close()
    assert server.application.endings.get(timeout=PATIENCE) == (ABNORMAL, "")


@either
def test_a_peer_must_wait_for_a_slow_application(server: Server, kind: str) -> None:
    peer = server.connect(f"/{kind}/deaf")
    peer.socket.settimeout(1)

    with pytest.raises(TimeoutError):
        peer.socket.sendall(masked(FIN | BINARY, bytes(LIMIT)) * 64)

    server.call(server.application.go.set)
    peer.socket.settimeout(PATIENCE)
    assert peer.frame() == (FIN | BINARY, bytes(LIMIT))
    server.call(server.application.go.clear)


@everyhow
def test_it_works_over_tls(certificate: Path, path: str) -> None:
    for loop in LOOPS:
        with Server(loop, certfile=certificate, keyfile=certificate).running() as server:
            peer, rude = server.connect(path, secure=True), server.connect(path, secure=True)
            peer.send(FIN | BINARY, bytes(LIMIT))
            rude.send(FIN | 0x3)

            assert peer.frame() == (FIN | BINARY, bytes(LIMIT))
            peer.close(NORMAL)
            assert peer.ending()[0] == NORMAL
            assert rude.ending()[0] == PROTOCOL_ERROR


@pytest.mark.parametrize("loop", LOOPS)
def test_a_server_that_ends_takes_leave(loop: str) -> None:
    with Server(loop, graceful_timeout=0.1).running() as server:
        peers = [server.connect(path) for path in ("/asgi", "/direct", "/outlive")]

        server.stop()

        for peer in peers:
            assert peer.frame() == (FIN | CLOSE, struct.pack("!H", SERVICE_RESTART))
            peer.close(SERVICE_RESTART)
            assert peer.socket.recv(1) == b""


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.usefixtures("brief_timeouts")
def test_only_a_peer_that_answers_pings_stays(loop: str) -> None:
    with Server(loop, websocket_ping_interval=0.1).running() as server:
        alive, dead = server.connect("/asgi"), server.connect("/direct")

        for _ in range(10):
            assert alive.frame() == (FIN | PING, b"")
            alive.send(FIN | PONG)

        assert dead.ending()[0] == INTERNAL_ERROR
        assert server.application.endings.get(timeout=PATIENCE)[0] == ABNORMAL


@everyhow
def test_nothing_is_left_of_a_connection(server: Server, path: str) -> None:
    server.connect("/refuse")  # now Hypercorn has started whatever it needs itself
    server.application.directs.clear()
    before = server.tasks()
    peers = [server.connect(path) for _ in range(3)]
    theirs = server.tasks() - before

    peers[0].close(NORMAL)
    peers[1].socket.close()
    peers[2].send(FIN | 0x3)
    peers[2].socket.shutdown(socket.SHUT_WR)

    server.outlast(theirs)
    theirs.clear()
    server.call(gc.collect)
    assert server.tasks() <= before
    assert [direct() for direct in server.application.directs] == [None] * 3


def test_hypercorn_still_has_the_shape_that_we_build_on() -> None:
    advice = "hypercorn has changed: compare DirectServer with its asyncio/run.py, tcp_server.py,"
    advice += " and TellingStream with its protocol/ws_stream.py"

    assert vars(run)["TCPServer"] is DirectServer, advice
    given = {"app", "config", "context", "state", "reader", "writer"}
    assert given <= set(signature(TCPServer).parameters), advice
    assert asyncio.iscoroutinefunction(TCPServer.run), advice
    for module in (h11, h2):
        assert vars(module)["WSStream"] is TellingStream, advice
    for name in ("handle", "_send_wsproto_event"):
        assert asyncio.iscoroutinefunction(getattr(ws_stream.WSStream, name)), (name, advice)
    assert callable(vars(ws_stream)["server_extensions_handshake"]), advice
    assert hasattr(Config(), "websocket_max_message_size"), advice
    with closing(asyncio.new_event_loop()) as loop:
        reader = asyncio.StreamReader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        writer = asyncio.StreamWriter(RELEASED, protocol, reader, loop)
    assert isinstance(vars(reader)["_buffer"], bytearray), "a StreamReader keeps its bytes there"
    assert "_transport" in vars(writer), "a StreamWriter keeps its transport there"
