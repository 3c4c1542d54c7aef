"""A client's connection by two ways: it gets frames as events of a stream, and posts its own."""

import asyncio
import base64
import hmac
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from starlette.types import Receive, Scope, Send

from hypha_cluster.protocol.limits import POSTED_BYTES, POSTED_FRAMES, STREAM_EVENTS
from hypha_cluster.relay.sockets import Verdict
from hypha_cluster.relay.tail import Tail
from hypha_cluster.supervision import Supervisor
from hypha_cluster.web.middleware.counting import EVENTS
from hypha_cluster.web.sockets import ABNORMAL, QueuedSocket

Settle = Callable[[Verdict], None]
OnMessage = Callable[[bytes | str], None]

HEADERS: Final = (
    EVENTS,
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
)
_CLOSE: Final = (b"connection", b"close")
_PING: Final = b": ping\n\n"
NUMBERED: Final = b"~"  # between the token and the number of an id; a token has none


class Posted(NamedTuple):
    """A frame that waits for its turn."""

    frame: bytes
    settle: Settle
    is_kept: bool  # whoever posted it has been told so


class Postbox:
    """Frames that a client has posted: routed in the order in which they came.

    key: whoever posts has to know it.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._waiting: deque[Posted] = deque()
        self._size = 0
        self._on_message: OnMessage | None = None  # until it is there, nothing is routed
        self._is_paused = self._is_shut = False

    def put(self, key: str, frame: bytes, settle: Settle, *, is_kept: bool = False) -> None:
        """Have a frame routed in its turn; tell `settle` the verdict.

        is_kept: it comes from the mailbox, which is bounded, and nobody would post it again.
        """
        if not hmac.compare_digest(key.encode(), self._key.encode()):
            settle(Verdict.REFUSED)
        elif self._is_shut:
            settle(Verdict.OVER)
        elif self._waiting and not is_kept and not self._has_room(len(frame)):
            settle(Verdict.BUSY)
        else:
            self._waiting.append(Posted(frame, settle, is_kept))
            self._size += len(frame)
            self.empty()

    def _has_room(self, size: int) -> bool:
        return len(self._waiting) < POSTED_FRAMES and self._size + size <= POSTED_BYTES

    def open(self, on_message: OnMessage) -> None:
        """Hand over what has come, and from now on each frame as it comes."""
        self._on_message = on_message
        self.empty()

    def pause(self) -> None:
        self._is_paused = True

    def resume(self) -> None:
        """Go on at the next call of `empty`."""
        self._is_paused = False

    def empty(self) -> None:
        """Hand over what waits, unless that has to wait longer."""
        while self._waiting and self._on_message is not None and not self._is_paused:
            posted = self._waiting.popleft()
            self._size -= len(posted.frame)
            self._on_message(posted.frame)
            posted.settle(Verdict.ROUTED)

    def shut(self) -> None:
        """Take nothing more; what waits is refused, so that the client posts it again.

        Frames that are KEPT would not be posted again: they are routed now, like those that were
        read of a WebSocket before it broke.
        """
        self._is_shut = True
        waiting, self._waiting = self._waiting, deque()
        for posted in waiting:
            if posted.is_kept and self._on_message is not None:
                self._on_message(posted.frame)
                posted.settle(Verdict.ROUTED)
            else:
                posted.settle(Verdict.OVER)


class Beginning(NamedTuple):
    """How a stream begins. key: which whoever posts has to know.

    retry: seconds after which a browser comes back when the stream has ended.
    tail: knows what the client had got by the stream before, and keeps what it may not get by this.
    """

    key: str
    retry: float
    tail: Tail


class EventStream(QueuedSocket):
    """The answer to a request for events: each frame is one, as base64.

    The id of an event is a token, by which its client comes back, and the number of the event.
    """

    def __init__(
        self,
        beginning: Beginning,
        scope: Scope,
        receive: Receive,
        send: Send,
        supervisor: Supervisor,
    ) -> None:
        super().__init__(supervisor)
        self.postbox = Postbox(beginning.key)
        self.tail = beginning.tail
        self._token = b""
        self._written = beginning.tail.seen or 0  # the number of the last event
        # By the same connection a browser would come back to this gateway, which may be ending.
        self._headers = [*HEADERS, *([_CLOSE] if scope["http_version"] < "2" else [])]
        self._receive = receive
        self._send = send
        self._notes = [b"retry: %d\n\n" % (beginning.retry * 1000)]  # not frames; these go first

    def start(self, on_message: OnMessage, on_writable: Callable[[], None]) -> None:
        self._on_writable = on_writable
        self._work(self._read(), self._write())
        self.postbox.open(on_message)

    def send(self, frame: bytes) -> None:
        self.tail.add(frame)
        super().send(frame)

    def identify(self, token: str) -> None:
        """Send the token for coming back as the id of an event: browsers repeat the last id."""
        self._token = token.encode()
        self._note(self._id() + b"\n\n")

    def _id(self) -> bytes:
        return b"id: %b%b%d" % (self._token, NUMBERED, self._written)

    def ping(self) -> None:
        """Send something, if nothing is under way: so both ends notice when the other is gone."""
        self.tail.give_up_old()
        if not (self._outbox or self._notes):
            self._note(_PING)

    def _note(self, note: bytes) -> None:
        self._notes.append(note)
        self._filled.set()

    def pause(self) -> None:
        self.postbox.pause()

    def resume(self) -> None:
        """Go on in the next turn of the loop: the caller may still have older frames to route."""
        self.postbox.resume()
        asyncio.get_running_loop().call_soon(self.postbox.empty)

    async def outlive(self, on_closed: Callable[[int, str], None]) -> None:
        def close(code: int, reason: str) -> None:
            self.postbox.shut()  # all that it has handed over is routed by now
            on_closed(code, reason)

        await super().outlive(close)

    async def _read(self) -> None:
        """Wait until the client goes; of its request there is nothing more to come."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.abort()

    async def _write(self) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self._headers}
        await self._send(start)
        while True:
            while self._outbox or self._notes:
                await self._write_some()
            self._on_writable()
            if self._closing is not None:
                break
            self._filled.clear()
            await self._filled.wait()
        await self._send({"type": "http.response.body", "body": b""})
        if not self._over.done():
            self._over.set_result((ABNORMAL, ""))  # a stream cannot say that its client has left

    async def _write_some(self) -> None:
        """Write what is there, up to a bound: an id may be much larger than its frame."""
        parts, self._notes = self._notes, []
        size = ids = 0
        while self._outbox and (not ids or size + ids + len(self._outbox[0]) <= STREAM_EVENTS):
            frame = self._outbox.popleft()
            self._written += 1
            start = self._id()
            size += len(frame)
            ids += len(start)
            parts += (start, b"\ndata: ", base64.b64encode(frame), b"\n\n")
        await self._send({"type": "http.response.body", "body": b"".join(parts), "more_body": True})
        self.buffered -= size
