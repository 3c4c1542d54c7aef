"""Bounds what answers keep in memory that their readers have not taken yet."""

import contextlib
from collections.abc import Iterator
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from hypha_cluster.errors import Overloaded
from hypha_cluster.protocol.limits import LONG_ANSWER, LONG_ANSWERS
from hypha_cluster.protocol.room import Room

_ROOM: Final = "hypha.room_for_answers"  # in the scope of a request


class HoldAnswers:
    """Gives requests the room that long answers have; `holding` takes of it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._room = Room(LONG_ANSWERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[_ROOM] = self._room
        await self._app(scope, receive, send)


@contextlib.contextmanager
def holding(scope: Scope, size: int) -> Iterator[None]:
    """Have room for an answer of so many bytes, until it is sent; Overloaded if there is none."""
    room: Room | None = scope.get(_ROOM)
    if room is None or size <= LONG_ANSWER:
        yield
        return
    client: Any = scope.get("client")
    address = client[0] if client else ""
    if not room.has(address, size):
        raise Overloaded("Too many long answers are on their way to you; read those first.")
    room.take(address, size)
    try:
        yield
    finally:
        room.take(address, -size)
