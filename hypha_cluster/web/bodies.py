"""The bodies of requests: read whole, inflated, and bounded in time and memory."""

import asyncio
import zlib
from types import TracebackType
from typing import NamedTuple, Self

from starlette.requests import Request

from hypha_cluster.errors import BadRequest, Overloaded, TooLarge, TooSlow, UnsupportedMediaType
from hypha_cluster.protocol.guard import shown
from hypha_cluster.protocol.limits import (
    BODY_PACE,
    BODY_PATIENCE,
    INFLATED_AT_ONCE,
    INFLATION,
    LARGE_BODIES,
    SMALL_BODY,
)
from hypha_cluster.web.headers import header


class Room:
    """The memory that all large bodies together may take."""

    def __init__(self, size: int = LARGE_BODIES) -> None:
        self._size = size
        self.taken = 0

    def lease(self) -> "Lease":
        return Lease(self)

    def change(self, before: int, after: int) -> None:
        """Give a body more or less room; one that is alone may have any size."""
        others = self.taken - before
        if after > before and others and others + after > self._size:
            raise Overloaded("Too many large requests are in work; try again in a moment.")
        self.taken = others + after


class Bodies(NamedTuple):
    """The room for bodies, and how many bytes each may have."""

    room: Room
    largest: int


class Lease:
    """The room of one body, until the block ends."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._size = 0

    def need(self, size: int) -> None:
        """Have room for so many bytes; Overloaded when there is none. A small body needs none."""
        if size > SMALL_BODY and size > self._size:
            self._room.change(self._size, size)
            self._size = size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._size:
            self._room.change(self._size, 0)


async def read_body(request: Request, lease: Lease, max_size: int) -> bytes | bytearray:
    """The whole body as it was before it was compressed; max_size: bytes of it."""
    encoding = header(request, b"content-encoding").strip().lower()
    if encoding not in ("gzip", "identity", ""):
        raise UnsupportedMediaType(f"A request body is plain or gzip, not {shown(encoding)}.")
    announced = header(request, b"content-length")
    if announced.isdecimal():
        _check_size(int(announced), max_size)
    body = await _receive(request, lease, max_size)
    return await _inflated(body, lease, max_size) if encoding == "gzip" else body


async def _receive(request: Request, lease: Lease, max_size: int) -> bytes | bytearray:
    part, more = await _part(request)
    if not more:
        _check_size(len(part), max_size)
        lease.need(len(part))
        return part
    body = bytearray(part)
    began = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(BODY_PATIENCE) as deadline:
            while more:
                part, more = await _part(request)
                body += part
                _check_size(len(body), max_size)
                lease.need(len(body))
                deadline.reschedule(began + BODY_PATIENCE + len(body) / BODY_PACE)
    except TimeoutError:
        raise too_slow() from None
    return body


def too_slow() -> TooSlow:
    return TooSlow(
        f"The request body has {BODY_PATIENCE:g} seconds to come, and a second more for each "
        f"{BODY_PACE} bytes."
    )


async def _part(request: Request) -> tuple[bytes, bool]:
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise BadRequest("The request body ended before it was complete.")
    return message.get("body", b""), message.get("more_body", False)


def _check_size(size: int, max_size: int) -> None:
    if size > max_size:
        raise TooLarge(f"A request body has at most {max_size} bytes.")


async def _inflated(body: bytes | bytearray, lease: Lease, max_size: int) -> bytes | bytearray:
    """Inflate step by step, with room for what there is so far; others have turns in between."""
    limit = min(max_size, max(SMALL_BODY, INFLATION * len(body)))
    inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    inflated = bytearray(step := _step(inflater, body))
    _check_inflated(len(inflated), limit, len(body))
    # There may be more, even if all that was sent has been taken.
    while len(step) == INFLATED_AT_ONCE:
        lease.need(len(body) + len(inflated) + INFLATED_AT_ONCE)
        inflated += (step := await asyncio.to_thread(_step, inflater, inflater.unconsumed_tail))
        _check_inflated(len(inflated), limit, len(body))
    if not inflater.eof or inflater.unused_data:
        raise BadRequest("The request body is not valid gzip: it ends early, or goes on.")
    return inflated


def _step(inflater: "zlib._Decompress", data: bytes | bytearray) -> bytes:
    try:
        return inflater.decompress(data, INFLATED_AT_ONCE)
    except zlib.error as error:
        raise BadRequest(f"The request body is not valid gzip: {error}.") from None


def _check_inflated(size: int, limit: int, sent: int) -> None:
    if size > limit:
        raise TooLarge(
            f"A compressed request body of {sent} bytes has at most {limit} when it is inflated; "
            "send it as it is."
        )
