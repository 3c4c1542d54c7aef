"""What a signature says becomes parameters and a body; what it cannot say is left open."""

from typing import Any

import pytest

from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.limits import SHOWN_FUNCTIONS, SHOWN_TEXT
from hypha_cluster.web.openapi.functions import paths


def described(signature: str | None, docs: str | None = None) -> dict[str, Any]:
    function = rpc.reference("ws/c", "services.s.f") | {"_rsig": signature, "_rdoc": docs}
    operations: dict[str, Any] = paths("ws", "s", {"f": function})["/ws/services/s/f"]
    return operations


def schema(signature: str | None) -> Any:
    content = described(signature)["post"]["requestBody"]["content"]
    (only,) = {id(form["schema"]): form["schema"] for form in content.values()}.values()
    return only


def test_types_and_defaults_are_told() -> None:
    found = schema("f(a, b: int = 5, c: str = None, d: List[int] = [1], e: Odd = 1.5) -> str")

    assert found == {
        "type": "object",
        "properties": {
            "a": {},
            "b": {"type": "integer", "title": "b: int", "default": 5},
            "c": {"type": ["string", "null"], "title": "c: str", "default": None},
            "d": {"type": "array", "title": "d: List[int]", "default": [1]},
            "e": {"title": "e: Odd", "default": 1.5},
        },
        "additionalProperties": False,
        "required": ["a"],
    }


def test_a_query_has_the_same_parameters() -> None:
    found = described("f(a, b=5, *args)")["get"]["parameters"]

    assert [(each["name"], each["required"]) for each in found] == [("a", True), ("b", False)]


@pytest.mark.parametrize("signature", [None, "f(a={})", "f(**kwargs)", "f(*args, **kwargs)"])
def test_what_is_not_known_is_open(signature: str | None) -> None:
    assert schema(signature)["additionalProperties"] is True
    assert described(signature)["get"]["parameters"][-1]["schema"]["additionalProperties"] is True


def test_a_number_that_json_lacks_is_no_default() -> None:
    assert schema("f(a=1e+999, b=[1e+999])")["properties"] == {"a": {}, "b": {}}


def test_docs_are_told_whole_and_their_first_line_alone() -> None:
    found = described("f(a)", "  Do it.\n\nSlowly.")["post"]

    assert found["summary"] == "Do it."
    assert found["description"] == "Do it.\n\nSlowly.\n\n`f(a)`"
    assert described(None, None)["post"]["summary"] == "s.f"


def test_of_what_is_long_the_beginning_is_told() -> None:
    function = rpc.reference("ws/c", "services.s.f") | {"_rdoc": "x" * 100_000}
    service = {f"f{n}": function for n in range(SHOWN_FUNCTIONS + 1)}

    found = paths("ws", "s", service)

    assert len(found) == SHOWN_FUNCTIONS
    assert len(found["/ws/services/s/f0"]["post"]["description"]) == SHOWN_TEXT


def test_functions_are_found_wherever_they_stand_and_other_values_are_left() -> None:
    function = rpc.reference("ws/c", "services.s.x")
    array = {"_rtype": "ndarray", "inner": function}
    service = {
        "a": function,
        "b": {"c d": {"e": function}},
        "n": 5,
        "array": array,
        "l": [function],
    }

    assert list(paths("ws", "c:s", service)) == [
        "/ws/services/c:s/a",
        "/ws/services/c:s/b.c%20d.e",
    ]
