"""Only plain data is kept."""

import json
import math
from typing import Any

import pytest

from hypha_cluster.errors import BadRequest
from hypha_cluster.protocol.limits import DEPTH
from hypha_cluster.registry.encoding import flatten, pairs, to_json


def nested(levels: int, value: Any = 1) -> Any:
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 0, -1.5, 2**64 - 1, "", "\u2028 Ünïcode"),
        *([], {}, [1, "a", None], {"a": {"b": [1]}}, (1, 2)),
        {"_rtyp": 1, "rtype": "method"},
        *(nested(DEPTH), nested(DEPTH, 1.5), nested(DEPTH - 1, {})),
    ],
)
def test_plain_data_is_kept_as_it_is(value: Any) -> None:
    kept = json.loads(to_json("It", value))

    assert kept == (list(value) if isinstance(value, tuple) else value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"_rtype": "method"}, "It cannot be kept: it has a map with the key '_rtype'. Use"),
        ({"a": [1, {"b": {"__proto__": 1}}]}, r"the key '__proto__' at a\[1\]\.b\."),
        ({1: 2}, "the key 1"),
        ({"a": {None: 2}}, "the key None at a"),
        (b"x", "a value of type bytes"),
        ([{1}], r"a value of type set at \[0\]"),
        (math.nan, "the number nan, which JSON lacks"),
        ({"a": -math.inf}, "the number -inf, which JSON lacks, at a"),
        (nested(DEPTH + 1), f"more than {DEPTH} levels"),
        (nested(DEPTH, {}), f"more than {DEPTH} levels"),
        ({"x" * 10_000: b"x"}, "x…"),
        ({"x" * 10_000: {"y" * 10_000: b"x"}}, "x…"),
    ],
)
def test_anything_else_is_refused_with_its_place(value: Any, said: str) -> None:
    with pytest.raises(BadRequest, match=said) as refused:
        to_json("It", value)

    assert len(str(refused.value)) < 400


def test_infos_come_back_as_they_went() -> None:
    infos = {"a": "{}", "ü": '{"b": 1}'}

    assert pairs([item.encode() for item in flatten(infos)]) == infos
