"""A web application of a published client: requests, large bodies both ways, and first bytes."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from benchmarks.load.http_caller import Caller
from benchmarks.load.job import Job, Measurement, Operation, repeat
from benchmarks.load.real import team

APP = "benchmark-app"
MEGABYTE = 1_000_000
MIB = 1_048_576
PIECE = 262_144
WARM = 16  # megabytes that go through before anything is measured
SETTLING = 0.5  # seconds in which all that was begun ends
LOOKING = 0.05  # seconds between two looks at the gateway's memory
Send = Callable[[dict[str, Any]], Awaitable[None]]


class App:
    """Answers `1`; gives or takes as many megabytes as the query says; or drips one byte a time.

    sent: when it has sent the last drop.
    """

    def __init__(self) -> None:
        self.sent = 0.0

    async def serve(self, interface: dict[str, Any]) -> None:
        scope, send = interface["scope"], interface["send"]
        pages = {"/take": self._take, "/give": self._give, "/drip": self._drip}
        await pages.get(scope["path"], self._answer)(scope, interface["receive"], send)

    async def _answer(self, scope: Any, receive: Any, send: Send) -> None:
        await self._start(send, 1)
        await send({"type": "http.response.body", "body": b"1"})

    async def _give(self, scope: Any, receive: Any, send: Send) -> None:
        left = int(scope["query_string"]) * MEGABYTE
        await self._start(send, left)
        while left > 0:
            piece = bytes(min(PIECE, left))
            left -= len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": left > 0})

    async def _take(self, scope: Any, receive: Any, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await self._answer(scope, receive, send)

    async def _drip(self, scope: Any, receive: Any, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(int(scope["query_string"])):
            await asyncio.sleep(0.005)
            self.sent = time.perf_counter()
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _start(self, send: Send, size: int) -> None:
        headers = [[b"content-length", b"%d" % size]]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


@asynccontextmanager
async def site(job: Job) -> AsyncIterator[tuple[App, str]]:
    """An application on the last node, and its path."""
    async with team(job) as clients:
        app = App()
        provider = await clients.join(len(job.urls) - 1)
        config = {"visibility": "public"}
        await provider.register_service(
            {"id": APP, "type": "ASGI", "config": config, "serve": app.serve}
        )
        yield app, f"/{clients.founder.config['workspace']}/apps/{APP}"
        # A client that disconnects while `serve` is at work connects anew to say so, for ever.
        await asyncio.sleep(SETTLING)


async def get(job: Job) -> Measurement:
    """The same small answer again and again, by `callers` connections to the first node."""
    async with site(job) as (_, path):
        callers = [
            await Caller(job.url(0), f"{path}/", "GET").connect()
            for _ in range(job.option("callers", 1))
        ]
        operations: list[Operation] = [partial(caller.request) for caller in callers]
        try:
            return await repeat(operations, job)
        finally:
            for caller in callers:
                caller.close()


async def bulk(job: Job) -> Measurement:
    """`megabytes` down, or up with `up`, once; what the gateways' memory grew by meanwhile."""
    megabytes = job.option("megabytes")
    way = _up if job.option("up") else _down
    async with site(job) as (_, path):
        await way(job.url(0), path, WARM)
        measured, before = Measurement(), job.server_memory()
        looking = asyncio.create_task(_most_memory(job))
        with measured.metered(job):
            await way(job.url(0), path, megabytes)
            measured.operations += 1
        looking.cancel()
        most = max(await looking, job.server_memory())
    measured.extra["ms_per_megabyte"] = measured.cost.server * 1000 / megabytes
    measured.extra["megabytes_per_second"] = megabytes / measured.cost.wall
    measured.extra["grown_mib"] = (most - before) / MIB
    return measured


async def first_byte(job: Job) -> Measurement:
    """From when the application sends one byte until it is here, while nothing else goes on."""
    count = max(1, int(job.seconds * 100))
    async with site(job) as (app, path):
        reader, writer = await _request(job.url(0), f"GET {path}/drip?{count}", b"")
        measured = Measurement()
        await reader.readuntil(b"\r\n\r\n")
        with measured.metered(job):
            for _ in range(count):
                await reader.readuntil(b"x\r\n")
                measured.add(app.sent)
        await reader.readuntil(b"0\r\n\r\n")
        writer.close()
    return measured


async def _most_memory(job: Job) -> int:
    most = 0
    with suppress(asyncio.CancelledError):
        while True:
            most = max(most, job.server_memory())
            await asyncio.sleep(LOOKING)
    return most


async def _request(
    url: str, line: str, headers: bytes
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(f"{line} HTTP/1.1\r\nHost: {place.netloc}\r\n".encode() + headers + b"\r\n")
    return reader, writer


async def _down(url: str, path: str, megabytes: int) -> None:
    reader, writer = await _request(url, f"GET {path}/give?{megabytes}", b"")
    head, size = await reader.readuntil(b"\r\n\r\n"), 0
    while size < megabytes * MEGABYTE and (part := await reader.read(PIECE)):
        size += len(part)
    writer.close()
    if size != megabytes * MEGABYTE:
        raise RuntimeError(f"{size} bytes came: {head.decode()}")


async def _up(url: str, path: str, megabytes: int) -> None:
    left = megabytes * MEGABYTE
    length = f"Content-Length: {left}\r\n".encode()
    reader, writer = await _request(url, f"POST {path}/take", length)
    while left > 0:
        piece = bytes(min(PIECE, left))
        left -= len(piece)
        writer.write(piece)
        await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    if b" 200 " not in head.partition(b"\r\n")[0]:
        raise RuntimeError(head.decode())
