"""Functions of a service called over HTTP, by connections that are kept open."""

import asyncio
from functools import partial
from urllib.parse import urlsplit

from benchmarks.load.job import Job, Measurement, Operation, repeat
from benchmarks.load.real import SERVICE, provide, team

BODY = b'{"value": 1}'


class Caller:
    """One HTTP/1.1 connection that sends one request again and again."""

    def __init__(self, url: str, path: str, method: str) -> None:
        self._place = urlsplit(url)
        body = BODY if method == "POST" else b""
        query = "" if body else "?value=1"
        lines = [
            f"{method} {self._place.path}{path}{query} HTTP/1.1",
            f"Host: {self._place.netloc}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        ]
        self._request = "\r\n".join([*lines, "\r\n"]).encode() + body

    async def connect(self) -> "Caller":
        self._reader, self._writer = await asyncio.open_connection(
            self._place.hostname, self._place.port
        )
        return self

    async def request(self) -> None:
        self._writer.write(self._request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        body = await self._reader.readexactly(_content_length(head))
        if b" 200 " not in head.partition(b"\r\n")[0] or body.strip() != b"1":
            raise RuntimeError(f"{head.decode()}{body.decode(errors='replace')}")

    def close(self) -> None:
        self._writer.close()


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    raise RuntimeError(f"no length: {head.decode()}")


async def call(job: Job) -> Measurement:
    """`callers` connections to the first node; the provider is on the last."""
    async with team(job) as clients:
        await provide(await clients.join(len(job.urls) - 1))
        path = f"/{clients.founder.config['workspace']}/services/{SERVICE}/echo"
        method = "POST" if job.option("post") else "GET"
        callers = [
            await Caller(job.url(0), path, method).connect()
            for _ in range(job.option("callers", 1))
        ]
        operations: list[Operation] = [partial(caller.request) for caller in callers]
        try:
            return await repeat(operations, job)
        finally:
            for caller in callers:
                caller.close()
