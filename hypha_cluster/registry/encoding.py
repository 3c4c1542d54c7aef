"""How values stand in Redis: text as bytes, infos as JSON, times in milliseconds."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

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
    if (odd := _find_oddity(value, 0)) is not None:
        where = f" at {_cut(odd.place.removeprefix('.'))}" if odd.place else ""
        raise BadRequest(
            f"{what} cannot be kept: {odd.reason}{where}. Use text, numbers, lists, and maps with "
            "text for keys."
        )
    return _encode(value)


def _cut(name: str) -> str:
    """A name for a message, not too long."""
    return name if len(name) <= SHOWN else f"{name[:SHOWN]}…"


class _Oddity(NamedTuple):
    """Where in a value something is not plain data, and why."""

    place: str
    reason: str

    def within(self, name: str) -> "_Oddity":
        """The same, seen from the value that has this one by a name."""
        return self._replace(place=f"{name}{self.place}")


_TOO_DEEP: Final = _Oddity("", f"it has more than {DEPTH} levels")


def _find_oddity(value: object, depth: int) -> _Oddity | None:
    """The first thing in a value that is not plain data, None in most."""
    odd = None
    if isinstance(value, dict):
        odd = _find_in_map(value, depth + 1) if depth < DEPTH else _TOO_DEEP
    elif isinstance(value, list | tuple):
        odd = _find_in_list(value, depth + 1) if depth < DEPTH else _TOO_DEEP
    elif isinstance(value, float):
        if not math.isfinite(value):
            odd = _Oddity("", f"it has the number {value}, which JSON lacks,")
    elif not isinstance(value, _SCALARS):
        odd = _Oddity("", f"it has a value of type {type(value).__name__}")
    return odd


def _find_in_map(items: dict[Any, Any], depth: int) -> _Oddity | None:
    for key, item in items.items():
        if not isinstance(key, str) or key in _RESERVED:
            return _Oddity("", f"it has a map with the key {shown(key)}")
        if not isinstance(item, _SCALARS) and (odd := _find_oddity(item, depth)) is not None:
            return odd.within(f".{_cut(key)}")
    return None


def _find_in_list(items: Sequence[Any], depth: int) -> _Oddity | None:
    for number, item in enumerate(items):
        if not isinstance(item, _SCALARS) and (odd := _find_oddity(item, depth)) is not None:
            return odd.within(f"[{number}]")
    return None


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
