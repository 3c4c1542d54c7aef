"""What the headers of a request say; Starlette looks through all of them for each."""

from typing import Final

from starlette.requests import HTTPConnection
from starlette.types import Scope

JSON: Final = "application/json"
_FIELDS: Final = "hypha.headers"  # of a scope


def header(connection: HTTPConnection, name: bytes) -> str:
    """A header by its name in lower case, the last one of that name; empty if there is none."""
    return header_of(connection.scope, name)


def header_of(scope: Scope, name: bytes) -> str:
    """The same of a scope, whose headers nobody changes any more."""
    fields: dict[bytes, bytes] | None = scope.get(_FIELDS)  # mostly there
    value = (fields_of(scope) if fields is None else fields).get(name)
    return value.decode("latin-1") if value else ""


def fields_of(scope: Scope) -> dict[bytes, bytes]:
    """All headers of a scope, the last one of each name."""
    fields: dict[bytes, bytes] | None = scope.get(_FIELDS)
    if fields is None:
        fields = scope[_FIELDS] = dict(scope["headers"])
    return fields


def media_type(connection: HTTPConnection) -> str:
    """The media type of a body, JSON unless it says otherwise."""
    return header(connection, b"content-type").partition(";")[0].strip().lower() or JSON
