"""Turns a request into the event for a function, and the dict that it returns into an answer."""

import json
from typing import Any, Final, NamedTuple

from hypha_cluster.errors import BadRequest, RemoteError
from hypha_cluster.features.webapps.values import as_bytes, as_headers, as_status
from hypha_cluster.identity.access import Identity
from hypha_cluster.protocol.guard import shown

INDEX: Final = "index"
_BODILESS: Final = (204, 304)  # an answer of this status has neither a body nor its length
_JSON: Final = b"application/json"
_HTML: Final = b"text/html; charset=utf-8"
_TEXT: Final = b"text/plain; charset=utf-8"
_BINARY: Final = b"application/octet-stream"


class Answer(NamedTuple):
    """The answer to a browser."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


NOT_FOUND: Final = Answer(404, [(b"content-type", b"text/plain")], b"Not Found")


def function_name(path: str) -> str | None:
    """The function that a path, relative to the service, is for; None if it can be none."""
    name = path.removeprefix("/").rstrip("/") or INDEX
    return None if "/" in name or "." in name else name


def event_of(scope: dict[str, Any], body: bytes, user: Identity | None) -> dict[str, Any]:
    """The argument of a function: the scope of an application, with text in the place of bytes.

    user: whom the token of the request speaks for; None when it has none.
    """
    return {
        **scope,
        "query_string": scope["query_string"].decode("utf-8", "replace"),
        "raw_path": scope["raw_path"].decode("latin-1"),
        "headers": {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        },
        "body": body or None,
        "context": {"user": user.to_wire() if user else None, "_rkwargs": True},
    }


def answer_of(result: Any) -> Answer:
    """Read what a function has returned; RemoteError says what is wrong with it."""
    try:
        return _read(result)
    except BadRequest as error:
        raise RemoteError(f"What the function has returned is no answer: {error}") from None


def _read(result: Any) -> Answer:
    if not isinstance(result, dict) or "_rtype" in result:
        raise BadRequest(
            f"it is a dict of 'status', 'headers' and 'body', as you need them, "
            f"not {shown(result)}."
        )
    status = as_status(result.get("status", 200))
    headers = [pair for pair in as_headers(result.get("headers")) if pair[0] != b"content-length"]
    body, content_type = _body(result.get("body"))
    if status in _BODILESS or status < 200:
        return Answer(status, headers, b"")
    if content_type and not any(name == b"content-type" for name, _ in headers):
        headers.append((b"content-type", content_type))
    return Answer(status, [*headers, (b"content-length", b"%d" % len(body))], body)


def _body(body: Any) -> tuple[bytes, bytes]:
    """The bytes of a body, and their media type if the function names none."""
    if body is None:
        return b"", b""
    if isinstance(body, str):
        # The original names no type, so that browsers guess.
        is_page = body.lstrip()[:1] == "<"
        return body.encode(), _HTML if is_page else _TEXT
    if isinstance(body, list) or (isinstance(body, dict) and "_rtype" not in body):
        try:
            return json.dumps(body, ensure_ascii=False, allow_nan=False).encode(), _JSON
        except (TypeError, ValueError) as error:
            raise BadRequest(f"'body' cannot be written as JSON: {error}.") from None
    return as_bytes(body, "'body'"), _BINARY
