"""Forms as arguments: texts as those of a query, files as bytes."""

import pytest

from hypha_cluster.errors import BadRequest
from hypha_cluster.web.forms import MULTIPART, URLENCODED, from_form

BOUNDARY = f"{MULTIPART}; boundary=b"


def part(name: str, content: bytes, file: str = "") -> bytes:
    named = f'; filename="{file}"' if file else ""
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
    return head.encode() + content + b"\r\n"


def test_texts_are_read_as_those_of_a_query() -> None:
    urlencoded = from_form("a=5&b=%225%22&c=x+y&c=ü&d=".encode(), URLENCODED)
    body = part("a", b"5") + part("b", b'"5"') + part("c", "ü".encode()) + part("d", b"")
    multipart = from_form(body + b"--b--\r\n", BOUNDARY)

    assert urlencoded == multipart == {"a": 5, "b": "5", "c": "ü", "d": ""}


def test_files_are_bytes_and_several_of_one_name_a_list() -> None:
    body = part("one", b"\0\r\n--", "a") + part("two", b"1", "b") + part("two", b"2", "c")

    assert from_form(body + b"--b--", BOUNDARY) == {"one": b"\0\r\n--", "two": [b"1", b"2"]}


@pytest.mark.parametrize("whole", [part("a", b"5"), part("a", b"5", "f") + b"--b", b"", b"--b"])
def test_a_form_that_breaks_off_is_refused(whole: bytes) -> None:
    with pytest.raises(BadRequest, match="boundary"):
        from_form(whole, BOUNDARY)


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b'{"a": 1}', URLENCODED, "looks like JSON"),
        (b"a=\xff", URLENCODED, "not a valid form"),
        (b"&".join([b"a=1"] * 1_001), URLENCODED, "not a valid form"),
        (part("a", b"1") * 1_001 + b"--b--", BOUNDARY, "at most 1000 fields"),
        (part("a", b"1") + b"--b--", MULTIPART, "boundary is missing"),
        (b"--b\r\n\r\nx\r\n--b--", BOUNDARY, "not a valid"),
        (part("a", b"\xff") + b"--b--", BOUNDARY, "not a valid"),
        (part("__proto__", b"1", "f") + b"--b--", BOUNDARY, "__proto__"),
    ],
)
def test_a_form_that_is_none_is_refused(body: bytes, content_type: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        from_form(body, content_type)


def test_an_error_is_short_whatever_is_wrong() -> None:
    head = b"--b\r\nContent-Disposition: form-data; " + b"x" * 3_000
    body = head + b"\r\n\r\n5\r\n--b--\r\n"

    with pytest.raises(BadRequest, match="not a valid multipart") as refused:
        from_form(body, "multipart/form-data; boundary=b")

    assert len(str(refused.value)) < 300
