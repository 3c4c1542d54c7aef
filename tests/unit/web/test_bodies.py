"""Bodies of requests: whole, inflated, and not more than there is room for."""

import asyncio
import gzip
from collections.abc import Iterable

import pytest
from starlette.requests import Request
from starlette.types import Message

from hypha_cluster.errors import BadRequest, Overloaded, TooLarge, TooSlow, UnsupportedMediaType
from hypha_cluster.protocol.limits import INFLATION, SMALL_BODY
from hypha_cluster.web import bodies
from hypha_cluster.web.bodies import Room, read_body

LIMIT = 64 * SMALL_BODY
GZIPPED = gzip.compress(b"x", mtime=0)  # the names of tests hold it


def request(parts: Iterable[bytes | None], **headers: str) -> Request:
    """A request whose body comes in parts; None: who asks goes away instead."""
    left = list(parts)

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()
        part = left.pop(0)
        if part is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part, "more_body": bool(left) or part == b"..."}

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": named}, receive)


async def read(
    *parts: bytes | None, room: Room | None = None, limit: int = LIMIT, **headers: str
) -> bytes:
    with (room or Room()).lease() as lease:
        return bytes(await read_body(request(parts, **headers), lease, limit))


async def test_a_body_is_put_together() -> None:
    assert await read(b"a") == b"a"
    assert await read(b"a", b"", b"bc") == b"abc"
    assert await read(b"") == b""


async def test_a_body_is_inflated() -> None:
    lines = "".join(f"line {number} of many\n" for number in range(200_000)).encode()
    exactly = lines[: 2 * SMALL_BODY]
    for plain in (b"", b"text", lines, exactly, exactly + b"x", exactly[:-1]):
        packed = gzip.compress(plain)
        assert await read(packed[:5], packed[5:], content_encoding="gzip") == plain


@pytest.mark.parametrize("parts", [(b"a", None), (None,), (b"a", b"b", None)])
async def test_who_goes_away_has_no_body(parts: tuple[bytes | None, ...]) -> None:
    with pytest.raises(BadRequest, match="complete"):
        await read(*parts)


async def test_a_body_has_at_most_so_many_bytes() -> None:
    assert len(await read(bytes(60), bytes(40), limit=100)) == 100
    for parts in ((bytes(101),), (bytes(60), bytes(41))):
        with pytest.raises(TooLarge, match="at most 100 bytes"):
            await read(*parts, limit=100)
    with pytest.raises(TooLarge, match="at most 100 bytes"):  # before any of it was read
        await read(content_length="101", limit=100)
    with pytest.raises(TooLarge, match="at most 100 when it is inflated"):
        await read(gzip.compress(bytes(101)), content_encoding="gzip", limit=100)


async def test_a_body_grows_no_more_than_text_does() -> None:
    packed = gzip.compress(bytes(32 * SMALL_BODY))
    assert INFLATION * len(packed) < 32 * SMALL_BODY < LIMIT
    room = Room()

    with pytest.raises(TooLarge, match="send it as it is"):
        await read(packed, room=room, content_encoding="gzip")
    assert room.taken == 0


@pytest.mark.parametrize("packed", [b"", b"no gzip", GZIPPED[:-1], GZIPPED + b"x"])
async def test_what_is_no_gzip_is_refused(packed: bytes) -> None:
    with pytest.raises(BadRequest, match="gzip"):
        await read(packed, content_encoding="gzip")


async def test_another_encoding_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType, match="'br'"):
        await read(b"x", content_encoding="br")


async def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_PATIENCE", 0.01)
    room = Room()

    with pytest.raises(TooSlow, match="seconds to come"):
        await read(b"a", b"...", room=room)
    assert room.taken == 0


async def test_large_bodies_share_one_room() -> None:
    room = Room(10 * SMALL_BODY)
    with room.lease() as first, room.lease() as second, room.lease() as small:
        first.need(6 * SMALL_BODY)
        with pytest.raises(Overloaded, match="try again"):
            second.need(5 * SMALL_BODY)
        second.need(4 * SMALL_BODY)
        small.need(SMALL_BODY)

        assert room.taken == 10 * SMALL_BODY
    assert room.taken == 0


async def test_a_body_that_is_alone_may_be_larger_than_the_room() -> None:
    room = Room(SMALL_BODY)

    assert len(await read(*[bytes(SMALL_BODY)] * 3, room=room)) == 3 * SMALL_BODY
    assert room.taken == 0
