"""A WebSocket over plain ASGI, for connections that the fast path does not serve (HTTP/2)."""

import asyncio
from collections import deque
from collections.abc import Callable

from starlette.types import Receive, Send

from hypha_cluster.supervision import Supervisor, Tasks

ABNORMAL = 1006


class AsgiSocket:
    """Has the methods of serving's DirectWebSocket, by an outbox and a task that empties it."""

    def __init__(self, receive: Receive, send: Send, supervisor: Supervisor) -> None:
        self._receive = receive
        self._send = send
        self._outbox: deque[bytes] = deque()
        self._filled = asyncio.Event()
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._closing: tuple[int, str] | None = None
        self._close_sent = False
        self._over: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()
        self._tasks = Tasks(supervisor)
        self.buffered = 0

    def start(
        self, on_message: Callable[[bytes | str], None], on_writable: Callable[[], None]
    ) -> None:
        """Hand over each message from now on. Call it once the connection is accepted."""
        self._on_writable = on_writable
        for work in (self._read(on_message), self._write()):
            self._tasks.spawn("socket", work, lambda error: self.abort())

    def send(self, frame: bytes) -> None:
        if self._closing is None and not self._over.done():
            self.buffered += len(frame)
            self._outbox.append(frame)
            self._filled.set()

    def pause(self) -> None:
        self._may_read.clear()

    def resume(self) -> None:
        self._may_read.set()

    def close(self, code: int, reason: str = "") -> None:
        """Close when what was sent before has gone out."""
        if self._closing is None:
            self._closing = (code, reason)
            self._filled.set()

    def abort(self) -> None:
        if not self._over.done():
            self._over.set_result((ABNORMAL, ""))

    async def outlive(self, on_closed: Callable[[int, str], None]) -> None:
        """Call back with the peer's close code and reason; only then may the application return."""
        ending = (ABNORMAL, "")
        try:
            ending = await asyncio.shield(self._over)
        finally:
            on_closed(*ending)
            await self._tasks.stop()

    async def _read(self, on_message: Callable[[bytes | str], None]) -> None:
        while True:
            await self._may_read.wait()
            event = await self._receive()
            if event["type"] == "websocket.disconnect":
                if not self._over.done():
                    code = event.get("code")
                    result = (ABNORMAL if code is None else code, event.get("reason") or "")
                    self._over.set_result(result)
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
