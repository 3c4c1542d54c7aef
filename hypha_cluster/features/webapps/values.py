"""Reads what an application has sent as ASGI wants it: bytes, headers, a status."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from hypha_cluster.errors import BadRequest
from hypha_cluster.protocol.guard import shown

_BINARY: Final = ("memoryview", "typedarray", "ndarray")  # types with their bytes in `_rvalue`
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NO_VALUE: Final = re.compile(rb"[\x00\r\n]")
# What belongs to the connection between the browser and the gateway, or to the hub's own pages: an
# application under the same origin must neither end other people's sessions nor watch their pages.
_OURS: Final = frozenset(
    (
        b"clear-site-data",
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"service-worker-allowed",
        b"strict-transport-security",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
_OPENER: Final = b"cross-origin-opener-policy"
_EMBEDDER: Final = b"cross-origin-embedder-policy"
# The login page's. Browsers send one without a name, `=hypha=…`, as if it had this one, and readers
# of cookies take away what they see as a space.
_OUR_COOKIE: Final = re.compile(rb"[\s\x1c-\x1f\x85\xa0=]*(?:__host-)?hypha\b", re.IGNORECASE)


def without_our_cookies(headers: Iterable[tuple[bytes, bytes]]) -> list[list[bytes]]:
    """The headers of a browser without the hub's own cookies: whoever has those is its user."""
    kept = []
    for name, value in headers:
        told = _others(value) if name == b"cookie" else value
        if told or not value:
            kept.append([name, told])
    return kept


def _others(cookies: bytes) -> bytes:
    each = (cookie.strip() for cookie in cookies.split(b";"))
    return b"; ".join(cookie for cookie in each if cookie and not _OUR_COOKIE.match(cookie))


def as_bytes(value: Any, what: str) -> bytes:
    """Bytes in any of the forms in which clients send them; text as UTF-8; nothing for None."""
    if isinstance(value, dict) and value.get("_rtype") in _BINARY:
        value = value.get("_rvalue")
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if value is None:
        return b""
    raise BadRequest(f"{what} is bytes or text, not {shown(value)}.")


def as_headers(value: Any) -> list[tuple[bytes, bytes]]:
    """Headers as pairs, or as a dict whose values are texts or lists of them."""
    if isinstance(value, dict):
        value = [
            (name, item)
            for name, items in value.items()
            for item in (items if isinstance(items, list) else [items])
        ]
    if not isinstance(value, list | None):
        raise BadRequest(f"'headers' is a list of pairs, not {shown(value)}.")
    headers = [pair for pair in map(_header, value or ()) if not _is_ours(*pair)]
    return [pair for pair in headers if not _joins_ours(pair, headers)]


def _header(pair: Any) -> tuple[bytes, bytes]:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise BadRequest(f"A header is a pair of name and value, not {shown(pair)}.")
    name = _header_part(pair[0], "The name of a header").strip().lower()
    value = _header_part(pair[1], f"The header {shown(name)}").strip()
    if not _NAME.fullmatch(name):
        raise BadRequest(f"{shown(name)} cannot be the name of a header.")
    if _NO_VALUE.search(value):
        raise BadRequest(f"The header {shown(name)} has a line break in it.")
    return name, value


def _header_part(value: Any, what: str) -> bytes:
    if isinstance(value, int | float):
        return str(value).encode()
    if isinstance(value, str):
        return value.encode("latin-1", "replace")
    return as_bytes(value, what)


def _is_ours(name: bytes, value: bytes) -> bool:
    return name in _OURS or (name == b"set-cookie" and bool(_OUR_COOKIE.match(value)))


def _joins_ours(pair: tuple[bytes, bytes], headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether a header lets a page look into the hub's own pages, of the same policy and origin.

    A page may have that policy if it is isolated too, which browsers take for another policy.
    """
    name, value = pair
    if name != _OPENER or value.partition(b";")[0].strip() != b"same-origin":
        return False
    return [value for name, value in headers if name == _EMBEDDER] != [b"require-corp"]


def as_status(value: Any) -> int:
    if type(value) is not int or not 100 <= value <= 599:
        raise BadRequest(f"'status' is a number from 100 to 599, not {shown(value)}.")
    return value
