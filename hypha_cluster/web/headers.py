"""What the headers of a request say; Starlette looks through all of them for each."""

from typing import Final

from starlette.requests import HTTPConnection

JSON: Final = "application/json"
_FIELDS: Final = "hypha.headers"  # of a scope


def header(connection: HTTPConnection, name: bytes) -> str:
    """A header by its name in lower case, the last one of that name; empty if there is none."""
    scope = connection.scope
    fields: dict[bytes, bytes] | None = scope.get(_FIELDS)
    if fields is None:
        fields = scope[_FIELDS] = dict(scope["headers"])
    return fields.get(name, b"").decode("latin-1")


def media_type(connection: HTTPConnection) -> str:
    """The media type of a body, JSON unless it says otherwise."""
    return header(connection, b"content-type").partition(";")[0].strip().lower() or JSON
