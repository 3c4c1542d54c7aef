"""Counts the answers to HTTP requests, by status, and how long they take."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hypha_cluster.metrics import Counts


class CountAnswers:
    """Counts what goes through it; `counts` is shown by /metrics."""

    def __init__(self, app: ASGIApp, counts: Counts) -> None:
        self._app = app
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._counts.http_answers[str(message["status"])] += 1
            await send(message)

        began = time.monotonic()
        try:
            await self._app(scope, receive, counting)
        finally:
            self._counts.http.observe(time.monotonic() - began)
