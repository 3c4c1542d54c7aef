"""Counts HTTP requests for the address from which they come, whatever they ask for."""

from collections.abc import Container
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from hypha_cluster.hub.quotas import Quotas

_READING: Final = ("GET", "HEAD")


class CountRequests:
    """Lets no more requests pass than an address may make; TooMany. free: paths that do not count.

    It stands inside of what answers errors. WebSockets are counted where they are let in.
    """

    def __init__(self, app: ASGIApp, quotas: Quotas, free: Container[str]) -> None:
        self._app = app
        self._quotas = quotas
        self._free = free

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_free(scope):
            sources = self._quotas.sources(scope)
            if sources:
                self._quotas.request(sources)
        await self._app(scope, receive, send)

    def _is_free(self, scope: Scope) -> bool:
        return scope["method"] in _READING and scope["path"] in self._free
