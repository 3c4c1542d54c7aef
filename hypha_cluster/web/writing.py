"""Writes values as JSON or msgpack: small ones at once, others in small steps.

A function is written as its name. Nothing recurses deeper than `WRITTEN_LEVELS`: what is deeper, or
has many values, is written list by list and map by map.
"""

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple, Protocol

import msgpack

from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.limits import WRITTEN_AT_ONCE, WRITTEN_LEVELS
from hypha_cluster.web.arguments import MSGPACK
from hypha_cluster.web.headers import JSON

_TEXT: Final = 64  # characters of a text that take as long as one value
_FLAT: Final = 32  # values of a list or map that is written with those around it
_SCALARS: Final = (str, bool, int, type(None))
_encoder: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class Form(Protocol):
    """How values are written: whole, or run by run between the ends of lists and maps."""

    media_type: str

    def leaf(self, value: Any) -> Any:
        """What is written in the place of a value that is no list, map or function."""

    def whole(self, value: Any) -> bytes: ...
    def begin(self, container: Any) -> bytes: ...
    def run(self, part: Any, *, is_first: bool) -> bytes: ...
    def key(self, key: Any, *, is_first: bool) -> bytes: ...
    def end(self, container: Any) -> bytes: ...


class Json:
    """JSON; ValueError and TypeError for what it cannot carry."""

    media_type = JSON

    def leaf(self, value: Any) -> Any:
        return value

    def whole(self, value: Any) -> bytes:
        return _encoder.encode(value).encode()

    def begin(self, container: Any) -> bytes:
        return b"{" if type(container) is dict else b"["

    def run(self, part: Any, *, is_first: bool) -> bytes:
        return (b"" if is_first else b",") + self.whole(part)[1:-1]

    def key(self, key: Any, *, is_first: bool) -> bytes:
        separator = b"" if is_first else b","
        return separator if key is None else separator + self.whole(key) + b":"

    def end(self, container: Any) -> bytes:
        return b"}" if type(container) is dict else b"]"


class Described(Json):
    """JSON for people to look at, which describes what it cannot carry."""

    def leaf(self, value: Any) -> Any:
        if type(value) is float:
            is_number = math.isfinite(value)
            return value if is_number else {"type": "number", "value": str(value)}
        if isinstance(value, bytes):
            return {"type": "bytes", "size": len(value)}
        return value if isinstance(value, _SCALARS) else {"type": type(value).__name__}


class Packed:
    """msgpack."""

    media_type = MSGPACK

    def __init__(self) -> None:
        self._packer = msgpack.Packer()

    def leaf(self, value: Any) -> Any:
        return value

    def whole(self, value: Any) -> bytes:
        packed: bytes = self._packer.pack(value)
        return packed

    def begin(self, container: Any) -> bytes:
        is_map = type(container) is dict
        header = self._packer.pack_map_header if is_map else self._packer.pack_array_header
        packed: bytes = header(len(container))
        return packed

    def run(self, part: Any, *, is_first: bool) -> bytes:
        return self.whole(part)[len(self.begin(part)) :]

    def key(self, key: Any, *, is_first: bool) -> bytes:
        return b"" if key is None else self.whole(key)

    def end(self, container: Any) -> bytes:
        return b""


def size(value: Any, limit: int) -> int:
    """How many values there are to write, at least; more than `limit` also where they are deep.

    A long text counts as several.
    """
    many, level = 0, [value]
    for _ in range(WRITTEN_LEVELS):
        deeper: list[Any] = []
        for item in level:
            many += 1
            if type(item) is list or type(item) is dict:
                if many + len(item) > limit:
                    return limit + 1
                deeper.extend(item.values() if type(item) is dict else item)
            elif isinstance(item, str | bytes):
                many += len(item) // _TEXT
        if not deeper or many > limit:
            return many
        level = deeper
    return limit + 1


def is_long(value: Any, limit: int = WRITTEN_AT_ONCE) -> bool:
    """Whether a value is written list by list and map by map."""
    is_container = type(value) is list or type(value) is dict
    return is_container and not rpc.is_reference(value) and size(value, limit) > limit


def shown(value: Any, form: Form) -> Any:
    """A small value as it is written."""
    if type(value) is dict:
        if rpc.is_reference(value):
            return {"type": "function", "name": value["_rmethod"].rpartition(".")[2]}
        return {key: shown(item, form) for key, item in value.items()}
    if type(value) is list:
        return [shown(item, form) for item in value]
    return form.leaf(value)


def write(value: Any, form: Form) -> Iterator[bytes]:
    """A list or a map of any size in small steps."""
    open_ones: list[tuple[Any, Iterator[_Step]]] = [([], iter([_Step(None, value)]))]
    is_first = True
    while open_ones:
        container, steps = open_ones[-1]
        step = next(steps, None)
        if step is None:
            open_ones.pop()
            if open_ones:
                yield form.end(container)
            is_first = False
        elif step.part is not None:
            yield form.run(step.part, is_first=is_first)
            is_first = False
        else:
            yield form.key(step.key, is_first=is_first) + form.begin(step.value)
            open_ones.append((step.value, _steps(step.value, form)))
            is_first = True


class _Step(NamedTuple):
    """A list or a map that is written by itself; or the part of one that is written at once."""

    key: Any
    value: Any
    part: Any = None


def _steps(container: Any, form: Form) -> Iterator[_Step]:
    if type(container) is dict:
        for run in _runs(container.items(), form):
            yield run if isinstance(run, _Step) else _Step(None, None, dict(run))
    else:
        for run in _runs(((None, item) for item in container), form):
            yield run if isinstance(run, _Step) else _Step(None, None, [item for _, item in run])


def _runs(items: Iterable[tuple[Any, Any]], form: Form) -> Iterator[_Step | list[tuple[Any, Any]]]:
    """Gather what is small; what is large is a step of its own."""
    run: list[tuple[Any, Any]] = []
    weight = 0
    for key, item in items:
        more = size(item, _FLAT)
        is_large = more > _FLAT and is_long(item, _FLAT)
        if run and (is_large or weight + more > WRITTEN_AT_ONCE):
            yield run
            run, weight = [], 0
        if is_large:
            yield _Step(key, item)
        else:
            run.append((key, shown(item, form)))
            weight += more
    if run:
        yield run
