"""A request becomes an event, and what a function returns becomes an answer."""

from typing import Any

import pytest

from hypha_cluster.errors import RemoteError
from hypha_cluster.features.webapps.events import answer_of, event_of, function_name
from hypha_cluster.identity.access import Identity

TEXT = (b"content-type", b"text/plain; charset=utf-8")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "index"),
        ("", "index"),
        ("/hello", "hello"),
        ("/hello/", "hello"),
        ("/a/b", None),
        ("/a.b", None),
        ("//", "index"),
    ],
)
def test_a_path_is_a_function(path: str, name: str | None) -> None:
    assert function_name(path) == name


@pytest.mark.parametrize(
    ("user", "expected"), [(None, None), (Identity("ann"), Identity("ann").to_wire())]
)
def test_an_event_is_a_scope_of_texts(user: Identity | None, expected: Any) -> None:
    scope = {
        "path": "/x",
        "raw_path": b"/w/apps/s/x%20y",
        "query_string": b"a=%C3%A4",
        "headers": [[b"x-a", b"1"], [b"x-a", b"2"], [b"host", b"h"]],
    }

    event = event_of(scope, b"", user)

    assert event == {
        "path": "/x",
        "raw_path": "/w/apps/s/x%20y",
        "query_string": "a=%C3%A4",
        "headers": {"x-a": "2", "host": "h"},
        "body": None,
        "context": {"user": expected, "_rkwargs": True},
    }
    assert event_of(scope, b"b", user)["body"] == b"b"


@pytest.mark.parametrize(
    ("result", "status", "headers", "body"),
    [
        ({}, 200, [(b"content-length", b"0")], b""),
        (
            {"status": 200, "headers": {"a": "b"}},
            200,
            [(b"a", b"b"), (b"content-length", b"0")],
            b"",
        ),
        ({"status": 204}, 204, [], b""),
        ({"status": 304, "body": "x"}, 304, [], b""),
        ({"body": "hé"}, 200, [TEXT, (b"content-length", b"3")], "hé".encode()),
        (
            {"body": " <!doctype html>"},
            200,
            [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", b"16")],
            b" <!doctype html>",
        ),
        (
            {"body": b"\0", "headers": {"Content-Type": "image/x", "Content-Length": "99"}},
            200,
            [(b"content-type", b"image/x"), (b"content-length", b"1")],
            b"\0",
        ),
        (
            {"body": {"_rtype": "memoryview", "_rvalue": b"ab"}},
            200,
            [(b"content-type", b"application/octet-stream"), (b"content-length", b"2")],
            b"ab",
        ),
        (
            {"body": {"a": [1, None]}, "status": 201},
            201,
            [(b"content-type", b"application/json"), (b"content-length", b"16")],
            b'{"a": [1, null]}',
        ),
        (
            {"body": [1]},
            200,
            [(b"content-type", b"application/json"), (b"content-length", b"3")],
            b"[1]",
        ),
    ],
)
def test_a_result_becomes_an_answer(
    result: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    assert answer_of(result) == (status, headers, body)


@pytest.mark.parametrize(
    "result",
    [
        None,
        "text",
        [200],
        {"_rtype": "method"},
        {"status": "200"},
        {"status": 42},
        {"headers": "a: b"},
        {"body": 5},
        {"body": {"a": b"b"}},
        {"body": [float("nan")]},
    ],
)
def test_what_is_no_answer_is_the_functions_fault(result: Any) -> None:
    with pytest.raises(RemoteError, match="no answer"):
        answer_of(result)
