"""Answers are compressed for who accepts it, but for streams: those would be held back."""

from typing import Final

from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

_WORTH_COMPRESSING: Final = 1_000  # bytes
_AS_IT_IS: Final = "hypha.send_as_it_is"  # in the scope of a request


class Compress:
    """Compresses what is sent, unless a route sends by `as_it_is`."""

    def __init__(self, app: ASGIApp) -> None:
        self._compressing = GZipMiddleware(app, minimum_size=_WORTH_COMPRESSING, compresslevel=1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[_AS_IT_IS] = send
        try:
            await self._compressing(scope, receive, send)
        finally:
            # What sends knows the scope; such a circle would be left to the garbage collector.
            scope.pop(_AS_IT_IS, None)


async def answer_with(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Send an answer; past what compresses if that would leave it as it is."""
    if type(response) is Response and len(response.body) < _WORTH_COMPRESSING:
        send = as_it_is(scope, send)
    await response(scope, receive, send)


def as_it_is(scope: Scope, send: Send) -> Send:
    """By which a route sends what nobody may hold back or change."""
    sending: Send = scope.get(_AS_IT_IS, send)
    return sending
