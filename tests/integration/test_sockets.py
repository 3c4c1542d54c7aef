"""What the hub asks of a WebSocket, of both kinds: past Hypercorn, and over plain ASGI."""

from collections.abc import Iterator
from queue import Queue
from typing import Any

import pytest

from hypha_cluster.serving.http11.server import install, uninstall
from hypha_cluster.serving.http11.websocket_connection import DirectWebSocket
from hypha_cluster.serving.http11.websocket_frames import BINARY, FIN, TEXT
from hypha_cluster.supervision import Supervisor
from hypha_cluster.web.sockets import AsgiSocket, LiveSocket, socket_of
from tests.websocket_rig import PATIENCE, Peer, Server

KINDS: dict[str, type[LiveSocket]] = {"direct": DirectWebSocket, "asgi": AsgiSocket}


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
        socket = socket_of(scope, receive, send, Supervisor())
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        socket.start(lambda message: self.messages.put(bytes_of(message)), lambda: None)
        self.sockets.put(socket)
        await socket.outlive(lambda code, reason: self.endings.put((code, reason)))


def bytes_of(message: Any) -> bytes | str:
    return message if isinstance(message, str) else bytes(message)


class Connected:
    """A peer, and the socket that the hub has of it."""

    def __init__(self, server: Server, application: Application) -> None:
        self._server = server
        self._application = application
        self.peer: Peer = server.connect("/")
        self.socket = application.sockets.get(timeout=PATIENCE)

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


@pytest.fixture(scope="module", params=KINDS)
def connected(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Make connections, each of this kind."""
    application = Application()
    install(fast=request.param == "direct")
    with Server("asyncio", application).running() as server:

        def connect() -> Connected:
            made = Connected(server, application)
            assert isinstance(made.socket, KINDS[request.param])
            return made

        yield connect
    uninstall()


def test_messages_are_handed_over_in_their_order(connected: Any) -> None:
    one = connected()

    for number in range(100):
        one.peer.send(FIN | BINARY, b"%d" % number)
    one.peer.send(FIN | TEXT, b"text")

    assert [one.message() for _ in range(101)] == [*(b"%d" % n for n in range(100)), "text"]


def test_what_is_sent_arrives_in_its_order(connected: Any) -> None:
    one = connected()

    for number in range(100):
        one.do("send", b"%d" % number)

    assert [one.peer.frame()[1] for _ in range(100)] == [b"%d" % number for number in range(100)]


def test_what_the_network_has_not_taken_is_counted(connected: Any) -> None:
    one = connected()

    for _ in range(40):
        one.do("send", bytes(500_000))
    filled = one.buffered()
    for _ in range(40):
        assert len(one.peer.frame()[1]) == 500_000

    assert filled > 1_000_000
    while one.buffered():
        pass


def test_a_pause_has_the_peer_wait(connected: Any) -> None:
    one, other = connected(), connected()

    one.do("pause")
    for text in (b"1", b"2", b"3"):  # the first may be on its way in already
        one.peer.send(FIN | BINARY, text)
    other.peer.send(FIN | BINARY, b"other")
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

    assert one.peer.frame() == (FIN | BINARY, b"last")
    code = one.peer.frame()[1]
    assert (int.from_bytes(code[:2]), code[2:]) == (4000, b"enough")
    one.peer.close(4000, "enough")
    assert one.ending() == (4000, "enough")


@pytest.mark.parametrize(("code", "reason"), [(1000, "bye"), (1001, ""), (4242, "why")])
def test_it_is_told_how_the_peer_closed(connected: Any, code: int, reason: str) -> None:
    one = connected()

    one.peer.close(code, reason)

    assert one.ending() == (code, reason)
    one.do("send", b"nobody is there")
    one.do("close", 1000)
    one.do("abort")


def test_a_broken_connection_is_abnormal(connected: Any) -> None:
    one = connected()

    one.peer.socket.close()

    assert one.ending()[0] in (1005, 1006)


def test_an_abort_ends_it_at_once(connected: Any) -> None:
    one = connected()

    one.do("abort")

    assert one.ending()[0] in (1005, 1006)
