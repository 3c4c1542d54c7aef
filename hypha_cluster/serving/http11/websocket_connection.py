"""A server's WebSocket connection on an asyncio transport whose handshake is done."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from hypha_cluster.protocol.limits import CLOSING, MESSAGE_OVERHEAD, UNTAKEN_MESSAGES
from hypha_cluster.serving.http11.unfinished import Unfinished
from hypha_cluster.serving.http11.websocket_frames import (
    ABNORMAL,
    CLOSE,
    INTERNAL_ERROR,
    PING,
    PONG,
    TEXT,
    TRY_AGAIN,
    Close,
    FrameError,
    FrameParser,
    binary_header,
    close_frame,
    header,
    parse_close,
)

logger = logging.getLogger(__name__)

GATHER_FROM = 64 * 1024  # bytes: with more, a gathering write is cheaper than a copy

UNSAID = Close(ABNORMAL)  # until the peer says how it closes

Event = dict[str, Any]  # of ASGI
Message = bytes | str


class Timeouts(NamedTuple):
    """How long, in seconds, a peer may leave something unanswered."""

    close: float = CLOSING
    ping: float = 20.0


class Inbox:
    """Keeps what has arrived until the application takes it, or says how it wants it."""

    __slots__ = ("_arrived", "_entries", "_full", "_pause", "_resume", "_size")

    def __init__(self, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self._entries: list[Message | Event] = []
        self._arrived: asyncio.Event | None = None  # made when it is first waited for
        self._size = 0
        self._full = False
        self._pause = pause
        self._resume = resume

    def put(self, entry: Message | Event) -> None:
        self._entries.append(entry)
        if self._arrived is not None:
            self._arrived.set()
        self._size += len(entry) + MESSAGE_OVERHEAD
        if self._size > UNTAKEN_MESSAGES:
            self._full = True
            self._pause()

    async def get(self) -> Event:
        """Return the next event; the last one, which says that it is over, again and again."""
        while not self._entries:
            self._arrived = self._arrived or asyncio.Event()
            self._arrived.clear()
            await self._arrived.wait()
        entry = self._entries[0]
        if isinstance(entry, dict) and entry["type"] == "websocket.disconnect":
            return entry
        self._drop_first()
        if isinstance(entry, dict):
            return entry
        text = isinstance(entry, str)
        return {
            "type": "websocket.receive",
            "bytes": None if text else entry,
            "text": entry if text else None,
        }

    def take_messages(self) -> list[Message]:
        """Empty it of messages."""
        messages = [entry for entry in self._entries if not isinstance(entry, dict)]
        events = [entry for entry in self._entries if isinstance(entry, dict)]
        self._entries = list[Message | Event](events)
        self._size = MESSAGE_OVERHEAD * len(events)
        self._relieve()
        return messages

    def _drop_first(self) -> None:
        self._size -= len(self._entries.pop(0)) + MESSAGE_OVERHEAD
        self._relieve()

    def _relieve(self) -> None:
        if self._full and self._size <= UNTAKEN_MESSAGES // 2:
            self._full = False
            self._resume()


class DirectWebSocket(asyncio.Protocol):
    """A connection that hands each message over in the callback that read it."""

    __slots__ = (
        "inbox",
        "loop",
        "outlives",
        "writing_paused",
        "_gathered",
        "_gathered_size",
        "_guard",
        "_heard",
        "_is_over",
        "_on_closed",
        "_on_lost",
        "_on_writable",
        "_open",
        "_over",
        "_parser",
        "_peer_close",
        "_pinged_at",
        "_reading_paused",
        "_timeouts",
        "_transport",
        "_unfinished",
        "__weakref__",
    )

    postbox = None  # all that the peer sends comes by this connection
    tail = None  # nor does the peer say what it has got

    def __init__(
        self,
        limit: int,
        timeouts: Timeouts,
        unfinished: Unfinished,
        on_writable: Callable[[], None],
    ) -> None:
        self.inbox = Inbox(self.pause, self.resume)
        self.writing_paused = False
        self.outlives = False  # whether it goes on when its application has returned
        self._parser = FrameParser(limit, self.inbox.put, self._take_control, self._hold)
        self._unfinished = unfinished
        self.loop = asyncio.get_running_loop()
        self._is_over = False
        self._over: asyncio.Future[None] | None = None  # made when it is first waited for
        self._timeouts = timeouts
        self._transport: asyncio.Transport | None = None
        self._open = False  # may still send
        self._peer_close = UNSAID
        self._on_lost: Callable[[DirectWebSocket, Close], None] | None = None
        self._on_closed: Callable[[int, str], None] | None = None
        self._on_writable = on_writable
        self._guard: asyncio.TimerHandle | None = None
        self._heard = True  # whether anything has come since the last ping
        self._pinged_at = 0.0
        self._reading_paused = False
        self._gathered: list[bytes] = []
        self._gathered_size = 0

    def start(self, on_message: Callable[[Message], None], on_writable: Callable[[], None]) -> None:
        """Hand over what has arrived, and from now on each message as it arrives."""
        self._on_writable = on_writable
        messages = self.inbox.take_messages()
        self._parser.hand_over_to(on_message)
        for message in messages:
            on_message(message)

    def send(self, frame: bytes) -> None:
        """Send one binary message."""
        transport = self._transport
        if not self._open or transport is None:
            return
        size = len(frame)
        if size < GATHER_FROM:
            self._gather(binary_header(size) + frame)
        else:
            self._flush()
            transport.writelines((binary_header(size), frame))

    def send_text(self, text: str) -> None:
        """Send one text message."""
        payload = text.encode()
        self._write(header(TEXT, len(payload)) + payload)

    @property
    def buffered(self) -> int:
        """Say how many bytes the kernel has not taken yet."""
        if self._transport is None:
            return 0
        return self._transport.get_write_buffer_size() + self._gathered_size

    def pause(self) -> None:
        """Stop reading, so that the peer must wait."""
        self._reading_paused = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Go on reading."""
        self._reading_paused = False
        self._heard = True  # the peer may have sent something during the pause
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self, code: int, reason: str = "") -> None:
        """Begin the closing handshake; go on reading until the peer's half of it."""
        if not self._open:
            return
        self._write(close_frame(Close(code, reason)))
        self._open = False
        self.resume()
        self._abort_later()

    def abort(self) -> None:
        """End the TCP connection at once, whatever is under way."""
        self._open = False
        self._parser.stop()
        if self._transport is not None:
            self._transport.abort()

    async def wait_closed(self) -> tuple[int, str]:
        """Wait until it is over; return the peer's close code and reason."""
        if not self._is_over:
            self._over = self._over or self.loop.create_future()
            await asyncio.shield(self._over)
        return self._peer_close

    async def outlive(self, on_closed: Callable[[int, str], None]) -> None:
        """Go on when the application has returned, as it may now, for a task costs much memory.

        In the end `on_closed` is called with the peer's close code and reason.
        """
        if self._is_over:
            on_closed(*self._peer_close)
        else:
            self._on_closed = on_closed
            self.outlives = True

    def release(self, on_lost: Callable[["DirectWebSocket", Close], None]) -> None:
        """Free all that was there for an application which has returned."""
        self._on_lost = on_lost
        del self.inbox

    def discard_messages(self) -> None:
        """Hand over nothing more: the application has no use for it."""
        self.start(lambda message: None, self._on_writable)

    def attach(
        self,
        transport: asyncio.Transport,
        earlier: bytes,
        on_lost: Callable[["DirectWebSocket", Close], None],
    ) -> None:
        """Take a transport over; `earlier` is what was read from it after the handshake."""
        self._transport = transport
        self._on_lost = on_lost
        self._open = True
        transport.set_protocol(self)
        if earlier:
            self.data_received(earlier)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the transport, and tell whoever waits that it is over."""
        self._open = self.writing_paused = False
        self._transport = None
        self._parser.stop()
        if self._guard is not None:
            self._guard.cancel()
        self._is_over = True
        if self._over is not None and not self._over.done():
            self._over.set_result(None)
        on_lost, self._on_lost = self._on_lost, None
        if on_lost is not None:
            on_lost(self, self._peer_close)
        on_closed, self._on_closed = self._on_closed, None
        if on_closed is not None:
            on_closed(*self._peer_close)

    def data_received(self, data: bytes) -> None:
        """Parse what was read."""
        self._heard = True
        try:
            self._parser.feed(data)
        except FrameError as error:
            logger.info("A client broke the WebSocket protocol: %s.", error)
            self._fail(Close(error.code, error.reason))

    def _hold(self, size: int) -> None:
        if size:
            self._unfinished.hold(self, size)
        else:
            self._unfinished.let_go(self)

    def give_up(self) -> None:
        """Make room for the messages of others: this peer began one, and does not end it."""
        self._fail(Close(TRY_AGAIN, "unfinished; send it again"))

    def eof_received(self) -> None:
        """End the connection: a peer that sends no more cannot close it in order."""
        self._end()

    def pause_writing(self) -> None:
        """Note that the kernel takes no more."""
        self.writing_paused = True

    def resume_writing(self) -> None:
        """Let the application write again."""
        self.writing_paused = False
        self._on_writable()

    def check_alive(self, now: float) -> None:
        """Ping the peer; end the connection if it gave no sign of life since the ping before."""
        if self._heard or self._reading_paused:
            self._heard = False
            self._pinged_at = now
        elif now - self._pinged_at >= self._timeouts.ping:
            self._write(close_frame(Close(INTERNAL_ERROR, "no answer to a ping")))
            self._end()
        self._write(header(PING, 0))

    def _gather(self, frame: bytes) -> None:
        """Write at the end of this tick, together: a system call costs more than a frame."""
        if not self._gathered:
            self.loop.call_soon(self._flush)
        self._gathered.append(frame)
        self._gathered_size += len(frame)
        if self._gathered_size > GATHER_FROM:
            self._flush()

    def _flush(self) -> None:
        gathered, self._gathered, self._gathered_size = self._gathered, [], 0
        if gathered and self._transport is not None:
            self._transport.write(b"".join(gathered))

    def _write(self, frame: bytes) -> None:
        if self._open and self._transport is not None:
            self._flush()
            self._transport.write(frame)

    def _take_control(self, opcode: int, payload: bytes) -> None:
        # A peer that pings without reading the answers gets none (section 5.5.3 allows it).
        if opcode == PING and not self.writing_paused:
            self._write(header(PONG, len(payload)) + payload)
        elif opcode == CLOSE:
            self._peer_close = parse_close(payload)
            self._write(close_frame(Close(self._peer_close.code)))  # section 5.5.1
            self._end()

    def _fail(self, close: Close) -> None:
        """Say why and end it (section 7.1.7).

        Closing the socket while the peer still sends would reset it, and the peer might never
        read the reason. So end our half and read on until the peer ends its own.
        """
        self._write(close_frame(close))
        self._open = False
        self._parser.stop()
        transport = self._transport
        if transport is not None and transport.can_write_eof() and not transport.is_closing():
            self.resume()
            transport.write_eof()
            self._abort_later()
        else:
            self._end()  # the end of a TLS connection waits for the peer's by itself

    def _end(self) -> None:
        self._flush()
        self._open = False
        self._parser.stop()
        self._abort_later()
        if self._transport is not None:
            self._transport.close()

    def _abort_later(self) -> None:
        if self._guard is None:
            self._guard = self.loop.call_later(self._timeouts.close, self.abort)
