"""Answers over HTTP; a long one is written in pieces, between which others have their turn."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from hypha_cluster.errors import NotAcceptable
from hypha_cluster.protocol.limits import ANSWER_PIECE, ANSWER_TURN, LONG_ANSWER
from hypha_cluster.web.arguments import MSGPACK
from hypha_cluster.web.headers import JSON, header, media_type
from hypha_cluster.web.middleware.holding import holding
from hypha_cluster.web.writing import Described, Form, Json, Packed, is_long, shown, write

# JSON for people, in which what JSON cannot carry is described; programs may ask for it too.
DESCRIBED: Final = f"{JSON}; profile=described"
OCTETS: Final = "application/octet-stream"
_JSON: Final = Json()
_DESCRIBED: Final = Described()
_BINARY: Final = ("memoryview", "typedarray", "ndarray")  # types with their bytes in `_rvalue`


async def answer(request: Request, value: Any, *, describe: bool = False) -> Response:
    """Write a value in the form that was asked for; functions are written as their names.

    describe: for people to look at: what JSON cannot carry is described instead.
    """
    accept = header(request, b"accept")
    if OCTETS in accept:
        octets = as_octets(value)
        if octets is not None or accept.strip() == OCTETS:
            return _raw(octets)
    packed = MSGPACK in accept or media_type(request) == MSGPACK
    form: Form = Packed() if packed else _DESCRIBED if describe or DESCRIBED in accept else _JSON
    try:
        if is_long(value):
            return await _in_pieces(value, form)
        return _whole(form.whole(shown(value, form)), form.media_type)
    except (TypeError, ValueError):
        raise NotAcceptable(
            f"The result has values that JSON cannot carry; ask with 'Accept: {MSGPACK}', or with "
            f"'Accept: {OCTETS}' for bytes alone."
        ) from None


def as_octets(value: Any) -> bytes | None:
    """The bytes of a value that is nothing but bytes, in any form that clients send; else None."""
    if isinstance(value, dict) and value.get("_rtype") in _BINARY:
        value = value.get("_rvalue")
    return value if isinstance(value, bytes) else None


def _raw(octets: bytes | None) -> Response:
    if octets is None:
        raise NotAcceptable(f"The result is not bytes; ask with 'Accept: {JSON}'.")
    return _whole(octets, OCTETS)


def _whole(body: bytes, media_type: str) -> Response:
    return (Response if len(body) <= LONG_ANSWER else _Held)(body, media_type=media_type)


def error_response(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"success": False, "detail": text}, status, headers)


async def _in_pieces(value: Any, form: Form) -> Response:
    """Write a value to its end before it is sent: only then is it sure that JSON can carry it."""
    return _Pieces(await written(value, form), form.media_type)


async def written(value: Any, form: Form) -> list[bytes]:
    """A value of any size in pieces; TypeError or ValueError if the form cannot carry it."""
    if not is_long(value):
        return [form.whole(shown(value, form))]
    pieces, piece = [], bytearray()
    for number, written in enumerate(write(value, form)):
        piece += written
        if len(piece) >= ANSWER_PIECE:
            pieces.append(bytes(piece))
            piece.clear()
        if not piece or number % ANSWER_TURN == 0:
            await asyncio.sleep(0)
    return [*pieces, bytes(piece)]


class _Held(Response):
    """A long answer that is sent at once."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with holding(scope, len(self.body)):
            await super().__call__(scope, receive, send)


class _Pieces(Response):
    """A long answer, sent piece by piece; it may be compressed on its way."""

    def __init__(self, pieces: list[bytes], media_type: str) -> None:
        super().__init__(media_type=media_type)
        self._pieces = pieces
        self._size = sum(map(len, pieces))
        self.headers["content-length"] = str(self._size)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with holding(scope, self._size):
            await self._send(send)

    async def _send(self, send: Send) -> None:
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
