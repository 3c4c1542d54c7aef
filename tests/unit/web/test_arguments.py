"""Arguments out of queries and bodies: read as callers mean them, and bounded."""

import json
from typing import Any

import msgpack
import pytest

from hypha_cluster.errors import BadRequest, TooLarge, UnsupportedMediaType
from hypha_cluster.protocol.limits import ARGUMENT_CONTAINERS, ARGUMENT_VALUES, DEPTH
from hypha_cluster.web.arguments import MSGPACK, do_not_fit, from_body, from_query
from hypha_cluster.web.headers import JSON

REFERENCE = {"_rtype": "method", "_rtarget": "ws/x", "_rmethod": "services.s.f"}


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def both(value: Any) -> list[tuple[bytes, str]]:
    return [(json.dumps(value).encode(), JSON), (msgpack.packb(value), MSGPACK)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("0", 0),
        ("-5", -5.0),
        ("1e3", 1000.0),
        ("true", "true"),
        ("", ""),
        ("²", "²"),
        ("٣٤", 34.0),
        ('{"a": [1]}', {"a": [1]}),
        ("{", "{"),
        ("[1]", "[1]"),
        ('"5"', "5"),
        ('""', ""),
        ('"\\u00e9"', "é"),
        ('"', '"'),
        ('"a" and "b"', '"a" and "b"'),
    ],
)
def test_a_parameter_is_read_as_it_looks(text: str, value: object) -> None:
    assert from_query([("x", text)]) == {"x": value}


def test_the_last_parameter_of_a_name_counts() -> None:
    assert from_query([("x", "1"), ("y", "2"), ("x", "3")]) == {"x": 3, "y": 2}


@pytest.mark.parametrize("text", ["1" * 21, '{"a":' * 100_000, json.dumps({"a": nested(DEPTH)})])
def test_a_parameter_out_of_proportion_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match=r"'x'|levels"):
        from_query([("x", text)])


@pytest.mark.parametrize("value", [{}, {"x": [1, None, {"a": "b"}]}, {"a": nested(DEPTH - 1)}])
def test_a_body_is_a_map(value: dict[str, Any]) -> None:
    for body, content_type in both(value):
        assert from_body(body, content_type) == value
        assert from_body(bytearray(body), content_type) == value


@pytest.mark.parametrize("content_type", [JSON, MSGPACK, "text/plain", ""])
def test_an_empty_body_has_no_arguments(content_type: str) -> None:
    assert from_body(b"", content_type) == {}


def test_a_body_as_json_is_not_kept_beside_its_text() -> None:
    body = bytearray(b'{"a": 1}')

    assert from_body(body, "application/json") == {"a": 1}
    assert not body


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_json_is_read_in_any_encoding_that_it_may_have(encoding: str) -> None:
    assert from_body('{"a": "ä"}'.encode(encoding), "application/json") == {"a": "ä"}


def test_a_body_of_another_kind_is_refused() -> None:
    with pytest.raises(UnsupportedMediaType, match="application/msgpack, not 'text/csv'"):
        from_body(b"x", "text/csv")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{", JSON),
        (b"\xff", JSON),
        (b'{"x": 1} x', JSON),
        (b'{"x": ' + b"1" * 5_000 + b"}", JSON),
        (b"[" * 100_000, JSON),
        (b"\x81\xa1x", MSGPACK),
        (b"\x81\xa1x\x01\x01", MSGPACK),
        (b"\x81\x01\x02", MSGPACK),
        (b"\xc1", MSGPACK),
        (b"\x81\xa1x\xa1\xff", MSGPACK),
        (b"\x81\xa1x" + b"\xdd\xff\xff\xff\xff" * 100, MSGPACK),
        (b"\x81\xa1x" + b"\x91" * 100_000, MSGPACK),
    ],
)
def test_a_broken_body_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(BadRequest, match="not valid"):
        from_body(body, content_type)


@pytest.mark.parametrize("value", [[1], 1, "x", None])
def test_a_body_that_is_no_map_is_refused(value: Any) -> None:
    for body, content_type in both(value):
        with pytest.raises(BadRequest, match="a map"):
            from_body(body, content_type)


@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [1, v], lambda v: {"a": [{"b": v}]}])
@pytest.mark.parametrize("value", [REFERENCE, {"__proto__": 1}])
def test_no_function_and_no_prototype_passes(value: Any, wrap: Any) -> None:
    for body, content_type in both({"x": wrap(value)}):
        with pytest.raises(BadRequest, match="A function|__proto__"):
            from_body(body, content_type)


@pytest.mark.parametrize("value", [REFERENCE, {"__proto__": 1}])
def test_the_arguments_together_are_no_function_and_no_prototype(value: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="A function|__proto__"):
        from_query((name, str(item)) for name, item in value.items())
    for body, content_type in both(value):
        with pytest.raises(BadRequest, match="A function|__proto__"):
            from_body(body, content_type)


def test_deep_arguments_are_refused() -> None:
    for body, content_type in both({"a": nested(DEPTH)}):
        with pytest.raises(BadRequest, match="levels"):
            from_body(body, content_type)


@pytest.mark.parametrize(
    "value",
    [
        [[]] * ARGUMENT_CONTAINERS,
        [{}] * ARGUMENT_CONTAINERS,
        [1] * (ARGUMENT_VALUES + 1),
        {str(number): 1 for number in range(ARGUMENT_VALUES + 1)},
        [[1] * 600_000] * 3,
    ],
)
def test_more_values_than_one_may_send_are_refused(value: Any) -> None:
    for body, content_type in both({"a": value}):
        with pytest.raises((BadRequest, TooLarge), match="msgpack"):
            from_body(body, content_type)


@pytest.mark.parametrize("text", [",[{" * ARGUMENT_VALUES, '\\",' * ARGUMENT_VALUES, "\\" * 9])
def test_what_stands_in_a_text_counts_for_nothing(text: str) -> None:
    for body, content_type in both({"text": text, "other": "\\"}):
        assert from_body(body, content_type)["text"] == text


HELLO = {"_rtype": "method", "_rtarget": "ws/x", "_rmethod": "services.s.sub.hello"}


@pytest.mark.parametrize(
    ("error", "fits_not"),
    [
        ("hello() missing 1 required positional argument: 'name'", True),
        ("TypeError: hello() missing 2 required positional arguments: 'a' and 'b'", True),
        ("main.<locals>.hello() got an unexpected keyword argument 'x'", True),
        ("hello() got multiple values for argument 'name'", True),
        ("hello() takes 0 positional arguments but 1 was given", True),
        ("hello() missing 1 required keyword-only argument: 'name'", True),
        ("other() missing 1 required positional argument: 'name'", False),
        ("hello() failed", False),
        ("say hello() missing 1 required argument", False),
        ("", False),
    ],
)
def test_arguments_that_do_not_fit_are_told_from_a_functions_own_mistake(
    error: str, fits_not: bool
) -> None:
    assert do_not_fit(HELLO, error) is fits_not


def test_a_function_is_known_by_the_name_of_its_signature() -> None:
    alias = {**HELLO, "_rmethod": "services.s.alias", "_rsig": "hello(name)"}

    assert do_not_fit(alias, "hello() missing 1 required positional argument: 'name'")
    assert not do_not_fit(alias, "alias() missing 1 required positional argument: 'name'")
