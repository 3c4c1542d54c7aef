"""What targets share: bytes that come in parts, requests, and a loop."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from starlette.requests import Request

from hypha_cluster.errors import HubError

_PARTS: Final = 8  # at most
_LOOP: Final = asyncio.new_event_loop()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Do it to its end; nothing of a target waits for anything."""
    return _LOOP.run_until_complete(work)


def cut(data: bytes) -> list[bytes]:
    """What follows the first byte, in some parts; that byte says where they end."""
    if not data:
        return []
    seed, rest = data[0], data[1:]
    many = seed % _PARTS
    cuts = sorted((seed + 1) * 7_919 * number % (len(rest) + 1) for number in range(many))
    return [rest[a:b] for a, b in zip([0, *cuts], [*cuts, len(rest)], strict=True)]


def lines(data: bytes, number: int) -> list[bytes]:
    """The first lines, and what is behind them; empty where there is none."""
    parts = data.split(b"\n", number)
    return parts + [b""] * (number + 1 - len(parts))


def request(
    query: bytes = b"", body: bytes = b"", method: str = "POST", **headers: bytes
) -> Request:
    """A request as the server hands it over; its body comes in parts of its size."""
    parts = cut(bytes((len(body) % 256,)) + body)

    async def receive() -> dict[str, Any]:
        part = parts.pop(0) if parts else b""
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    named = [(name.replace("_", "-").encode(), value) for name, value in headers.items() if value]
    scope = {
        **{"type": "http", "method": method, "scheme": "http", "path": "/", "root_path": ""},
        **{"query_string": query, "headers": named, "client": ("127.0.0.1", 1)},
        "http_version": "1.1",
    }
    return Request(scope, receive)


def check_refusal(error: HubError) -> None:
    """A refusal is a sentence for who asked, and is not longer than what caused it may be."""
    text = str(error)
    assert text
    assert len(text) < 2_000, text
    assert 400 <= error.status < 600
