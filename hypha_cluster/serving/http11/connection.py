"""A connection that speaks HTTP/1.1: its requests are answered in the order in which they come."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Final, NamedTuple, Protocol

import hypercorn

from hypha_cluster.protocol.limits import (
    HEAD_PATIENCE,
    LINGERING,
    TURNS,
    UNFINISHED_MESSAGES,
    UNTAKEN_BODY,
)
from hypha_cluster.serving.http11.keep_alive import KeepAlive
from hypha_cluster.serving.http11.messages import Malformed, Request, RequestParser, head_of
from hypha_cluster.serving.http11.unfinished import Unfinished
from hypha_cluster.serving.http11.websocket_connection import Timeouts
from hypha_cluster.supervision import Supervisor, Tasks

logger = logging.getLogger(__name__)

Application = Callable[[Any, Any, Any], Awaitable[None]]
Successor = Callable[[], Awaitable[None]]


class Site:
    """What the connections of one server have in common."""

    def __init__(
        self,
        app: Application,
        config: hypercorn.Config,
        state: dict[str, Any],
        timeouts: Timeouts,
    ) -> None:
        self.app = app
        self.config = config
        self.state = state
        self.timeouts = timeouts
        interval = config.websocket_ping_interval
        self.keep_alive = None if interval is None else KeepAlive(interval)
        self.unfinished = Unfinished(UNFINISHED_MESSAGES)
        self.connections: set[HttpConnection] = set()
        self.is_leaving = False
        self.tasks = Tasks(Supervisor())
        self._second = 0
        self._common = b""

    def common_headers(self) -> bytes:
        """Return the lines that every answer has, the date among them."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            headers = self.config.response_headers("h11")
            self._common = b"".join(b"%b: %b\r\n" % header for header in headers)
        return self._common

    def leave_after(self, waiting: Coroutine[Any, Any, None]) -> None:
        """Close connections when `waiting` has returned."""

        async def leave() -> None:
            await waiting
            self.leave()

        self.tasks.spawn("closing", leave())

    def leave(self) -> None:
        """Close connections that are idle, and the others after their answer."""
        self.is_leaving = True
        for connection in list(self.connections):
            connection.leave()


class Ends(NamedTuple):
    """Who is connected with whom, by host and port, and whether by TLS."""

    client: tuple[str, int] | None
    server: tuple[str, int] | None
    is_secure: bool


class Released(asyncio.Transport):
    """Stands in for a transport that somebody else has taken over."""

    def is_closing(self) -> bool:
        return True

    def close(self) -> None:
        """Leave it open."""

    abort = close


RELEASED: Final = Released()


class Hears(Enum):
    """What a connection still takes of what its peer sends."""

    REQUESTS = auto()
    REST = auto()  # of a request that is the last
    UPGRADE = auto()  # all of it is for the last turn
    NOTHING = auto()
    END = auto()  # nothing, for the peer has ended its half; it may wait for an answer yet


_DEAF: Final = (Hears.NOTHING, Hears.END)


class Turn(Protocol):
    """A request, and what is done about it when all before it have been answered."""

    is_read: bool  # whether the request has come to its end
    is_answering: bool  # whether an answer has begun, so that there can be no other

    @property
    def backlog(self) -> int:
        """How many bytes of the request's body nobody has taken."""

    def begin(self) -> None:
        """Answer, and call `HttpConnection.finish` then; or let a successor have the connection."""

    def put(self, part: bytes) -> None:
        """Take what follows the head."""

    def end(self) -> None:
        """Note that this was all."""

    def leave(self) -> None:
        """Note that the peer says nothing more, though it may still listen."""

    def lose(self) -> None:
        """Note that nobody is left who could get the answer."""


