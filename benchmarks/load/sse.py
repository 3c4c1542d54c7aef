"""Clients by event stream, as browsers are where no WebSocket gets through (docs/sse.md)."""

import asyncio
import base64
import itertools
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import urlencode, urlsplit

import msgpack

from benchmarks.load.job import Job, Measurement, repeat
from benchmarks.load.raw import IDLE_TIME, KILOBYTE, SERVICE, SETTLING, Team, team
from benchmarks.load.raw_client import PATIENCE, RawClient, call_payload, reply_frame

AT_ONCE = 20  # streams that are opened at the same time


class Stream:
    """One client: frames come by one connection, and are posted by another."""

    def __init__(self, url: str, clients: Team) -> None:
        self._place = urlsplit(url)
        self.id = secrets.token_hex(8)
        founder = clients.founder
        query = {"session_id": secrets.token_hex(12), "client_id": self.id}
        query |= {"workspace": founder.workspace, "token": founder.token}
        self._path = f"{self._place.path}/sse?{urlencode(query)}"
        self._numbers = itertools.count()

    async def open(self) -> "Stream":
        self._events, self._stream = await self._connect()
        self._stream.write(self._head("GET"))
        head = await self._events.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise RuntimeError(head.decode())
        return self

    async def open_posts(self) -> None:
        """Make ready to post."""
        self._answers, self._posts = await self._connect()

    async def call(self, target: str) -> None:
        """Post a call, and wait for the event that answers it."""
        session = f"s{next(self._numbers)}"
        frame = call_payload(target, f"services.{SERVICE}.echo", [1], session, self.id)
        self._posts.write(self._head("POST", f"Content-Length: {len(frame)}\r\n") + frame)
        head = await self._answers.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise RuntimeError(head.decode())
        lengths = [line for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"]
        await self._answers.readexactly(int(lengths[0][15:]))
        async with asyncio.timeout(PATIENCE):
            while not await self._is_answer(f"{session}.resolve"):
                pass

    async def _is_answer(self, method: str) -> bool:
        """Whether the next event is the frame that is waited for."""
        line = await self._events.readuntil(b"\n")
        if not line.startswith(b"data:") or not line[5:].strip():
            return False
        unpacker = msgpack.Unpacker(strict_map_key=False)
        unpacker.feed(base64.b64decode(line[5:]))
        return bool(unpacker.unpack()["method"] == method)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._place.hostname, self._place.port)

    def _head(self, method: str, more: str = "") -> bytes:
        host = f"Host: {self._place.netloc}\r\n"
        return f"{method} {self._path} HTTP/1.1\r\n{host}{more}\r\n".encode()

    def close(self) -> None:
        self._stream.transport.abort()


async def call(job: Job) -> Measurement:
    """A client by event stream calls one by WebSocket, one call after the other."""
    async with team(job) as clients, _open(job, clients, 1) as (stream,):
        provider = await clients.join(len(job.urls) - 1)
        provider.on_message = partial(_reply, provider)
        await stream.open_posts()
        return await repeat([partial(stream.call, provider.address)], job)


def _reply(provider: RawClient, payload: bytes) -> None:
    unpacker = msgpack.Unpacker(strict_map_key=False)
    unpacker.feed(payload)
    main = unpacker.unpack()
    provider.write(reply_frame(main["from"], main["session"], provider.id, 1))


async def idle(job: Job) -> Measurement:
    """What `connections` streams that do nothing cost."""
    measured = Measurement()
    async with team(job) as clients, _open(job, clients, 10):
        await asyncio.sleep(SETTLING)
        empty = job.server_memory()
        async with _open(job, clients, job.option("connections")) as streams:
            await asyncio.sleep(SETTLING)
            with measured.metered(job):
                await asyncio.sleep(max(job.seconds, IDLE_TIME))
            grown = job.server_memory() - empty
    measured.operations = len(streams)
    measured.extra["kilobytes_each"] = grown / measured.operations / KILOBYTE
    measured.extra["idle_cpu_percent"] = 100 * measured.cost.server / measured.cost.wall
    return measured


@asynccontextmanager
async def _open(job: Job, clients: Team, count: int) -> AsyncIterator[list[Stream]]:
    turns = asyncio.Semaphore(AT_ONCE)

    async def opened(number: int) -> Stream:
        async with turns:
            return await Stream(job.url(number), clients).open()

    streams = list(await asyncio.gather(*map(opened, range(count))))
    try:
        yield streams
    finally:
        for stream in streams:
            stream.close()
