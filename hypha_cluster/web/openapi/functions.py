"""A workspace's functions as OpenAPI: one path for each, with what its signature says."""

import json
import math
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.limits import SHOWN_FUNCTIONS, SHOWN_TEXT
from hypha_cluster.protocol.signatures import Parameter, parameters
from hypha_cluster.web.forms import MULTIPART, URLENCODED
from hypha_cluster.web.headers import JSON
from hypha_cluster.web.openapi.parts import CALLING, Json, query, responses, result

_TYPES: Final = {
    "int": "integer",
    "float": "number",
    "str": "string",
    "bool": "boolean",
    "list": "array",
    "dict": "object",
}


def paths(workspace: str, service_id: str, service: Json) -> Json:
    """The paths of the first functions of a service; service: what its provider says of it."""
    found: Json = {}
    for name, function in islice(functions(service), SHOWN_FUNCTIONS):
        parts = (workspace, "services", service_id, name)
        found["/" + "/".join(quote(part, safe=":@") for part in parts)] = _operations(
            service_id, name, function
        )
    return found


def measured(workspace: str, service_id: str, service: Json) -> tuple[Json, int]:
    """The same, and how many bytes it is as JSON; for a thread, as it may take a while."""
    found = paths(workspace, service_id, service)
    return found, len(json.dumps(found).encode())


def functions(service: Json, prefix: str = "") -> Iterator[tuple[str, Json]]:
    """The functions of a service by their dotted names, wherever they stand in it."""
    for key, member in service.items():
        if rpc.is_reference(member):
            yield f"{prefix}{key}", member
        elif isinstance(member, dict) and "_rtype" not in member:
            yield from functions(member, f"{prefix}{key}.")


def _operations(service_id: str, name: str, function: Json) -> Json:
    docs = function.get("_rdoc")
    signature = function.get("_rsig")
    known = parameters(signature)
    text = docs[:SHOWN_TEXT].strip() if isinstance(docs, str) else ""
    described = f"{text}\n\n`{signature}`" if known is not None else text
    common = {
        "tags": [service_id],
        "summary": text.partition("\n")[0] or f"{service_id}.{name}",
        "description": described,
        "responses": responses(result(), CALLING),
    }
    identifier = f"{service_id}.{name}"
    return {
        "get": {
            **common,
            "operationId": f"{identifier}.get",
            "parameters": _in_query(known),
        },
        "post": {
            **common,
            "operationId": identifier,
            "requestBody": _body(known),
        },
    }


def _in_query(known: list[Parameter] | None) -> list[Json]:
    named = [
        query(each.name, _schema(each), required=each.default is None)
        for each in known or ()
        if not each.stars
    ]
    if known is not None and not _takes_any(known):
        return named
    anything = {"type": "object", "additionalProperties": True}
    return [*named, query("kwargs", anything, "Any other arguments by their names.")]


def _body(known: list[Parameter] | None) -> Json:
    named = [each for each in known or () if not each.stars]
    schema: Json = {
        "type": "object",
        "properties": {each.name: _schema(each) for each in named},
        "additionalProperties": known is None or _takes_any(known),
    }
    required = [each.name for each in named if each.default is None]
    if required:
        schema["required"] = required
    forms = (JSON, URLENCODED, MULTIPART)
    return {"required": bool(required), "content": {form: {"schema": schema} for form in forms}}


def _takes_any(known: list[Parameter]) -> bool:
    return any(each.stars == "**" for each in known)


def _schema(parameter: Parameter) -> Json:
    """The schema of a parameter: its written type is told, but only the function checks it."""
    base = parameter.type.partition("[")[0].lower()
    schema: Json = {"type": _TYPES[base]} if base in _TYPES else {}
    if parameter.type:
        schema["title"] = f"{parameter.name}: {parameter.type}"
    if parameter.default is not None and _is_json(value := parameter.value()):
        schema["default"] = value
        if value is None and "type" in schema:
            schema["type"] = [schema["type"], "null"]
    return schema


def _is_json(value: Any) -> bool:
    numbers = value if isinstance(value, list) else [value]
    return all(not isinstance(each, float) or math.isfinite(each) for each in numbers)
