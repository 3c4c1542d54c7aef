"""What applications send is taken in every form in which clients send it, and checked."""

from typing import Any

import pytest

from hypha_cluster.errors import BadRequest
from hypha_cluster.features.webapps.values import as_bytes, as_headers, as_status


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"a\0", b"a\0"),
        ("ä", "ä".encode()),
        (None, b""),
        ({"_rtype": "memoryview", "_rvalue": b"a"}, b"a"),
        ({"_rtype": "typedarray", "_rvalue": b"a", "_rdtype": "uint8"}, b"a"),
        ({"_rtype": "ndarray", "_rvalue": b"a", "_rshape": [1], "_rdtype": "uint8"}, b"a"),
    ],
)
def test_bytes_come_in_many_forms(value: Any, expected: bytes) -> None:
    assert as_bytes(value, "it") == expected


@pytest.mark.parametrize("value", [5, [1], {"a": 1}, {"_rtype": "method"}])
def test_what_is_neither_bytes_nor_text_is_refused(value: Any) -> None:
    with pytest.raises(BadRequest, match="it is bytes or text"):
        as_bytes(value, "it")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, []),
        ([[b"A", b"b"], [b"a", b"c"]], [(b"a", b"b"), (b"a", b"c")]),
        ([["X-A", "b"]], [(b"x-a", b"b")]),
        ({"X-A": "b", "x-n": 5}, [(b"x-a", b"b"), (b"x-n", b"5")]),
        ({"set-cookie": ["a=1", "b=2"]}, [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]),
        ([[b"x", {"_rtype": "memoryview", "_rvalue": b"y"}]], [(b"x", b"y")]),
    ],
)
def test_headers_come_as_pairs_or_as_a_dict(
    value: Any, expected: list[tuple[bytes, bytes]]
) -> None:
    assert as_headers(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "text",
        [["a"]],
        [["a", "b", "c"]],
        [["a b", "c"]],
        [["", "c"]],
        [["a", "b\r\nset-cookie: c=d"]],
        [["a\n", "b\0"]],
        [["a", ["b"]]],
        {"a": {"b": 1}},
    ],
)
def test_a_header_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(BadRequest):
        as_headers(value)


@pytest.mark.parametrize(
    "header",
    [
        ["Transfer-Encoding", "chunked"],
        ["Connection", "close"],
        ["Service-Worker-Allowed", "/"],
        ["Clear-Site-Data", '"cookies"'],
        ["Strict-Transport-Security", "max-age=63072000; includeSubDomains; preload"],
        ["Set-Cookie", "__Host-hypha=stolen; Path=/; Secure"],
        ["Set-Cookie", " __host-hypha=stolen"],
        ["Set-Cookie", "=hypha=stolen"],
        ["Set-Cookie", "\xa0hypha=stolen"],
    ],
)
def test_what_is_for_the_hub_to_say_is_left_out(header: list[str]) -> None:
    assert as_headers([header, ["set-cookie", "hyphae=mine"]]) == [(b"set-cookie", b"hyphae=mine")]


OPENER, EMBEDDER = b"cross-origin-opener-policy", b"cross-origin-embedder-policy"


@pytest.mark.parametrize("value", [b"same-origin", b'same-origin ; report-to="x"'])
@pytest.mark.parametrize("embedders", [[], [b"unsafe-none"], [b"require-corp", b"require-corp"]])
def test_no_page_has_the_opener_policy_by_which_the_hubs_own_keep_out_others(
    value: bytes, embedders: list[bytes]
) -> None:
    """Of one origin and one policy, it could open them and read the token that is in them."""
    headers = [(EMBEDDER, each) for each in embedders]

    assert as_headers([(OPENER, value), *headers]) == headers


@pytest.mark.parametrize(
    "headers",
    [
        [(OPENER, b"same-origin"), (EMBEDDER, b"require-corp")],
        [(OPENER, b"same-origin-allow-popups")],
        [(OPENER, b"unsafe-none")],
    ],
)
def test_an_isolated_page_keeps_its_opener_policy(headers: list[tuple[bytes, bytes]]) -> None:
    assert as_headers(headers) == headers


@pytest.mark.parametrize("value", [99, 600, "200", None, True, 200.0])
def test_a_status_is_a_number_that_http_has(value: Any) -> None:
    with pytest.raises(BadRequest, match="'status'"):
        as_status(value)
