"""Results that come bit by bit, sent on as they come: each item is asked for when the last is sent.

An error before the first item has a status of its own; a later one breaks the answer off, so that
nobody takes it for whole.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hypha_cluster.errors import HubError, NotAcceptable
from hypha_cluster.web.answers import OCTETS, as_octets, error_response, written
from hypha_cluster.web.arguments import MSGPACK
from hypha_cluster.web.headers import header
from hypha_cluster.web.middleware.compression import as_it_is
from hypha_cluster.web.writing import Form, Json, Packed

_log = logging.getLogger(__name__)

LINES: Final = "application/x-ndjson"
EVENTS: Final = "text/event-stream"
TEXT: Final = "text/plain; charset=utf-8"
_JSON: Final = Json()
_END: Final = object()

Held = Callable[[], contextlib.AbstractAsyncContextManager[None]]


async def answer_stream(
    request: Request, items: AsyncGenerator[Any], held: Held, *, is_file: bool
) -> Response:
    """Send items in the form that was asked for; by default each one as a line of JSON.

    held: a context that breaks the stream off when whoever asks may have it no longer. is_file:
    the items are pieces of one content, which is sent as it is.
    """
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(items.aclose)
        first = await anext(items, _END)
        writer = _writer_for(header(request, b"accept"), first, is_file=is_file)
        start = [] if first is _END else await writer.write(first)
        stack.pop_all()  # the answer closes the stack
    return _Stream(start, items, writer, held)


class _Writer:
    """Writes items, each as JSON on a line of its own, or one after the other as msgpack."""

    def __init__(
        self, media_type: str, form: Form, before: bytes = b"", after: bytes = b""
    ) -> None:
        self.media_type = media_type
        self._form = form
        self._before, self._after = before, after

    async def write(self, item: Any) -> list[bytes]:
        try:
            pieces = await written(item, self._form)
        except (TypeError, ValueError):
            raise NotAcceptable(
                f"An item has values that JSON cannot carry; ask with 'Accept: {MSGPACK}'."
            ) from None
        return [self._before, *pieces, self._after] if self._after else pieces

    def failed(self, error: HubError) -> bytes | None:
        """An error as it is told in the middle of a stream; None if this form cannot tell it."""
        return None


class _Events(_Writer):
    """Writes events, as EventSource reads them."""

    def __init__(self) -> None:
        super().__init__(EVENTS, _JSON, b"data: ", b"\n\n")

    def failed(self, error: HubError) -> bytes | None:
        return b"event: error\ndata: %b\n\n" % bytes(error_response(error.status, str(error)).body)


class _Octets(_Writer):
    """Writes bytes and texts as they are."""

    async def write(self, item: Any) -> list[bytes]:
        octets = item.encode() if isinstance(item, str) else as_octets(item)
        if octets is None:
            raise NotAcceptable("An item is neither bytes nor text; ask for another form.")
        return [octets]


def _writer_for(accept: str, first: Any, *, is_file: bool) -> _Writer:
    if EVENTS in accept and not is_file:
        return _Events()
    if MSGPACK in accept:
        return _Writer(MSGPACK, Packed())
    if is_file and isinstance(first, str) and OCTETS not in accept:
        return _Octets(TEXT, _JSON)
    if is_file or OCTETS in accept or as_octets(first) is not None:
        return _Octets(OCTETS, _JSON)
    return _Writer(LINES, _JSON, b"", b"\n")


class _Stream(Response):
    """An answer of unknown length; it ends early when whoever asked for it leaves."""

    def __init__(
        self, start: list[bytes], items: AsyncGenerator[Any], writer: _Writer, held: Held
    ) -> None:
        super().__init__(media_type=writer.media_type)
        del self.headers["content-length"]
        self.headers["cache-control"] = "no-store"
        self.headers["x-accel-buffering"] = "no"  # nginx would hold it back
        self._start = start
        self._items = items
        self._writer = writer
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(self._send(as_it_is(scope, send)))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.wait((sending, leaving))

    async def _send(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code}
        await send({**start, "headers": self.raw_headers})
        try:
            async with self._held(), contextlib.aclosing(self._items):
                await self._send_pieces(send, self._start)
                async for item in self._items:
                    await self._send_pieces(send, await self._writer.write(item))
        except HubError as error:
            _log.info("A stream breaks off: %s", error)
            told = self._writer.failed(error)
            if told is None:
                return  # so the server cuts it short
            await self._send_pieces(send, [told])
        await send({"type": "http.response.body", "body": b""})

    async def _send_pieces(self, send: Send, pieces: list[bytes]) -> None:
        for piece in filter(None, pieces):
            await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _left(receive: Receive) -> None:
    """Wait until whoever has asked leaves."""
    while (await receive())["type"] != "http.disconnect":
        pass
