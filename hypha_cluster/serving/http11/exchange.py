"""One HTTP request and its answer, as an ASGI application sees them."""

import asyncio
import logging
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from hypha_cluster.serving.http11.connection import HttpConnection
from hypha_cluster.serving.http11.messages import CONTINUE, Answer, Headers, Request
from hypha_cluster.supervision import outcome

logger = logging.getLogger(__name__)

Message = dict[str, Any]  # of ASGI


class Exchange:
    """The turn of a request that the application answers."""

    def __init__(self, connection: HttpConnection, request: Request) -> None:
        self.is_read = self.is_answering = False
        self._connection = connection
        self._request = request
        self._must_invite = request.expects_continue
        self._body = bytearray()
        self._is_taken = False  # whether the application has taken the body to its end
        self._arrived: asyncio.Event | None = None  # made when it is first waited for
        self._answer: Answer | None = None
        self._head = b""
        self._has_left = False  # whether the peer is gone, or has ended its half
        self._is_over = False

    @property
    def backlog(self) -> int:
        return len(self._body)

    def begin(self) -> None:
        tasks = self._connection.tasks
        task = self._connection.site.tasks.spawn("request", self._run())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def put(self, part: bytes) -> None:
        self._body += part
        self._wake()

    def end(self) -> None:
        self.is_read = True
        self._wake()

    def leave(self) -> None:
        self._has_left = True
        self._wake()

    def lose(self) -> None:
        self._close()

    async def _run(self) -> None:
        if self._connection.writing_paused:  # or answers to a peer that reads none would pile up
            await self._connection.drain()
        if self._is_over:
            return
        scope = scope_of(self._connection, self._request)
        error = await outcome(self._connection.site.app(scope, self._receive, self._send))
        if error is not None:  # whatever it is, the peer gets an answer and others get theirs
            logger.error("The application failed.", exc_info=error)
        if not self._is_over:
            self._give_up()

    async def _receive(self) -> Message:
        """Return what has come of the body; a disconnect where there is nothing to wait for."""
        if self._must_invite and not (self._body or self.is_read or self._answer):
            self._connection.write(CONTINUE)
        self._must_invite = False
        while not (self._body or self._is_alone()) and (self._is_taken or not self.is_read):
            self._arrived = self._arrived or asyncio.Event()
            self._arrived.clear()
            await self._arrived.wait()
        if self._is_alone():
            return {"type": "http.disconnect"}
        body, self._body = bytes(self._body), bytearray()
        self._is_taken = self.is_read
        self._connection.pace()
        return {"type": "http.request", "body": body, "more_body": not self.is_read}

    async def _send(self, message: Message) -> None:
        """Send an answer; its head goes with the first part of its body."""
        kind = message["type"]
        if self._is_over:
            return  # the application may go on to its end as if somebody listened
        if kind == "http.response.start" and self._answer is None:
            self._begin_answer(message["status"], list(message.get("headers", ())))
        elif kind == "http.response.body" and self._answer is not None:
            self._send_body(self._answer, message.get("body", b""), message.get("more_body", False))
            if self._connection.writing_paused:
                await self._connection.drain()
        else:
            raise RuntimeError(f"{kind} is not to be sent now")

    def _begin_answer(self, status: int, headers: Headers) -> None:
        site = self._connection.site
        keep_alive = self._request.keep_alive and self.is_read and not site.is_leaving
        answer = Answer(self._request, keep_alive=keep_alive)
        self._head = answer.head(status, headers, site.common_headers())
        self._answer = answer

    def _send_body(self, answer: Answer, part: bytes, more: bool) -> None:
        self._connection.write(self._head + answer.body(part, more=more))
        self._head = b""
        self.is_answering = True
        if not more:
            self._close()
            self._connection.finish(keep_alive=answer.keep_alive)

    def _send_empty(self, status: HTTPStatus, headers: Headers) -> None:
        """Send an answer without a body, after which the connection ends."""
        answer = Answer(self._request, keep_alive=False)
        common = self._connection.site.common_headers()
        self._head = answer.head(status, [*headers, (b"content-length", b"0")], common)
        self._send_body(answer, b"", more=False)

    def _give_up(self) -> None:
        """Do what is left to do for an application that has not sent a whole answer."""
        if self.is_answering:  # the peer misses the rest
            transport = self._connection.transport
            # Else what a peer that reads nothing has not taken would stay in memory.
            (transport.abort if self._connection.writing_paused else transport.close)()
        else:
            self._send_empty(HTTPStatus.INTERNAL_SERVER_ERROR, [])

    def _is_alone(self) -> bool:
        return self._is_over or (self._has_left and self._is_taken)

    def _close(self) -> None:
        self._is_over = True
        self._wake()

    def _wake(self) -> None:
        if self._arrived is not None:
            self._arrived.set()


def scope_of(connection: HttpConnection, request: Request) -> Message:
    """The ASGI scope of a request."""
    path, _, query = request.target.partition(b"?")
    client, server, is_secure = connection.ends
    return {
        "type": "http",
        "asgi": {"spec_version": "2.1", "version": "3.0"},
        "http_version": request.version,
        "method": request.method,
        "scheme": "https" if is_secure else "http",
        "path": unquote(path.decode("ascii")),
        "raw_path": path,
        "query_string": query,
        "root_path": connection.site.config.root_path,
        "headers": request.headers,
        "client": client,
        "server": server,
        "state": connection.site.state.copy(),
        "extensions": {},
    }
