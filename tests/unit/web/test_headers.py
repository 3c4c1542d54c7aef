"""Headers by their names, whatever a request brings."""

import pytest
from starlette.requests import Request

from hypha_cluster.web.headers import header, media_type


def request(*headers: tuple[bytes, bytes]) -> Request:
    return Request({"type": "http", "headers": list(headers)})


def test_a_header_is_found_by_its_name() -> None:
    asked = request((b"a", b"1"), (b"b", b"\xe9"), (b"a", b"2"))

    assert [header(asked, name) for name in (b"a", b"b", b"c")] == ["2", "é", ""]


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (b"application/json; charset=utf-8", "application/json"),
        (b"Application/MsgPack", "application/msgpack"),
        (b" text/csv ", "text/csv"),
        (b"", "application/json"),
        (b";", "application/json"),
    ],
)
def test_the_kind_of_a_body_is_its_media_type(given: bytes, kind: str) -> None:
    assert media_type(request((b"content-type", given))) == kind
    assert media_type(request()) == "application/json"
