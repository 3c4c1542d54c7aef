"""What is fetched of an issuer, and within which bounds; its server is a real one."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from hypha_cluster.identity import fetching
from hypha_cluster.identity.fetching import Fetcher, FetchFailed, NoDocument

Parts = AsyncIterator[bytes]
Serve = Callable[[str, bytes], Parts]


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


@asynccontextmanager
async def served(serve: Serve) -> AsyncIterator[str]:
    """A server on this machine that answers with what `serve(path, body)` makes, bit by bit."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
        body = await reader.readexactly(int(length or 0))
        try:
            async for part in serve(head.split()[1].decode(), body):
                writer.write(part)
                await writer.drain()
        except ConnectionError:
            pass  # the fetcher has had enough
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with AsyncExitStack() as stack:
        stack.callback(server.close)
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    async with Fetcher(secure=False) as fetcher:
        yield fetcher


async def test_a_json_object_is_fetched(fetcher: Fetcher) -> None:
    async def serve(path: str, body: bytes) -> Parts:
        yield answer(json.dumps({"path": path}).encode())

    async with served(serve) as url:
        assert await fetcher.get(f"{url}/keys") == {"path": "/keys"}


async def test_a_form_is_sent_in_the_body(fetcher: Fetcher) -> None:
    async def serve(path: str, body: bytes) -> Parts:
        yield answer(json.dumps({"path": path, "body": body.decode()}).encode())

    async with served(serve) as url:
        said = await fetcher.post(f"{url}/token", {"code": "a b"}, {})

    assert said == {"path": "/token", "body": "code=a+b"}


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"[]", "200 OK"), (b"no", "200 OK"), (b"[" * 9_999, "200 OK"), (b"{}", "404 Not Found")],
)
async def test_anything_else_is_no_document(fetcher: Fetcher, body: bytes, status: str) -> None:
    async def serve(*_: object) -> Parts:
        yield answer(body, status)

    async with served(serve) as url:
        with pytest.raises(NoDocument):
            await fetcher.get(url)


async def test_what_is_packed_is_not_unpacked(fetcher: Fetcher) -> None:
    async def serve(*_: object) -> Parts:
        packed = gzip.compress(json.dumps({"a": "x" * 10_000_000}).encode())
        yield answer(packed, "200 OK", "Content-Encoding: gzip")

    async with served(serve) as url:
        with pytest.raises(NoDocument):
            await fetcher.get(url)


@pytest.mark.parametrize("status", ["200 OK", "302 Found"])
async def test_an_answer_that_does_not_end_is_cut_short(
    fetcher: Fetcher, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "ANSWER_TIME", 0.3)
    taken = 0

    async def serve(*_: object) -> Parts:
        nonlocal taken
        yield f"HTTP/1.1 {status}\r\nLocation: /\r\n\r\n".encode()
        while True:
            taken += 10
            yield b" " * 10
            await asyncio.sleep(0.02)

    async with served(serve) as url:
        with pytest.raises(FetchFailed, match="takes more than 0.3 s|redirect too many"):
            await fetcher.get(url)

    assert taken < 10_000


async def test_an_answer_that_is_too_long_is_cut_short(fetcher: Fetcher) -> None:
    async def serve(*_: object) -> Parts:
        yield b"HTTP/1.1 200 OK\r\n\r\n"
        while True:
            yield b" " * 65_536

    async with served(serve) as url:
        with pytest.raises(FetchFailed, match="more than 262144 bytes"):
            await fetcher.get(url)


async def test_redirects_come_to_an_end(fetcher: Fetcher) -> None:
    asked = []

    async def serve(path: str, _: bytes) -> Parts:
        asked.append(path)
        yield answer(b"", "302 Found", f"Location: {path}x")

    async with served(serve) as url:
        with pytest.raises(FetchFailed, match="redirect too many"):
            await fetcher.get(f"{url}/")

    assert asked == ["/", "/x", "/xx", "/xxx", "/xxxx", "/xxxxx"]


@pytest.mark.parametrize(
    "location", ["http://issuer.example.org/", "file:///etc/passwd", "ftp://127.0.0.1/", "//x"]
)
async def test_redirects_lead_to_nothing_that_could_not_be_asked_for(
    fetcher: Fetcher, location: str
) -> None:
    async def serve(*_: object) -> Parts:
        yield answer(b"", "302 Found", f"Location: {location}")

    async with served(serve) as url:
        with pytest.raises(FetchFailed, match="does not begin with https://"):
            await fetcher.get(url)


async def test_a_form_is_sent_nowhere_else(fetcher: Fetcher) -> None:
    asked = []

    async def serve(path: str, _: bytes) -> Parts:
        asked.append(path)
        yield answer(b"", "307 Temporary Redirect", "Location: /elsewhere")

    async with served(serve) as url:
        with pytest.raises(FetchFailed):
            await fetcher.post(f"{url}/token", {"code": "secret"}, {})

    assert asked == ["/token"]


async def test_who_is_not_there_fails_at_once(fetcher: Fetcher) -> None:
    with pytest.raises(FetchFailed, match="cannot be reached"):
        await fetcher.get("http://127.0.0.1:1/")


async def test_a_secure_issuer_is_asked_by_https_only() -> None:
    async with Fetcher(secure=True) as fetcher:
        for url in ("http://127.0.0.1:1/", "http://localhost/", "file:///etc/passwd"):
            with pytest.raises(FetchFailed, match="does not begin with https://"):
                await fetcher.get(url)
            with pytest.raises(FetchFailed, match="does not begin with https://"):
                await fetcher.post(url, {}, {})
