"""Every request has an id, by which its answer and what is logged of it can be found."""

import logging
import re
import time
import urllib.parse
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hypha_cluster import log_fields
from hypha_cluster.web.headers import header_of

HEADER: Final = "X-Request-ID"
_HEADER: Final = HEADER.lower().encode()
# The secret in the addresses of server apps: whoever has it gets their files.
_TICKET: Final = re.compile(r"/~[^/]+")
_STARTS: Final = (*("http.response.start", "websocket.accept", "websocket.http.response.start"),)

_log = logging.getLogger(__name__)


class RequestIds:
    """Takes the id that a request came with, or makes one, and returns it with the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = log_fields.good_request_id(header_of(scope, _HEADER))
        # Never reset: what fails further out is logged in the same task.
        log_fields.request_id.set(request_id)
        is_told = _log.isEnabledFor(logging.DEBUG)
        began = time.monotonic() if is_told else 0.0

        async def sending(message: Message) -> None:
            if message["type"] in _STARTS:
                named = (_HEADER, request_id.encode("ascii"))
                message["headers"] = [*message.get("headers", ()), named]
            if is_told and message["type"] == "http.response.start":
                _tell(scope, message, time.monotonic() - began)
            await send(message)

        await self._app(scope, receive, sending)


def path_told(scope: Scope) -> str:
    """The path of a request without its secrets; not the query, which may hold a token."""
    return _TICKET.sub("/~***", urllib.parse.quote(scope.get("path", "")))


def _tell(scope: Scope, answer: Message, seconds: float) -> None:
    what = (scope["method"], path_told(scope), answer["status"], seconds * 1000)
    _log.debug("%s %s: %d after %.1f ms.", *what)
