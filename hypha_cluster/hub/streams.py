"""Results that come bit by bit: a client keeps them, and is asked for one item after the other.

Published clients encode no generators by themselves, but with a codec of three lines they make
`{"_rtype": "generator", "next": f, "close": g}` of one: `next()` returns `{"value": …}`, and
`{"done": true}` at the end, as iterators of JavaScript do. Python clients make a file, `_rtype:
"iostream"`, of whatever has `read`.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final

from hypha_cluster.errors import RemoteError
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.guard import shown
from hypha_cluster.protocol.limits import STREAM_PIECE

GENERATOR: Final = "generator"
FILE: Final = "iostream"
STREAMS: Final = (GENERATOR, FILE)

_ANSWERING: Final = 5.0  # seconds for an item that nobody waits for any more
_END: Final = object()

# Calls one of the stream's functions; calls one whose answer nobody waits for.
Call = Callable[[dict[str, Any], list[Any]], Awaitable[Any]]
Tell = Callable[[dict[str, Any]], None]


def is_stream(value: Any) -> bool:
    return type(value) is dict and value.get("_rtype") in STREAMS


async def follow(stream: dict[str, Any], call: Call, tell: Tell) -> AsyncGenerator[Any]:
    """The items of a stream, or the pieces of a file; RemoteError when its client fails.

    Leaving the iteration early closes the stream, so that the client frees what it keeps for it.
    """
    step = _next_item if stream["_rtype"] == GENERATOR else _next_piece
    asking: asyncio.Future[Any] | None = None
    try:
        while True:
            asking = asyncio.ensure_future(step(stream, call))
            item = await asyncio.shield(asking)
            if item is _END:
                return
            yield item
    finally:
        if asking is not None:
            _close_after(asking, stream, tell)


def _close_after(asking: asyncio.Future[Any], stream: dict[str, Any], tell: Tell) -> None:
    """Close a stream once the client has answered: a generator that runs cannot be closed."""

    def close(asked: asyncio.Future[Any]) -> None:
        if not asked.cancelled():
            asked.exception()  # nobody is left to be told
        if rpc.is_reference(stream.get("close")):
            tell(stream["close"])

    asking.add_done_callback(close)
    asking.get_loop().call_later(_ANSWERING, asking.cancel)


async def _next_item(stream: dict[str, Any], call: Call) -> Any:
    step = await call(_function(stream, "next"), [])
    if not isinstance(step, dict):
        raise RemoteError(f"'next' of a stream answers a map, not {shown(step)}.")
    return _END if step.get("done") else step.get("value")


async def _next_piece(stream: dict[str, Any], call: Call) -> Any:
    piece = await call(_function(stream, "read"), [STREAM_PIECE])
    if not isinstance(piece, bytes | str):
        raise RemoteError(f"'read' of a file answers bytes or text, not {shown(piece)}.")
    return piece or _END


def _function(stream: dict[str, Any], name: str) -> dict[str, Any]:
    function: dict[str, Any] | None = stream.get(name)
    if function is None or not rpc.is_reference(function):
        raise RemoteError(f"A stream of type {stream['_rtype']!r} has a function {name!r}.")
    return function
