"""Compresses answers for whoever accepts that; not streams, which it would hold back."""

from typing import Final

from starlette.middleware.gzip import GZipResponder, IdentityResponder
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hypha_cluster.web.headers import header_of

_WORTH_COMPRESSING: Final = 1_000  # bytes
_AS_IT_IS: Final = "hypha.send_as_it_is"  # in the scope of a request


class Compress:
    """Compresses what is sent, unless a route sends by `as_it_is`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[_AS_IT_IS] = send
        try:
            await self._app(scope, receive, _Compressing(scope, send))
        finally:
            # The sender refers to the scope: so break the circle, else only the collector frees it.
            scope.pop(_AS_IT_IS, None)


class _Compressing:
    """Sends through Starlette's compression, which is made only when an answer needs it."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._responder: IdentityResponder | None = None

    async def __call__(self, message: Message) -> None:
        if self._responder is None:
            self._responder = _responder(header_of(self._scope, b"accept-encoding"))
            self._responder.send = self._send
        await self._responder.send_with_compression(message)


def _responder(accepted: str) -> IdentityResponder:
    if "gzip" in accepted:
        return GZipResponder(_nothing, _WORTH_COMPRESSING, compresslevel=1)
    return IdentityResponder(_nothing, _WORTH_COMPRESSING)


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand in for an application: the answer itself comes from further in."""


async def answer_with(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Send an answer; past the compression if that would leave it as it is."""
    if type(response) is Response and len(response.body) < _WORTH_COMPRESSING:
        send = as_it_is(scope, send)
    await response(scope, receive, send)


def as_it_is(scope: Scope, send: Send) -> Send:
    """The `send` by which a route sends what nobody may hold back or change."""
    sending: Send = scope.get(_AS_IT_IS, send)
    return sending
