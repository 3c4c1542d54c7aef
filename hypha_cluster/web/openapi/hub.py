"""The hub's own addresses as OpenAPI; the same on every gateway."""

from typing import Final

from hypha_cluster.web.arguments import MSGPACK
from hypha_cluster.web.forms import MULTIPART, URLENCODED
from hypha_cluster.web.headers import JSON
from hypha_cluster.web.openapi.parts import (
    CALLING,
    READING,
    Json,
    answer,
    document,
    in_path,
    query,
    responses,
    result,
)

_ANY: Final[Json] = {}
_OBJECT: Final[Json] = {"type": "object"}
_TEXT: Final[Json] = {"type": "string"}
_NAME: Final[Json] = {"type": "string", "minLength": 1}
_LIST: Final[Json] = {"type": "array", "items": _OBJECT}
_WORKSPACE: Final = in_path("workspace", "The name of a workspace; `public` is there always.")
_SERVICE: Final = in_path("service", "`name`, or `client:name` for one of several providers.")
_FUNCTION: Final = in_path("function", "The name of a function; with dots where it is nested.")
_MODE: Final = query(
    "_mode",
    {"enum": ["random", "first", "last", "least_busy"]},
    "Which of several providers answers.",
)
_NAMED: Final = query("workspace", _NAME, "The name of a workspace.", required=True)
_IN_JSON: Final[Json] = {
    "name": "function_kwargs",
    "in": "query",
    "description": "Its arguments.",
    "content": {JSON: {"schema": _OBJECT}},
}
_SERVER: Final = (405,)


def hub_document(server: str) -> Json:
    """The hub's own addresses. server: the URL by which the hub is reached."""
    return document(
        "Hypha",
        "The hub's own addresses. `/{workspace}/openapi.json` has the functions of a workspace.",
        server,
        {**_OWN, **_WORKSPACES, **_OLD},
    )


def _get(summary: str, good: Json, errors: tuple[int, ...] = READING, *parameters: Json) -> Json:
    return {
        "get": {
            "summary": summary,
            "parameters": list(parameters),
            "responses": responses(good, errors),
        }
    }


def _health(summary: str) -> Json:
    found = _get(summary, answer("It is well.", _OBJECT), _SERVER)
    found["get"]["responses"]["503"] = answer("`reasons` says what is wrong.", _OBJECT)
    return found


def _call(summary: str, parameters: list[Json], asked: list[Json], body: Json) -> Json:
    common = {"summary": summary, "responses": responses(result(), CALLING)}
    return {
        "get": {**common, "parameters": [*parameters, *asked]},
        "post": {**common, "parameters": parameters, "requestBody": body},
    }


def _body(schema: Json, *forms: str) -> Json:
    return {"content": {form: {"schema": schema} for form in forms}}


_OWN: Final[Json] = {
    "/": _get("What the hub says of itself", answer("Its name and version.", _OBJECT), _SERVER),
    "/health/live": _health("Whether the gateway is alive"),
    "/health/liveness": _health("The same"),
    "/health/ready": _health("Whether it takes clients"),
    "/metrics": _get(
        "Metrics for Prometheus", answer("Its text format.", _TEXT, "text/plain"), _SERVER
    ),
    "/api/stats": _get("The whole cluster, for an admin", answer("Gateways and all.", _OBJECT)),
    "/openapi.json": _get("This description", answer("OpenAPI 3.1.", _OBJECT), _SERVER),
}
_WORKSPACES: Final[Json] = {
    "/{workspace}/info": _get(
        "The settings of a workspace", answer("Its settings.", _OBJECT), READING, _WORKSPACE
    ),
    "/{workspace}/openapi.json": _get(
        "The functions of a workspace", answer("OpenAPI 3.1.", _OBJECT), READING, _WORKSPACE
    ),
    "/{workspace}/services": _get(
        "The services that you may see", answer("What is told of each.", _LIST), READING, _WORKSPACE
    ),
    "/{workspace}/services/{service}": _get(
        "One service, functions by their names",
        answer("The service.", _OBJECT),
        (*READING, 500, 502, 504),
        *(_WORKSPACE, _SERVICE, _MODE),
    ),
    "/{workspace}/services/{service}/{function}": _call(
        "Call a function",
        [_WORKSPACE, _SERVICE, _FUNCTION, _MODE],
        [query("kwargs", {**_OBJECT, "additionalProperties": True}, "Arguments by their names.")],
        _body(_OBJECT, JSON, MSGPACK, URLENCODED, MULTIPART),
    ),
}
_CALLED: Final[Json] = {
    "type": "object",
    "properties": {
        "service_id": _NAME,
        "function_key": _NAME,
        "workspace": _NAME,
        "function_kwargs": _OBJECT,
    },
    "required": ["service_id", "function_key", "workspace"],
}
_OLD: Final[Json] = {
    "/services/call": _call(
        "Call a function that the query or the body names",
        [],
        [
            query("service_id", _NAME, "Also `workspace/client:name`.", required=True),
            query("function_key", _NAME, "The name of a function.", required=True),
            query("workspace", _NAME, "As far as `service_id` does not say it.", required=True),
            _IN_JSON,
        ],
        {**_body(_CALLED, JSON, MSGPACK), "required": True},
    ),
    "/services/list": _get(
        "The services that you may see",
        answer("What is told of each.", _LIST),
        (*READING, 422),
        _NAMED,
    ),
    "/workspaces/info": _get(
        "The settings of a workspace", answer("Its settings.", _OBJECT), (*READING, 422), _NAMED
    ),
    "/workspaces/list": _get(
        "The names of all workspaces, for an admin",
        answer("Names.", {"type": "array", "items": _TEXT}),
    ),
}
