"""Values as JSON and msgpack: the same in small steps as at once."""

import json
import math
import random
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from hypha_cluster.protocol.limits import WRITTEN_AT_ONCE
from hypha_cluster.web.writing import (
    Described,
    Form,
    Json,
    Packed,
    is_long,
    shown,
    size,
    write,
)

REFERENCE = {"_rtype": "method", "_rtarget": "ws/x", "_rmethod": "services.s.sub.f"}
NAMED = {"type": "function", "name": "f"}
READERS: list[tuple[Callable[[], Form], Callable[[bytes], Any]]] = [
    (Json, json.loads),
    (Packed, msgpack.unpackb),
]


def nested(levels: int, around: Callable[[Any], Any]) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = around(value)
    return value


def some_value(rng: random.Random, depth: int = 0) -> Any:
    kinds: list[Callable[[], Any]] = [
        lambda: rng.choice((None, True, 0, -1, 2**40, 1.5, "", "x", "é" * 50, "x" * 5_000)),
        lambda: dict(REFERENCE),
    ]
    if depth < 4:
        kinds += [
            lambda: [some_value(rng, depth + 1) for _ in range(rng.choice((0, 1, 3, 40)))],
            lambda: {str(n): some_value(rng, depth + 1) for n in range(rng.choice((0, 1, 3, 40)))},
        ]
    return rng.choice(kinds)()


LONG: list[Any] = [
    list(range(10_000)),
    {str(number): number for number in range(10_000)},
    [[]] * 10_000,
    [{}] * 10_000,
    [[1.0, 2.0]] * 10_000,
    [{"a": {"b": [1, 2]}}] * 3_000,
    ["x" * 100_000] * 10,
    {"a": {"b": {"c": list(range(5_000)), "d": 1}, "e": []}, "f": [[list(range(5_000))]]},
    [REFERENCE] * 5_000,
    [1, {"f": REFERENCE, "rest": [1] * 5_000}, "end"],
    nested(500, lambda value: [value]),
    nested(500, lambda value: {"x": value, "y": 1}),
]


def expected(value: Any) -> Any:
    """The same without functions; 500 levels are more than recursion would reach."""
    return json.loads(json.dumps(value).replace(json.dumps(REFERENCE), json.dumps(NAMED)))


@pytest.mark.parametrize(("form", "read"), READERS)
@pytest.mark.parametrize("value", LONG, ids=range(len(LONG)))
def test_what_is_long_is_written_whole(
    value: Any, form: Callable[[], Form], read: Callable[[bytes], Any]
) -> None:
    assert is_long(value)

    assert read(b"".join(write(value, form()))) == expected(value)


@pytest.mark.parametrize(("form", "read"), READERS)
def test_all_kinds_of_values_are_the_same_in_steps_as_at_once(
    form: Callable[[], Form], read: Callable[[bytes], Any]
) -> None:
    rng = random.Random(1)
    for _ in range(40):
        value = [some_value(rng), some_value(rng)]

        written = b"".join(write(value, form()))

        assert written == form().whole(shown(value, form()))
        assert read(written) == expected(value)


@pytest.mark.parametrize("form", [Json, Packed])
@pytest.mark.parametrize("value", LONG, ids=range(len(LONG)))
def test_no_step_is_long(value: Any, form: Callable[[], Form]) -> None:
    longest_leaf = 100_000

    assert max(map(len, write(value, form()))) < longest_leaf + 40 * WRITTEN_AT_ONCE


@pytest.mark.parametrize(
    ("value", "is_so"),
    [
        (1, False),
        ("x" * 1_000_000, False),  # there is nothing to divide
        ([], False),
        ([1] * 100, False),
        ([1] * 10_000, True),
        (["x" * 200_000], True),
        ({**REFERENCE, "_rdoc": "x" * 1_000_000}, False),
        (nested(40, lambda value: [value]), False),
        (nested(60, lambda value: [value]), True),
    ],
)
def test_what_is_long(value: Any, is_so: bool) -> None:
    assert is_long(value) is is_so


def test_a_size_is_not_counted_further_than_asked_for() -> None:
    assert size([[1, 2], {"a": 3}], 100) == 6
    assert size([1] * 1_000_000, 10) == 11


@pytest.mark.parametrize("value", [b"x", math.nan, math.inf, {"a": [b"x"]}, {b"key": 1}])
def test_what_json_cannot_carry_is_an_error(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        Json().whole(shown(value, Json()))
    if isinstance(value, dict):
        with pytest.raises((TypeError, ValueError)):
            list(write([value] * 5_000, Json()))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"abc", {"type": "bytes", "size": 3}),
        (math.nan, {"type": "number", "value": "nan"}),
        (-math.inf, {"type": "number", "value": "-inf"}),
        (msgpack.Timestamp(1), {"type": "Timestamp"}),
        (msgpack.ExtType(5, b"x"), {"type": "ExtType"}),
        (1.5, 1.5),
        (True, True),
    ],
)
def test_it_is_described_to_people(value: Any, said: Any) -> None:
    for whole in (value, [value], {"a": {"b": value}}):
        written = Described().whole(shown(whole, Described()))

        assert json.dumps(said) in json.dumps(json.loads(written))
