"""CORS, by Starlette; a request without an origin, as all programs send, goes past it."""

from functools import partial
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import Message, Receive, Scope, Send

from hypha_cluster.web.headers import fields_of

_VARY: Final = (b"vary", b"Origin")


class CrossOrigin(CORSMiddleware):
    """Lets pages of other origins read answers, if these may."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and b"origin" not in fields_of(scope):
            await self.app(scope, receive, partial(_vary, send))
        else:
            await super().__call__(scope, receive, send)


async def _vary(send: Send, message: Message) -> None:
    """Tell caches that the answer depends on the origin."""
    if message["type"] == "http.response.start":
        headers = message.get("headers", ())
        if b"vary" in dict(headers):
            said = [value for name, value in headers if name == b"vary"]
            others = [pair for pair in headers if pair[0] != b"vary"]
            message["headers"] = [*others, (b"vary", b", ".join((*said, b"Origin")))]
        else:
            message["headers"] = [*headers, _VARY]
    await send(message)
