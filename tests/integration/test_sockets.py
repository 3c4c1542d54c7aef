"""What the hub asks of a connection, of all kinds: WebSockets past Hypercorn and over plain ASGI,
and streams of events.
"""

import base64
from collections.abc import Iterator
from queue import Queue
from typing import Any

import pytest

from hypha_cluster.protocol.limits import TAILS
from hypha_cluster.protocol.room import Room
from hypha_cluster.relay.tail import Tail
from hypha_cluster.serving.http11.server import install, uninstall
from hypha_cluster.serving.http11.websocket_connection import DirectWebSocket
from hypha_cluster.serving.http11.websocket_frames import BINARY, FIN, TEXT
from hypha_cluster.supervision import Supervisor
from hypha_cluster.web.event_stream import Beginning, EventStream
from hypha_cluster.web.sockets import ABNORMAL, AsgiSocket, LiveSocket, socket_of
from tests.websocket_rig import PATIENCE, Peer, Server, connected as connected_to

KINDS: dict[str, type[LiveSocket]] = {
    "direct": DirectWebSocket,
    "asgi": AsgiSocket,
    "events": EventStream,
}
KEY = "the client's secret"


class Application:
    """Accepts, and leaves the rest to the test."""

    def __init__(self) -> None:
        self.sockets: Queue[LiveSocket] = Queue()
        self.messages: Queue[bytes | str] = Queue()
        self.endings: Queue[tuple[int, str]] = Queue()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for stage in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{stage}.complete"})
            return
        if scope["type"] == "http":
            beginning = Beginning(KEY, 0.5, Tail(None, Room(TAILS)))
            socket: LiveSocket = EventStream(beginning, scope, receive, send, Supervisor())
        else:
            socket = socket_of(scope, receive, send, Supervisor())
            assert (await receive())["type"] == "websocket.connect"
            await send({"type": "websocket.accept"})
        socket.start(lambda message: self.messages.put(bytes_of(message)), lambda: None)
        self.sockets.put(socket)
        await socket.outlive(lambda code, reason: self.endings.put((code, reason)))


def bytes_of(message: Any) -> bytes | str:
    return message if isinstance(message, str) else bytes(message)


class Ended(Exception):
    """Nothing more comes. The arguments are the code and the reason, if the kind has them."""


class WebSocketPeer:
    """The other end of a WebSocket."""

    def __init__(self, server: Server, application: Application) -> None:
        self.peer: Peer = server.connect("/")
        self.hub = application.sockets.get(timeout=PATIENCE)

    def say(self, data: bytes) -> None:
        self.peer.send(FIN | BINARY, data)

    def hear(self) -> bytes:
        first, payload = self.peer.frame()
        if first == FIN | BINARY:
            return payload
        raise Ended(int.from_bytes(payload[:2]), payload[2:].decode())

    def agree(self) -> None:
        """Answer the end that was heard."""
        self.peer.close(4000, "enough")

    def break_off(self) -> None:
        self.peer.socket.close()


class EventPeer:
    """Reads events; what it says is put into the postbox, as by whoever takes what is posted."""

    def __init__(self, server: Server, application: Application) -> None:
        self._server = server
        self.socket = connected_to(server.port)
        server.peers.append(self)
        self.socket.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.hub: Any = application.sockets.get(timeout=PATIENCE)
        self._read_until(b"\r\n\r\n")
        self._rest = b""
        self.verdicts: list[str] = []

    def say(self, data: bytes) -> None:
        self._server.call(lambda: self.hub.postbox.put(KEY, data, self.verdicts.append))

    def hear(self) -> bytes:
        while True:
            block = self._block()
            if b"\ndata: " in block:
                return base64.b64decode(block.partition(b"\ndata: ")[2], validate=True)

    def _block(self) -> bytes:
        while b"\n\n" not in self._rest:
            size = int(self._read_until(b"\r\n") or b"0", 16)
            if not size:
                raise Ended
            self._rest += self._read(size + 2)[:-2]
        block, _, self._rest = self._rest.partition(b"\n\n")
        return block

    def _read_until(self, end: bytes) -> bytes:
        taken = b""
        while not taken.endswith(end) and (byte := self.socket.recv(1)):
            taken += byte
        return taken

    def _read(self, size: int) -> bytes:
        taken = bytearray()
        while len(taken) < size:
            taken += self.socket.recv(size - len(taken))
        return bytes(taken)

    def agree(self) -> None:
        """The end of the answer is the end."""

    def break_off(self) -> None:
        self.socket.close()


