"""Hands a browser's request to an application elsewhere, piece by piece, at its pace."""

import asyncio
from collections.abc import Iterator
from enum import Enum, auto
from typing import Final

from starlette.types import Message, Receive

from hypha_cluster.protocol.limits import BODY_PACE, BODY_PATIENCE, STREAM_PIECE
from hypha_cluster.supervision import Supervisor, Tasks

SLOW: Final = 0.1  # seconds for an answer; whoever takes longer hears when the browser leaves
_DISCONNECTS: Final = ("http.disconnect", "websocket.disconnect")


class Browser(Enum):
    """What is known of whoever has asked."""

    THERE = auto()
    TOO_SLOW = auto()  # its body does not come: it is taken to have left
    LEFT = auto()  # or the gateway stops, which is the same for whoever would read on


class Inlet:
    """Holds one piece until the application asks for it; behind that, nothing more is read."""

    def __init__(self, receive: Receive) -> None:
        self.browser = Browser.THERE
        self._receive = receive
        self._patience: float | None = BODY_PATIENCE  # seconds; None when all of a body is there
        self._inbox: asyncio.Queue[Message] = asyncio.Queue(1)
        self._first: Message | None = None
        self._many = 0  # pieces that were taken
        self._repeated: Message | None = None

    async def read(self) -> None:
        """Take what comes until the browser leaves, or sends its body too slowly."""
        try:
            while (message := await self._next())["type"] not in _DISCONNECTS:
                for piece in pieces(message):
                    await self._inbox.put(piece)
        except TimeoutError:
            self._end(Browser.TOO_SLOW, {"type": "http.disconnect"})
            return
        self.browser = Browser.LEFT
        await self._inbox.put(message)

    async def _next(self) -> Message:
        """The next message; only the time in which it waits for the browser counts."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.timeout(self._patience):
            message = await self._receive()
        if self._patience is not None:
            self._patience += len(message.get("body", b"")) / BODY_PACE - (loop.time() - began)
        if not message.get("more_body"):  # nothing more of the body has to come
            self._patience = None
        return message

    async def receive(self) -> Message:
        """The next piece, or that the browser has left, however often that is asked for."""
        if self._repeated is not None:
            message, self._repeated = self._repeated, None
            return message
        message = await self._inbox.get()
        self._many += 1
        if message["type"] in _DISCONNECTS:
            self._inbox.put_nowait(message)
        elif self._many == 1:
            self._first = message
        return message

    def end(self, message: Message) -> None:
        """Stop whoever reads on: this message tells the application."""
        self._end(Browser.LEFT, message)

    def _end(self, browser: Browser, message: Message) -> None:
        self.browser = browser
        while not self._inbox.empty():
            self._inbox.get_nowait()
        self._inbox.put_nowait(message)

    @property
    def is_whole(self) -> bool:
        """Whether all that was taken is kept, so that another provider can read it."""
        return self._many <= 1 and not (self._first and self._first.get("more_body"))

    def rewind(self) -> None:
        """Begin once more with what was taken first."""
        self._repeated = self._first


def pieces(message: Message) -> Iterator[Message]:
    """A part of a body in parts that are not too large for one frame; other messages as they are.

    A browser's message over a WebSocket stays whole.
    """
    body: bytes = message.get("body", b"")
    if message["type"] != "http.request" or len(body) <= STREAM_PIECE:
        yield message
        return
    for start in range(0, len(body), STREAM_PIECE):
        more = message.get("more_body", False) or start + STREAM_PIECE < len(body)
        part = body[start : start + STREAM_PIECE]
        yield {"type": "http.request", "body": part, "more_body": more}


class Reading:
    """Begins to read only when somebody asks: many applications answer without reading."""

    def __init__(self, inlet: Inlet, supervisor: Supervisor) -> None:
        self._inlet = inlet
        self._tasks = Tasks(supervisor)
        self._has_begun = False
        self._timer = asyncio.get_running_loop().call_later(SLOW, self.begin)

    def begin(self) -> None:
        """Somebody wants to know what comes, or whether the browser has left."""
        if not self._has_begun:
            self._has_begun = True
            self._timer.cancel()
            self._tasks.spawn("read a request", self._inlet.read())

    async def stop(self) -> None:
        self._timer.cancel()
        if self._has_begun:
            await self._tasks.stop()
