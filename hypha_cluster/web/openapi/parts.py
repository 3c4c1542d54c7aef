"""The parts that all descriptions are made of."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from hypha_cluster import __version__
from hypha_cluster.web.answers import OCTETS
from hypha_cluster.web.arguments import MSGPACK
from hypha_cluster.web.headers import JSON
from hypha_cluster.web.streams import EVENTS, LINES

Json = dict[str, Any]

ERRORS: Final[Mapping[int, str]] = {
    400: "The request makes no sense as it stands.",
    401: "The token is not valid.",
    403: "It is protected; or you are no member of the workspace.",
    404: "There is no such workspace, client, service or function.",
    405: "Another method is right; `Allow` says which.",
    406: "The answer cannot be put into the form that was asked for.",
    408: "The body did not come in time.",
    413: "The body, or what is in it, is more than the hub takes.",
    415: "The body is of a kind, or in an encoding, that the hub does not read.",
    422: "An argument is missing, or is one that the function does not have.",
    429: "More was asked for than one user or address may; `Retry-After` says when to try again.",
    500: "The function failed, and `detail` says what its exception said.",
    502: "The provider left before it answered.",
    503: "The provider, or the hub's Redis, is away at the moment.",
    504: "The provider did not answer in time.",
}
READING: Final = (400, 401, 403, 404, 405, 429, 503)
CALLING: Final = tuple(ERRORS)
_COMPONENTS: Final[Json] = {
    "schemas": {
        "Error": {
            "type": "object",
            "required": ["success", "detail"],
            "properties": {
                "success": {"const": False},
                "detail": {"type": "string", "description": "One sentence for people."},
            },
        }
    },
    "responses": {
        f"Error{status}": {
            "description": text,
            "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
        for status, text in ERRORS.items()
    },
    "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
}


def document(title: str, description: str, server: str, paths: Json) -> Json:
    """A whole description; server: the URL that the paths are under."""
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "description": description, "version": __version__},
        "servers": [{"url": server or "/"}],
        "paths": paths,
        "components": _COMPONENTS,
        "security": [{}, {"token": []}],
    }


def responses(good: Json, errors: Sequence[int]) -> Json:
    """An answer, and what else may come instead of it."""
    failures = {str(status): {"$ref": f"#/components/responses/Error{status}"} for status in errors}
    return {"200": good, **failures}


def answer(description: str, schema: Json, media_type: str = JSON) -> Json:
    return {"description": description, "content": {media_type: {"schema": schema}}}


def result() -> Json:
    """Whatever a function returns, in the form that was asked for."""
    forms = (JSON, MSGPACK, OCTETS, LINES, EVENTS, "text/plain")
    return {
        "description": "What the function returns.",
        "content": {form: {"schema": {}} for form in forms},
    }


def query(name: str, schema: Json, description: str = "", *, required: bool = False) -> Json:
    described = {"description": description} if description else {}
    return {"name": name, "in": "query", "required": required, "schema": schema, **described}


def in_path(name: str, description: str) -> Json:
    schema = {"type": "string", "minLength": 1}
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": schema,
        "description": description,
    }
