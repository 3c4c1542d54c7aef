"""How values stand in Redis: text as bytes, infos as JSON, times in milliseconds."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from hypha_cluster.errors import BadRequest
from hypha_cluster.protocol.guard import shown
from hypha_cluster.protocol.limits import DEPTH, SHOWN

T = TypeVar("T")
Infos = dict[str, str]  # service id → service info as JSON

_encode: Final = json.JSONEncoder(allow_nan=False).encode  # `dumps` would make one each time
_SCALARS: Final = (str, bool, int, type(None))
# Clients take a map with the one for an encoded value, and JavaScript's refuse one with the other.
_RESERVED: Final = ("_rtype", "__proto__")


def to_json(what: str, value: object) -> str:
    """A client's value as JSON, to be kept; BadRequest unless it is plain data.

    The registry shows to others what it keeps, as it is. So it takes nothing that could not be sent
    as msgpack or JSON, or that has a meaning of its own for clients.
    """
    for place, reason in _oddities(value, "", 0):
        where = f" at {_cut(place.removeprefix('.'))}" if place else ""
        raise BadRequest(
            f"{what} cannot be kept: {reason}{where}. Use text, numbers, lists, and maps with text "
            "for keys."
        )
    return _encode(value)


def _cut(name: str) -> str:
    """A name for a message, not too long."""
    return name if len(name) <= SHOWN else f"{name[:SHOWN]}…"


def _oddities(value: object, place: str, depth: int) -> Iterator[tuple[str, str]]:
    """Where a value is not plain data, and why."""
    if depth > DEPTH:
        yield "", f"it has more than {DEPTH} levels"
    elif isinstance(value, _SCALARS):
        return
    elif isinstance(value, dict):
        yield from _oddities_of_map(value, place, depth)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _oddities(item, f"{place}[{number}]", depth + 1)
    elif not isinstance(value, float):
        yield place, f"it has a value of type {type(value).__name__}"
    elif not math.isfinite(value):
        yield place, f"it has the number {value}, which JSON lacks,"


def _oddities_of_map(items: dict[Any, Any], place: str, depth: int) -> Iterator[tuple[str, str]]:
    for key, item in items.items():
        if not isinstance(key, str) or key in _RESERVED:
            yield place, f"it has a map with the key {shown(key)}"
        yield from _oddities(item, f"{place}.{_cut(str(key))}", depth + 1)


def flatten(mapping: Mapping[str, str]) -> list[str]:
    """Keys and values in turn, as scripts take them."""
    return [item for pair in mapping.items() for item in pair]


def pairs(items: Sequence[bytes]) -> Infos:
    """Read what a script returns as keys and values in turn."""
    return {
        key.decode(): value.decode() for key, value in zip(items[::2], items[1::2], strict=True)
    }


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items, so many at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
