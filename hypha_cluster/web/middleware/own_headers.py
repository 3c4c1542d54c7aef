"""What browsers are told of the hub's own answers; those of web applications say it themselves."""

from collections.abc import Iterator
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

Header = tuple[bytes, bytes]

# Browsers take an answer for what it says it is; and other sites learn no address of a page here.
_ALWAYS: Final[tuple[Header, ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
)
# This holds for all ports of a host, so it is sent only where the hub has the standard port.
_BY_HTTPS: Final[Header] = (b"strict-transport-security", b"max-age=2592000")  # 30 days


class OwnHeaders:
    """Adds these headers where an answer lacks them; not to what is sent by `as_it_is`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _with_own(list(message.get("headers", ())), scope)
            await send(message)

        await self._app(scope, receive, adding)


def _with_own(headers: list[Header], scope: Scope) -> list[Header]:
    there = dict(headers)
    for pair in _ALWAYS:
        if pair[0] not in there:
            headers.append(pair)
    asked = dict(scope["headers"])
    if b"x-forwarded-proto" in asked or scope.get("scheme") == "https":
        headers.extend(_by_https(asked))
    return headers


def _by_https(asked: dict[bytes, bytes]) -> Iterator[Header]:
    host = asked.get(b"x-forwarded-host", asked.get(b"host", b""))
    if asked.get(b"x-forwarded-proto", b"https") == b"https" and b":" not in host:
        yield _BY_HTTPS
