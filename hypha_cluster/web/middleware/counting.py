"""Counts the answers to HTTP requests, by status, and how long they take."""

import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hypha_cluster.metrics import Counts

EVENTS: Final = (b"content-type", b"text/event-stream")  # answers that last as their clients do


class CountAnswers:
    """Counts the answers that pass; /metrics shows `counts`."""

    def __init__(self, app: ASGIApp, counts: Counts) -> None:
        self._app = app
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        lasts = False

        async def counting(message: Message) -> None:
            nonlocal lasts
            if message["type"] == "http.response.start":
                self._counts.http_answers[str(message["status"])] += 1
                lasts = EVENTS in message["headers"]
            await send(message)

        began = time.monotonic()
        try:
            await self._app(scope, receive, counting)
        finally:
            if not lasts:
                self._counts.http.observe(time.monotonic() - began)
