"""Answers over HTTP; what is long is written in pieces, between which others have their turn."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from hypha_cluster.errors import NotAcceptable
from hypha_cluster.web.arguments import MSGPACK
from hypha_cluster.web.headers import header, media_type
from hypha_cluster.web.writing import Described, Form, Json, Packed, is_long, shown, write

_PIECE: Final = 65_536  # bytes that are sent at once
_JSON: Final = Json()
_DESCRIBED: Final = Described()
_TURN: Final = 100  # steps after which others have their turn


async def answer(request: Request, value: Any, *, describe: bool = False) -> Response:
    """Write a value in the form that was asked for, functions by their names.

    describe: for people to look at, so that what JSON cannot carry is described as well.
    """
    packed = MSGPACK in header(request, b"accept") or media_type(request) == MSGPACK
    form: Form = Packed() if packed else _DESCRIBED if describe else _JSON
    try:
        if is_long(value):
            return await _in_pieces(value, form)
        return Response(form.whole(shown(value, form)), media_type=form.media_type)
    except (TypeError, ValueError):
        raise NotAcceptable(
            f"The result has values that JSON cannot carry; ask with 'Accept: {MSGPACK}'."
        ) from None


def error_response(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"success": False, "detail": text}, status, headers)


async def _in_pieces(value: Any, form: Form) -> Response:
    """Written to its end before it is sent: only then it is sure that JSON can carry it."""
    pieces, piece = [], bytearray()
    for number, written in enumerate(write(value, form)):
        piece += written
        if len(piece) >= _PIECE:
            pieces.append(bytes(piece))
            piece.clear()
        if not piece or number % _TURN == 0:
            await asyncio.sleep(0)
    return _Pieces([*pieces, bytes(piece)], form.media_type)


class _Pieces(Response):
    """A long answer, sent piece by piece; it may be compressed on its way."""

    def __init__(self, pieces: list[bytes], media_type: str) -> None:
        super().__init__(media_type=media_type)
        self._pieces = pieces
        self.headers["content-length"] = str(sum(map(len, pieces)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
        )
        for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b""})
