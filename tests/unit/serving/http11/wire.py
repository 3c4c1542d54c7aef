"""A transport without a socket: what was written to it, and whether it is read."""

import asyncio
import re
from typing import Any, cast

import hypercorn

from hypha_cluster.serving.http11.connection import Application, Ends, HttpConnection, Site
from hypha_cluster.serving.http11.exchange import Exchange
from hypha_cluster.serving.http11.websocket_connection import Timeouts

PEER, HERE = ("192.0.2.1", 1_000), ("192.0.2.2", 80)
LIMIT = 5.0


class Wire(asyncio.Transport):
    """Takes everything, unless it is `stuck`."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.taken = 0
        self.stuck = False
        self._is_read = True
        self.protocol: Any = None  # of who has taken it over
        self.half_closed = False
        self._ended = ""
        self.over = asyncio.Event()  # set when it has ended

    def write(self, data: Any) -> None:
        assert not self._ended
        self.written += data

    def writelines(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.half_closed = True

    def get_write_buffer_size(self) -> int:
        return len(self.written) - self.taken if self.stuck else 0

    def pause_reading(self) -> None:
        self._is_read = False

    def resume_reading(self) -> None:
        self._is_read = True

    def is_closing(self) -> bool:
        return bool(self._ended)

    def close(self) -> None:
        self._ended = self._ended or "closed"
        self.over.set()

    def abort(self) -> None:
        self._ended = "aborted"
        self.over.set()

    def ended(self) -> str:
        """How it has; empty, if it has not."""
        return self._ended

    def is_read(self) -> bool:
        return self._is_read

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def take(self) -> bytes:
        """What was written since this was last asked."""
        written, self.written = bytes(self.written), bytearray()
        return written


class Peer:
    """A connection of HTTP to an application, which the test serves."""

    def __init__(self, app: Application, *, is_secure: bool = False, **config: Any) -> None:
        settings = hypercorn.Config()
        settings.include_server_header = settings.include_date_header = False
        for name, value in config.items():
            setattr(settings, name, value)
        self.wire = Wire()
        self.site = Site(app, settings, {}, Timeouts())
        self.connection = HttpConnection(
            self.site, cast(asyncio.Transport, self.wire), Ends(PEER, HERE, is_secure), Exchange
        )

    def say(self, *lines: str, body: bytes = b"") -> None:
        self.connection.data_received("\r\n".join([*lines, "", ""]).encode() + body)

    def get(self, path: str = "/", *headers: str) -> None:
        self.say(f"GET {path} HTTP/1.1", "Host: hub", *headers)

    def post(self, body: bytes, *headers: str, size: int | None = None) -> None:
        length = f"Content-Length: {len(body) if size is None else size}"
        self.say("POST / HTTP/1.1", "Host: hub", length, *headers, body=body)

    async def heard(self) -> bytes:
        """What was answered, once the application has done what it can."""
        for _ in range(20):
            await asyncio.sleep(0)
        return self.wire.take()

    def statuses(self, heard: bytes) -> list[int]:
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", heard)]

    def lose(self) -> None:
        self.connection.connection_lost(None)