class HttpConnection(asyncio.Protocol):
    """Reads requests, gives each its turn, and keeps the time while there is none."""

    def __init__(
        self,
        site: Site,
        transport: asyncio.Transport,
        ends: Ends,
        open_turn: "Callable[[HttpConnection, Request], Turn]",
    ) -> None:
        self.site = site
        self.transport = transport
        self.ends = ends
        self.loop = asyncio.get_running_loop()
        self.tasks: set[asyncio.Task[None]] = set()  # of the application
        self.successor: asyncio.Future[Successor | None] = self.loop.create_future()
        self.writing_paused = False
        self._open_turn = open_turn
        self._turns: deque[Turn] = deque()
        self._parser = RequestParser(self, site.config.h11_max_incomplete_size)
        self._hears = Hears.REQUESTS
        self._reading_paused = False
        self._refusal: HTTPStatus | None = None
        self._writable: asyncio.Event | None = None  # made when it is first waited for
        self._idle_since = self.loop.time()
        self._head_timer: asyncio.TimerHandle | None = None
        self._timer = self.loop.call_later(site.config.keep_alive_timeout, self._look_at_time)
        site.connections.add(self)

    # For a turn.

    def write(self, data: bytes) -> None:
        """Write bytes, if the connection is still there."""
        if not self.transport.is_closing():
            self.transport.write(data)

    async def drain(self) -> None:
        """Wait until the kernel takes more."""
        self._writable = self._writable or asyncio.Event()
        self._writable.clear()
        await self._writable.wait()

    def pace(self) -> None:
        """Pause or resume reading, so that no more is read than is taken."""
        turns = self._turns
        full = len(turns) > 1 or (len(turns) == 1 and turns[0].backlog > UNTAKEN_BODY)
        if full != self._reading_paused and not self.transport.is_closing():
            self._reading_paused = full
            (self.transport.pause_reading if full else self.transport.resume_reading)()

    def finish(self, *, keep_alive: bool) -> None:
        """Go on to the next request, for this one has been answered."""
        turn = self._turns.popleft()
        if not turn.is_read:
            self._linger()
        elif not keep_alive or self.site.is_leaving:
            self._close()
        elif self._turns:
            self._turns[0].begin()
        elif self._refusal is not None:
            self._answer_refusal(self._refusal)
        elif self._hears is Hears.END:
            self.transport.close()
        else:
            self._idle_since = self.loop.time()
        self.pace()

    def release(self) -> asyncio.Transport:
        """Give the transport away; somebody else takes it over."""
        self._forget()
        transport, self.transport = self.transport, RELEASED
        return transport

    async def wait_closed(self) -> None:
        """Wait until the peer has read its answer, unless somebody else has its connection."""
        if self in self.site.connections:
            self.successor = self.loop.create_future()
            await self.successor

    def abort(self) -> None:
        """End the connection at once, and what the application does for it."""
        self.transport.abort()
        for task in self.tasks:
            task.cancel()

    def leave(self) -> None:
        """Close the connection, unless it has a request that is still to be answered."""
        if not self._turns:
            self._close()

    # For the transport.

    def data_received(self, data: bytes) -> None:
        """Read requests, or what a peer says after one that was to upgrade the connection."""
        if self._hears in _DEAF:
            return
        try:
            if self._hears is Hears.UPGRADE:
                self._turns[-1].put(data)
            else:
                self._parser.feed(data)
                self._keep_time_of_head()
        except Malformed as error:
            self._refuse(error)

    def eof_received(self) -> bool:
        """Go on as long as there is something to answer: a peer may end its half before."""
        self._hears = Hears.END
        if self.ends.is_secure or not (self._turns and self._turns[-1].is_read):
            return False
        for turn in self._turns:
            turn.leave()
        return True

    def pause_writing(self) -> None:
        self.writing_paused = True

    def resume_writing(self) -> None:
        self.writing_paused = False
        if self._writable is not None:
            self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever answers or waits that this was all."""
        self._forget()
        turns, self._turns = self._turns, deque()
        for turn in turns:
            turn.lose()
        self.resume_writing()
        if not self.successor.done():
            self.successor.set_result(None)

    # For the parser.

    def on_request(self, request: Request) -> None:
        if self._hears in _DEAF:
            raise Malformed(HTTPStatus.BAD_REQUEST, "a request after the last one")
        if len(self._turns) == TURNS:
            raise Malformed(HTTPStatus.TOO_MANY_REQUESTS, f"more than {TURNS} at once")
        self._forget_head()
        if not (request.keep_alive or request.asks_to_upgrade):
            self._hears = Hears.REST
        turn = self._open_turn(self, request)
        self._turns.append(turn)
        if len(self._turns) == 1:
            turn.begin()
        else:
            self.pace()

    def on_body(self, part: bytes) -> None:
        self._turns[-1].put(part)
        self.pace()

    def on_end(self) -> None:
        if self._hears is Hears.REST:
            self._hears = Hears.NOTHING
        self._turns[-1].end()

    def on_upgrade(self, rest: bytes) -> None:
        if self._hears is Hears.REQUESTS:
            self._hears = Hears.UPGRADE
        if rest:
            self._turns[-1].put(rest)

    # How it ends.

    def _refuse(self, error: Malformed) -> None:
        """Read nothing more, and answer when all before it has been answered."""
        if self._hears in _DEAF:  # what follows a last request has no answer
            return
        logger.info("A client broke HTTP: %s.", error)
        self._hears = Hears.NOTHING
        if self._turns and not self._turns[-1].is_read:
            broken = self._turns.pop()
            broken.lose()
            if broken.is_answering:
                self.transport.close()
                return
        self._refusal = error.status
        if not self._turns:
            self._answer_refusal(error.status)

    def _answer_refusal(self, status: HTTPStatus) -> None:
        headers = [(b"content-length", b"0"), (b"connection", b"close")]
        self.write(head_of(status, headers) + self.site.common_headers() + b"\r\n")
        self._linger()

    def _linger(self) -> None:
        """End our half, and read on until the peer ends its own.

        Closing the socket while the peer still sends would reset it, and the peer might never read
        its answer.
        """
        self._hears = Hears.NOTHING
        if self.transport.is_closing() or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self.pace()
        self._timer.cancel()
        self._cut_off_later()

    def _cut_off_later(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        self._timer = self.loop.call_later(LINGERING, self._cut_off, unsent)

    def _cut_off(self, unsent: int) -> None:
        """End the connection, unless the peer still reads."""
        if self.transport.get_write_buffer_size() < unsent:
            self._cut_off_later()
        else:
            self.transport.abort()

    def _close(self) -> None:
        """End the connection when all is written; a request that still comes is ignored."""
        self._hears = Hears.NOTHING
        self.transport.close()

    def _keep_time_of_head(self) -> None:
        """Refuse a request whose head takes too long, counted from its first byte."""
        if self._head_timer is None and self._parser.is_in_head:
            slow = Malformed(HTTPStatus.REQUEST_TIMEOUT, f"a head in {HEAD_PATIENCE:g} seconds")
            self._head_timer = self.loop.call_later(HEAD_PATIENCE, self._refuse, slow)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _look_at_time(self) -> None:
        """Close the connection if it has been idle for too long."""
        patience: float = self.site.config.keep_alive_timeout
        left = patience if self._turns else self._idle_since + patience - self.loop.time()
        if left > 0:
            self._timer = self.loop.call_later(left, self._look_at_time)
        else:
            self._close()

    def _forget(self) -> None:
        self._hears = Hears.NOTHING
        self._timer.cancel()
        self._forget_head()
        self.site.connections.discard(self)
        self._parser.close()