class Connected:
    """A peer, and the socket that the hub has of it."""

    def __init__(self, server: Server, application: Application, kind: str) -> None:
        self._server = server
        self._application = application
        peer: Any = EventPeer if kind == "events" else WebSocketPeer
        self.peer = peer(server, application)
        self.socket: LiveSocket = self.peer.hub

    def do(self, method: str, *args: Any) -> None:
        """Call a method of the socket, where the hub does."""
        self._server.call(lambda: getattr(self.socket, method)(*args))

    def buffered(self) -> int:
        size: int = self._server.call(lambda: self.socket.buffered)
        return size

    def message(self) -> bytes | str:
        return self._application.messages.get(timeout=PATIENCE)

    def ending(self) -> tuple[int, str]:
        return self._application.endings.get(timeout=PATIENCE)


websockets_only = pytest.mark.parametrize("connected", ["direct", "asgi"], indirect=True)


@pytest.fixture(scope="module", params=KINDS)
def connected(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Make connections, each of this kind."""
    application = Application()
    install(fast=request.param == "direct")
    with Server("asyncio", application).running() as server:

        def connect() -> Connected:
            made = Connected(server, application, request.param)
            assert isinstance(made.socket, KINDS[request.param])
            return made

        yield connect
    uninstall()


def test_messages_are_handed_over_in_their_order(connected: Any) -> None:
    one = connected()

    for number in range(100):
        one.peer.say(b"%d" % number)

    assert [one.message() for _ in range(100)] == [b"%d" % number for number in range(100)]


@websockets_only
def test_a_text_is_handed_over_as_text(connected: Any) -> None:
    one = connected()

    one.peer.say(b"bytes")
    one.peer.peer.send(FIN | TEXT, b"text")

    assert [one.message(), one.message()] == [b"bytes", "text"]


def test_what_is_sent_arrives_in_its_order(connected: Any) -> None:
    one = connected()

    for number in range(100):
        one.do("send", b"%d" % number)

    assert [one.peer.hear() for _ in range(100)] == [b"%d" % number for number in range(100)]


def test_what_the_network_has_not_taken_is_counted(connected: Any) -> None:
    one = connected()

    for _ in range(40):
        one.do("send", bytes(500_000))
    filled = one.buffered()
    for _ in range(40):
        assert len(one.peer.hear()) == 500_000

    assert filled > 1_000_000
    while one.buffered():
        pass


def test_a_pause_has_the_peer_wait(connected: Any) -> None:
    one, other = connected(), connected()

    one.do("pause")
    for text in (b"1", b"2", b"3"):  # the first may be on its way in already
        one.peer.say(text)
    other.peer.say(b"other")
    before = []
    while (message := one.message()) != b"other":
        before.append(message)
    one.do("resume")
    after = [one.message() for _ in range(3 - len(before))]

    assert [*before, *after] == [b"1", b"2", b"3"]
    assert len(before) <= 1


def test_a_close_comes_behind_what_was_sent(connected: Any) -> None:
    one = connected()

    one.do("send", b"last")
    one.do("close", 4000, "enough")
    one.do("send", b"too late")
    one.do("close", 4001)

    assert one.peer.hear() == b"last"
    with pytest.raises(Ended) as ended:
        one.peer.hear()
    one.peer.agree()
    told = () if isinstance(one.peer, EventPeer) else (4000, "enough")
    assert ended.value.args == told
    assert one.ending() == (told or (ABNORMAL, ""))


@websockets_only
@pytest.mark.parametrize(("code", "reason"), [(1000, "bye"), (1001, ""), (4242, "why")])
def test_it_is_told_how_the_peer_closed(connected: Any, code: int, reason: str) -> None:
    one = connected()

    one.peer.peer.close(code, reason)

    assert one.ending() == (code, reason)
    one.do("send", b"nobody is there")
    one.do("close", 1000)
    one.do("abort")


def test_a_broken_connection_is_abnormal(connected: Any) -> None:
    one = connected()

    one.peer.break_off()

    assert one.ending()[0] in (1005, 1006)


def test_an_abort_ends_it_at_once(connected: Any) -> None:
    one = connected()

    one.do("abort")

    assert one.ending()[0] in (1005, 1006)


@pytest.mark.parametrize("connected", ["events"], indirect=True)
def test_what_waits_when_a_stream_ends_may_be_posted_again(connected: Any) -> None:
    one = connected()

    one.do("pause")
    one.peer.say(b"waits")
    one.do("abort")
    assert one.ending()[0] == ABNORMAL
    one.peer.say(b"too late")

    assert one.peer.verdicts == ["over", "over"]
