"""Checks what an application elsewhere answers, and sends it on to the browser.

An application waits until the socket has taken each message. It is told when the browser has left.
"""

from enum import Enum, auto
from typing import Any, Final

from starlette.types import Message, Send

from hypha_cluster.errors import BadRequest, SessionClosed
from hypha_cluster.features.webapps.inlet import Browser, Inlet
from hypha_cluster.features.webapps.values import as_bytes, as_headers, as_status
from hypha_cluster.protocol.guard import shown

_CODES: Final = (*range(1000, 1004), *range(1007, 1015))  # those of RFC 6455 that may be sent


def type_of(message: Any) -> str:
    kind = message.get("type") if isinstance(message, dict) else None
    if not isinstance(kind, str):
        raise BadRequest(f"A message of ASGI is a dict with a type, not {shown(message)}.")
    return kind


def response_start(message: Message, kind: str = "http.response.start") -> Message:
    return {
        "type": kind,
        "status": as_status(message.get("status")),
        "headers": as_headers(message.get("headers")),
    }


def response_body(message: Message, kind: str = "http.response.body") -> Message:
    body = as_bytes(message.get("body"), "'body' of an answer")
    return {"type": kind, "body": body, "more_body": bool(message.get("more_body"))}


class Progress(Enum):
    """How far what an application answers has come."""

    NONE = auto()  # somebody else may answer instead
    BEGUN = auto()  # its head was sent, or the WebSocket accepted
    DENIED = auto()  # the WebSocket was: what comes is the body of a response
    COMPLETE = auto()


class _Outlet:
    """The hub's side of what a browser has asked for."""

    def __init__(self, send: Send, inlet: Inlet) -> None:
        self._progress = Progress.NONE
        self._send = send
        self._inlet = inlet

    @property
    def has_begun(self) -> bool:
        """Whether nothing else can be answered instead."""
        return self._progress is not Progress.NONE

    @property
    def is_complete(self) -> bool:
        """Whether it has come to its end."""
        return self._progress is Progress.COMPLETE

    def _check_browser(self) -> None:
        if self._inlet.browser is not Browser.THERE and not self.is_complete:
            raise SessionClosed("The browser has left.")


class HttpOutlet(_Outlet):
    """The answer to a request."""

    def __init__(self, send: Send, inlet: Inlet) -> None:
        super().__init__(send, inlet)
        self._start: Message | None = None

    async def send(self, message: Any) -> None:
        """Take a message of the application's."""
        kind = type_of(message)
        self._check_browser()
        if kind == "http.response.start" and self._start is None:
            self._start = response_start(message)
        elif kind == "http.response.body" and self._start is not None and not self.is_complete:
            await self._send_body(self._start, response_body(message))
        else:
            raise BadRequest(f"{shown(kind)} is not to be sent now.")

    async def _send_body(self, start: Message, body: Message) -> None:
        if not self.has_begun:
            self._progress = Progress.BEGUN
            await self._send(start)
        await self._send(body)
        if not body["more_body"]:
            self._progress = Progress.COMPLETE

    def forget(self) -> None:
        """Let somebody else answer, as long as it has not begun."""
        self._start = None


class WebSocketOutlet(_Outlet):
    """The hub's side of a browser's WebSocket, which is complete when it is closed or denied."""

    async def send(self, message: Any) -> None:
        """Take a message of the application's."""
        kind = type_of(message)
        self._check_browser()
        if self.is_complete:
            raise BadRequest(f"{shown(kind)} is not to be sent now: the WebSocket is closed.")
        await self._send(self._checked(kind, message))

    def forget(self) -> None:
        """Let somebody else answer: nothing is kept of what has not begun."""

    async def end(self, code: int, reason: str) -> None:
        """Close it in the place of the application."""
        if self._progress in (Progress.NONE, Progress.BEGUN):
            self._progress = Progress.COMPLETE
            await self._send({"type": "websocket.close", "code": code, "reason": reason})

    def _checked(self, kind: str, message: Message) -> Message:
        if kind == "websocket.accept" and self._progress is Progress.NONE:
            self._progress = Progress.BEGUN
            return _accept(message)
        if kind == "websocket.send" and self._progress is Progress.BEGUN:
            return _frame(message)
        if kind == "websocket.close":
            self._progress = Progress.COMPLETE
            return _close(message)
        if kind == "websocket.http.response.start" and self._progress is Progress.NONE:
            self._progress = Progress.DENIED
            return response_start(message, kind)
        if kind == "websocket.http.response.body" and self._progress is Progress.DENIED:
            if not message.get("more_body"):
                self._progress = Progress.COMPLETE
            return response_body(message, kind)
        raise BadRequest(f"{shown(kind)} is not to be sent now.")


def _accept(message: Message) -> Message:
    subprotocol = message.get("subprotocol")
    if not isinstance(subprotocol, str | None):
        raise BadRequest(f"'subprotocol' is text, not {shown(subprotocol)}.")
    headers = as_headers(message.get("headers"))
    return {"type": "websocket.accept", "subprotocol": subprotocol, "headers": headers}


def _frame(message: Message) -> Message:
    text = message.get("text")
    if isinstance(text, str):
        return {"type": "websocket.send", "text": text}
    if message.get("bytes") is None:
        raise BadRequest("'websocket.send' has 'text', or 'bytes'.")
    content = as_bytes(message["bytes"], "'bytes' of a message")
    return {"type": "websocket.send", "bytes": content}


def _close(message: Message) -> Message:
    code = message.get("code", 1000)
    if type(code) is not int or not (code in _CODES or 3000 <= code < 5000):
        raise BadRequest(f"'code' of a close is a number such as 1000 or 4000, not {shown(code)}.")
    return {"type": "websocket.close", "code": code, "reason": str(message.get("reason") or "")}
