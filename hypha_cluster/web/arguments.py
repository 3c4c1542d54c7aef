"""The arguments of a call over HTTP, out of the query or the body (protocol.md 8.3)."""

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final

import msgpack

from hypha_cluster.errors import BadRequest, TooLarge, UnsupportedMediaType
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.guard import shown
from hypha_cluster.protocol.limits import (
    ARGUMENT_CONTAINERS,
    ARGUMENT_VALUES,
    DEPTH,
    NUMBER,
)
from hypha_cluster.web.headers import JSON

MSGPACK: Final = "application/msgpack"
Arguments = dict[str, Any]

_QUOTES: Final = 4  # of a key and a value
# Python ≥ 3.10 names a function by where it was made: `main.<locals>.hello()`.
_MISFIT: Final = re.compile(
    r"(?:TypeError: )?(?:[\w<>]+\.)*(?P<name>[\w<>]+)\(\) "
    r"(?:missing|takes|got an unexpected|got multiple|got some) .*argument"
)
_TEXT: Final = re.compile(rb'"[^"]*"')


def from_query(pairs: Iterable[tuple[str, str]]) -> Arguments:
    """Read the parameters of a query, the last one of each name."""
    arguments = {name: _parameter(name, text) for name, text in pairs}
    check(arguments)
    return arguments


def from_body(body: bytes | bytearray, content_type: str) -> Arguments:
    """Read a body, a map of the arguments by their names; an empty one has none."""
    if not body:
        return {}
    if content_type not in (JSON, MSGPACK):
        raise UnsupportedMediaType(
            f"The content-type of arguments is that of a form, {JSON} or {MSGPACK}, not "
            f"{shown(content_type)}."
        )
    try:
        arguments = _from_json(body) if content_type == JSON else _from_msgpack(body)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise BadRequest(f"The request body is not valid {content_type}: {error}") from None
    if not isinstance(arguments, dict):
        raise BadRequest("The request body is a map of the function's arguments.")
    check(arguments)
    return arguments


def check(arguments: Arguments) -> None:
    """Refuse what no client could have sent, since it goes on to one (protocol.md 2.1).

    Level by level: a list comprehension for each level costs a tenth of a call for each value.
    """
    if not all(isinstance(name, str) for name in arguments):
        raise BadRequest("The names of arguments are text.")
    level: list[Any] = [arguments]
    for _ in range(DEPTH):
        for container in level:
            if type(container) is dict:
                _check_map(container)
        level = [
            value
            for container in level
            for value in (container.values() if type(container) is dict else container)
            if type(value) is dict or type(value) is list
        ]
        if not level:
            return
    raise BadRequest(f"The arguments have more than {DEPTH} levels.")


def do_not_fit(function: dict[str, Any], error: str) -> bool:
    """Whether a function failed because it takes other arguments, by Python's words for that.

    function: its reference. If the words name another function, it is one that this one called.
    """
    found = _MISFIT.match(error)
    signature = str(function.get("_rsig") or function["_rmethod"].rpartition(".")[2])
    return found is not None and found["name"] == signature.partition("(")[0]


def _check_map(value: dict[str, Any]) -> None:
    if rpc.is_reference(value):
        raise BadRequest("A function cannot be passed over HTTP; connect by WebSocket.")
    if "__proto__" in value:
        raise BadRequest("No map may have a key '__proto__', and no argument that name.")


def _parameter(name: str, text: str) -> Any:
    """Read a parameter of a query as the original hub does; JSON in quotes is text as it stands."""
    if text.isdecimal() and text.isascii():
        if len(text) > NUMBER:
            raise BadRequest(
                f"{shown(name)} is a number of more than {NUMBER} digits; put it in "
                "quotes to pass it as text."
            )
        return int(text)
    if text.startswith(("{", '"')):
        return _json_parameter(name, text)
    try:
        return float(text)
    except ValueError:
        return text


def _json_parameter(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise BadRequest(f"{shown(name)} has more than {DEPTH} levels.") from None
    except ValueError:
        return text


def _from_json(body: bytes | bytearray) -> Any:
    _check_json_size(body)
    text = body.decode(json.detect_encoding(body), "surrogatepass")  # as json itself does
    if isinstance(body, bytearray):
        body.clear()  # else a large body would be in memory three times
    return json.loads(text)


def _check_json_size(body: bytes | bytearray) -> None:
    """Count what may be values before any is made; the first, quick count takes text for values."""
    if _is_small(body):
        return
    if b"\\" in body:
        body = body.replace(rb"\\", b"").replace(rb"\"", b"")
    too_long = body.count(b'"') > _QUOTES * ARGUMENT_VALUES
    if too_long or not _is_small(_TEXT.sub(b"", body)):
        raise _too_many()


def _is_small(body: bytes | bytearray) -> bool:
    containers = body.count(b"[") + body.count(b"{")
    return containers <= ARGUMENT_CONTAINERS and containers + body.count(b",") <= ARGUMENT_VALUES


def _from_msgpack(body: bytes | bytearray) -> Any:
    """Decode, but no more than is allowed: msgpack makes a list before it reads what is in it."""
    lengths = msgpack.Unpacker(max_buffer_size=len(body))
    lengths.feed(body)
    try:
        lengths.skip()
    except msgpack.OutOfData:
        raise ValueError("it ends early") from None
    del lengths
    # As many values as bytes at most: then only lists and maps have to be counted.
    is_short = len(body) <= ARGUMENT_VALUES
    count = _counter() if is_short else _Count()
    return msgpack.unpackb(
        body,
        list_hook=count,
        object_hook=count,
        max_array_len=ARGUMENT_VALUES,
        max_map_len=ARGUMENT_VALUES,
    )


def _counter() -> Callable[[Any], Any]:
    """The same for lists and maps alone, without Python code for each (see FrameReader)."""
    turns = itertools.chain(itertools.repeat(None, ARGUMENT_CONTAINERS), _refusing())
    return partial(next, zip(turns, (), strict=False))


def _refusing() -> Iterator[None]:
    raise _too_many()
    yield  # type: ignore[unreachable]  # makes a generator of it, which raises when it is asked


class _Count:
    """Counts containers, and what is in them, as they are made."""

    def __init__(self) -> None:
        self._containers = self._values = 0

    def __call__(self, container: Any) -> Any:
        self._containers += 1
        self._values += len(container)
        if self._containers > ARGUMENT_CONTAINERS or self._values > ARGUMENT_VALUES:
            raise _too_many()
        return container


def _too_many() -> TooLarge:
    return TooLarge(
        f"The arguments of one call have at most {ARGUMENT_VALUES} values, of which "
        f"{ARGUMENT_CONTAINERS} are lists and maps; send arrays as bytes, with {MSGPACK}."
    )
