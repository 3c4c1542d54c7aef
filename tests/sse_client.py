"""A client with an event stream, as a browser reads it; what it sends goes where it is told to."""

import asyncio
import base64
import itertools
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple, Self, cast
from urllib.parse import urlencode, urlsplit

from websockets.asyncio.client import ClientConnection

from tests.gateways import SECOND
from tests.http import Answer, ask
from tests.raw_client import RawClient

PATIENCE = 30 * SECOND


class Refused(Exception):
    """The answer to a request for events is no stream."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"{status}: {body.decode(errors='replace')}")
        self.status = status


class Event(NamedTuple):
    """A block of lines of the stream."""

    data: str
    id: str
    retry: str
    comment: str

    @property
    def frame(self) -> bytes:
        return base64.b64decode(self.data, validate=True)


class EventSource:
    """One stream, from its first byte to its last."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._rest = b""
        self.headers: dict[str, str] = {}

    @classmethod
    async def open(cls, base_url: str, query: dict[str, str], **headers: str) -> Self:
        """Ask for events; Refused when the answer is anything else."""
        place = urlsplit(base_url)
        assert place.hostname
        assert place.port
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(place.hostname, place.port)
            lines = [f"GET {place.path}/sse?{urlencode(query)} HTTP/1.1", f"Host: {place.netloc}"]
            lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
            writer.write("\r\n".join([*lines, "", ""]).encode())
            source = cls(reader, writer)
            await source._read_head()
        return source

    async def _read_head(self) -> None:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = head.strip().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines)
        self.headers = {name.lower(): value for name, value in pairs}
        code = int(status.split()[1])
        if code != 200 or self.headers.get("content-type") != "text/event-stream":
            body = await self._reader.read(int(self.headers.get("content-length", 0)))
            self.close()
            raise Refused(code, body)

    def close(self) -> None:
        self._writer.transport.abort()

    @property
    def transport(self) -> Any:
        return self._writer.transport

    async def events(self) -> AsyncIterator[Event]:
        """Every block, until the stream ends or breaks."""
        async for block in self._blocks():
            fields: dict[str, str] = {}
            for line in block.decode().split("\n"):
                name, _, value = line.partition(":")
                assert name not in fields, "a field comes once"
                fields[name or "comment"] = value.removeprefix(" ")
            assert fields.keys() <= {"data", "id", "retry", "comment"}, fields
            yield Event(*(fields.get(name, "") for name in ("data", "id", "retry", "comment")))

    async def _blocks(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks():
            *blocks, self._rest = (self._rest + chunk).split(b"\n\n")
            for block in blocks:
                yield block

    async def _chunks(self) -> AsyncIterator[bytes]:
        while True:
            try:
                size = int(await self._reader.readuntil(b"\r\n"), 16)
                chunk = await self._reader.readexactly(size + 2)
            except (asyncio.IncompleteReadError, ConnectionError):
                return
            if not size:
                return
            yield chunk[:-2]


class StreamSocket:
    """As a WebSocket looks to `RawClient`. posts: the gateways that get its frames, in turn."""

    def __init__(self, source: EventSource, query: dict[str, str], posts: Sequence[str]) -> None:
        self.source = source
        self.query = query
        self.posts = itertools.cycle(posts)
        self.last_id = ""
        self.events: list[Event] = []
        self.answers: list[int] = []
        self.close_code = None

    @property
    def transport(self) -> Any:
        return self.source.transport

    async def post(self, data: bytes, base_url: str = "", /, **query: str) -> Answer:
        """Post something; the answer to it."""
        asked = urlencode({**self.query, **query})
        return await ask(f"{base_url or next(self.posts)}/sse?{asked}", data)

    async def send(self, data: bytes) -> None:
        answer = await self.post(data)
        self.answers.append(answer.status)
        assert answer.status in (200, 202), answer

    async def close(self, code: int = 1000) -> None:
        self.source.close()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._frames()

    async def _frames(self) -> AsyncIterator[bytes]:
        try:
            async for event in self.source.events():
                self.last_id = event.id or self.last_id
                self.events.append(event)
                if event.data:
                    yield event.frame
        finally:
            self.source.close()


class SseClient(RawClient):
    """A RawClient by event stream."""

    stream: StreamSocket

    @classmethod
    async def connect(
        cls, base_url: str, client_id: str = "", *, posts: Sequence[str] = (), **query: str
    ) -> Self:
        """Open a stream at one gateway; post at these, or at the same. Refused is raised."""
        client_id = client_id or f"sse-{secrets.token_hex(6)}"
        session = {"session_id": secrets.token_hex(12)}
        asked = {"client_id": client_id, **session, **query}
        source = await EventSource.open(base_url, asked)
        return await cls._start(StreamSocket(source, asked, posts or [base_url]), client_id)

    async def come_back(self, base_url: str, posts: Sequence[str] = ()) -> Self:
        """Open another stream as a browser does by itself: the same query, and the last id."""
        return await self.come_back_with(base_url, self.stream.last_id, posts)

    async def come_back_with(self, base_url: str, last_id: str, posts: Sequence[str] = ()) -> Self:
        headers = {"Last_Event_ID": last_id} if last_id else {}
        source = await EventSource.open(base_url, self.stream.query, **headers)
        socket = StreamSocket(source, self.stream.query, posts or [base_url])
        socket.last_id = last_id
        return await self._start(socket, self.client_id)

    @classmethod
    async def _start(cls, stream: StreamSocket, client_id: str) -> Self:
        client = cls(cast(ClientConnection, stream), client_id)
        client.stream = stream
        try:
            client.info = await client.manager("get_connection_info")
        except BaseException:
            await client.close()
            raise
        client.workspace, client.user = client.info["workspace"], client.info["user_info"]
        return client
