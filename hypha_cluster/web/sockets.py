"""What the hub needs of a client's connection, and what all kinds over plain ASGI share."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from starlette.types import Message, Receive, Scope, Send

from hypha_cluster.relay.sockets import Socket
from hypha_cluster.supervision import Supervisor, Tasks

ABNORMAL: Final = 1006
DIRECT: Final = "hypha.direct"  # the ASGI extension of serving/http11/websocket_upgrade.py


class LiveSocket(Socket, Protocol):
    """A connection that is also read; the relay itself only writes to a Socket.

    Three kinds: DirectWebSocket of serving/http11, AsgiSocket for a WebSocket that does not come
    that way, and EventStream (event_stream.py), whose client posts its frames.
    """

    def start(
        self, on_message: Callable[[bytes | str], None], on_writable: Callable[[], None]
    ) -> None:
        """Hand over each message from now on, once the connection is accepted.

        on_writable: called when the network takes more again.
        """

    async def outlive(self, on_closed: Callable[[int, str], None]) -> None:
        """Call back with the peer's close code and reason; only then may the application return."""


def socket_of(scope: Scope, receive: Receive, send: Send, supervisor: Supervisor) -> LiveSocket:
    """The socket of a connection, of the kind that its server has."""
    direct: LiveSocket | None = (scope.get("extensions") or {}).get(DIRECT)
    return direct or AsgiSocket(receive, send, supervisor)


class QueuedSocket:
    """The part that the kinds over plain ASGI share: an outbox, which a task of theirs empties."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._outbox: deque[bytes] = deque()
        self._filled = asyncio.Event()
        self._closing: tuple[int, str] | None = None
        self._over: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self._tasks = Tasks(supervisor)
        self.buffered = 0

    def _work(self, *works: Coroutine[Any, Any, None]) -> None:
        """Run these as tasks of the connection; if one fails, the connection ends."""
        for work in works:
            self._tasks.spawn("socket", work, lambda error: self.abort())

    def send(self, frame: bytes) -> None:
        if self._closing is None and not self._over.done():
            self.buffered += len(frame)
            self._outbox.append(frame)
            self._filled.set()

    def close(self, code: int, reason: str = "") -> None:
        """Close when all that was sent before has gone out."""
        if self._closing is None:
            self._closing = (code, reason)
            self._filled.set()

    def abort(self) -> None:
        if not self._over.done():
            self._over.set_result((ABNORMAL, ""))

    async def outlive(self, on_closed: Callable[[int, str], None]) -> None:
        ending = (ABNORMAL, "")
        try:
            ending = await asyncio.shield(self._over)
        finally:
            on_closed(*ending)
            await self._tasks.stop()


class AsgiSocket(QueuedSocket):
    """A WebSocket over plain ASGI, as for HTTP/2."""

    postbox = tail = None

    def __init__(self, receive: Receive, send: Send, supervisor: Supervisor) -> None:
        super().__init__(supervisor)
        self._receive = receive
        self._send = send
        self._may_read = asyncio.Event()
        self._may_read.set()

    def start(
        self, on_message: Callable[[bytes | str], None], on_writable: Callable[[], None]
    ) -> None:
        self._on_writable = on_writable
        self._work(self._read(on_message), self._write())

    def pause(self) -> None:
        self._may_read.clear()

    def resume(self) -> None:
        self._may_read.set()

    async def _read(self, on_message: Callable[[bytes | str], None]) -> None:
        while True:
            await self._may_read.wait()
            event = await self._receive()
            if event["type"] == "websocket.disconnect":
                if not self._over.done():
                    self._over.set_result(self._closing or _close_of(event))
                return
            message = event.get("bytes")
            on_message(event["text"] if message is None else message)

    async def _write(self) -> None:
        while True:
            while self._outbox:
                frame = self._outbox.popleft()
                await self._send({"type": "websocket.send", "bytes": frame})
                self.buffered -= len(frame)
            self._on_writable()
            if self._closing is not None:
                code, reason = self._closing
                await self._send({"type": "websocket.close", "code": code, "reason": reason})
                return
            self._filled.clear()
            await self._filled.wait()


def _close_of(event: Message) -> tuple[int, str]:
    """The peer's close code and reason; Hypercorn does not tell those that answer our own close."""
    code = event.get("code")
    return ABNORMAL if code is None else code, event.get("reason") or ""
