"""What pages show of functions: what they take, and code that calls them."""

import ast
import json
import shlex

import pytest

from hypha_cluster.features.pages.functions import (
    Function,
    Parameter,
    Place,
    functions_of,
    parameters_of,
    snippets,
)
from hypha_cluster.protocol.limits import SHOWN_FUNCTIONS, SHOWN_TEXT, SIGNATURE

OPEN = Place("http://hub", "ws", "math", is_public=True)
CLOSED = OPEN._replace(is_public=False)


def reference(path: str = "f", **more: object) -> dict[str, object]:
    return {"_rtype": "method", "_rtarget": "ws/a", "_rmethod": f"services.math.{path}", **more}


@pytest.mark.parametrize(
    ("signature", "parameters"),
    [
        ("f()", []),
        ("f(a, b: int = 2)", [Parameter("a", "", None), Parameter("b", "int", "2")]),
        ("f(a: str, b='x') -> str", [Parameter("a", "str", None), Parameter("b", "", "'x'")]),
        ("f(a: str, *, b='x') -> str", None),  # some releases of the client do not read it
        (f"f(a=0x{'F' * 16_000})", None),
        (f"f({', '.join(f'a{n}' for n in range(10_000))})", None),
        (5, None),
        ("f(a: list[int] = None)", [Parameter("a", "list[int]", "None")]),
        ("f(self, a)", [Parameter("a", "", None)]),
        ("f(*args)", None),
        ("f(**kwargs)", None),
        ("f(a", None),
        ("f(): pass\nimport os\ndef g()", None),
        ("(((((" * 500, None),
        ("f(a\0)", None),
    ],
)
def test_parameters_are_read_from_a_signature(
    signature: object, parameters: list[Parameter] | None
) -> None:
    assert parameters_of(signature) == parameters


def test_functions_in_maps_are_found_by_their_path() -> None:
    service = {
        "id": "math",
        "add": reference("add", _rsig="add(a, b)", _rdoc="Add."),
        "more": {"deep": reference("more.deep")},
        "list": [reference("list.0")],
        "a.b": reference("a.b"),
    }

    found = functions_of(service, with_context=False)

    assert [each.path for each in found] == ["add", "more.deep"]
    assert (found[0].signature, found[0].docs) == ("add(a, b)", "Add.")
    assert (found[1].signature, found[1].parameters) == ("more.deep", None)


def test_what_the_hub_adds_is_not_asked_for() -> None:
    service = {"f": reference(_rsig="f(a, context=None)")}

    (function,) = functions_of(service, with_context=True)

    assert function.parameters == [Parameter("a", "", None)]


def test_much_is_cut_short() -> None:
    much = {"_rdoc": "x" * 10_000, "_rsig": "x" * 10_000}
    service = {f"f{n}": reference(**much) for n in range(SHOWN_FUNCTIONS + 1)}
    service = {"x" * 10_000: reference(), **service}

    found = functions_of(service, with_context=False)

    assert len(found) == SHOWN_FUNCTIONS
    assert len(found[0].docs) == SHOWN_TEXT
    assert max(len(each.path) for each in found) < SIGNATURE
    assert {len(each.signature) for each in found} == {SIGNATURE}


def test_snippets_call_the_function() -> None:
    function = Function("add", "", "", [Parameter("a", "int", None), Parameter("b", "", "2")])

    codes = dict(snippets(OPEN, function))

    assert set(codes) == {"Python", "Python, sync", "JavaScript", "curl"}
    assert "service.add(a=1)" in codes["Python"]
    assert '"token"' not in codes["Python"]
    assert "service.add(1)" in codes["JavaScript"]
    assert "Authorization" not in codes["curl"]
    for title in ("Python", "Python, sync"):
        ast.parse(codes[title])


def test_a_protected_service_takes_a_token() -> None:
    codes = dict(snippets(CLOSED, Function("f", "", "", [])))

    assert '"token": "TOKEN", ' not in codes["curl"]
    assert all("TOKEN" in code for code in codes.values())


@pytest.mark.parametrize("evil", ['"); import os; ("', "'; rm -rf ~ #", "$(reboot)", "`x`", "a\nb"])
def test_a_strangers_name_stays_a_text_in_code(evil: str) -> None:
    place = OPEN._replace(service=evil)

    codes = dict(snippets(place, Function("f", "", "", [])))

    tree = ast.parse(codes["Python"])
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert f"ws/*:{evil}" in texts
    assert f"http://hub/ws/services/{evil}/f" in shlex.split(codes["curl"])
    assert json.dumps(f"ws/*:{evil}") in codes["JavaScript"]


@pytest.mark.parametrize("path", ["a b", "a();x", "1", "a.", "ä"])
def test_a_function_whose_name_is_no_name_of_code_is_called_by_http_only(path: str) -> None:
    codes = snippets(OPEN, Function(path, path, "", []))

    assert [title for title, _ in codes] == ["curl"]
