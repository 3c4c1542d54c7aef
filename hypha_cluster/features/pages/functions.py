"""What a service offers, as a page shows it: functions, what they take, and how to call them.

All of it is text of strangers. It is shortened here, and escaped by whoever puts it into a page; in
code it is a literal, or left out.
"""

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from hypha_cluster.protocol import rpc, signatures
from hypha_cluster.protocol.limits import DEPTH, SHOWN_FUNCTIONS, SHOWN_TEXT, SIGNATURE

_NAME: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)
_EXAMPLES: Final = {"int": 1, "float": 1.0, "bool": True, "list": [], "dict": {}, "str": "text"}


class Parameter(NamedTuple):
    """One that a function takes. default: as the signature has it; None where there is none."""

    name: str
    annotation: str
    default: str | None


class Function(NamedTuple):
    """A function of a service. parameters: None if it is not known what it takes."""

    path: str
    signature: str
    docs: str
    parameters: list[Parameter] | None


class Place(NamedTuple):
    """Where a service is, and what it takes to call it. client: empty for any that offers it."""

    base_url: str
    workspace: str
    service: str
    is_public: bool


def functions_of(service: dict[str, Any], *, with_context: bool) -> list[Function]:
    """The functions of a service, those in maps of it too. with_context: the hub adds `context`."""
    found = []
    for path, reference in _references(service):
        parameters = parameters_of(reference.get("_rsig"))
        signature = _start(reference.get("_rsig"), SIGNATURE)
        if parameters and with_context:
            parameters = [each for each in parameters if each.name != "context"]
        docs = _start(reference.get("_rdoc"), SHOWN_TEXT)
        found.append(Function(path, signature or path, docs, parameters))
        if len(found) == SHOWN_FUNCTIONS:
            break
    return found


def _start(text: object, most: int) -> str:
    return text[:most] if isinstance(text, str) else ""


def _references(value: Any, path: str = "", level: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    if rpc.is_reference(value):
        yield path, value
    elif isinstance(value, dict) and level < DEPTH:
        for key, item in value.items():
            if isinstance(key, str) and "." not in key and len(path) + len(key) < SIGNATURE:
                yield from _references(item, f"{path}.{key}" if path else key, level + 1)


def parameters_of(signature: object) -> list[Parameter] | None:
    """Those of `work(a, b: int = 2)`; None for one that is no such text, or takes any number."""
    found = signatures.parameters(signature)
    if found is None or any(each.stars for each in found):
        return None
    return [Parameter(each.name, each.type, each.default) for each in found if each.name != "self"]


# How programs call it.


def snippets(place: Place, function: Function) -> list[tuple[str, str]]:
    """Titles and code; only HTTP for a function whose name is no name in a program."""
    arguments = {
        each.name: _EXAMPLES.get(each.annotation, "text")
        for each in function.parameters or ()
        if each.default is None
    }
    by_http = ("curl", _curl(place, function, arguments))
    if not _NAME.fullmatch(function.path):
        return [by_http]
    return [
        ("Python", _python(place, function, arguments)),
        ("Python, sync", _sync(place, function, arguments)),
        ("JavaScript", _javascript(place, function, arguments)),
        by_http,
    ]


def _config(place: Place) -> dict[str, str]:
    config = {"server_url": place.base_url}
    return config if place.is_public else {**config, "workspace": place.workspace, "token": "TOKEN"}


def _id(place: Place) -> str:
    return json.dumps(f"{place.workspace}/*:{place.service}")


def _keywords(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def _python(place: Place, function: Function, arguments: dict[str, Any]) -> str:
    return f"""\
import asyncio
from imjoy_rpc.hypha import connect_to_server

async def main():
    server = await connect_to_server({json.dumps(_config(place))})
    service = await server.get_service({_id(place)})
    print(await service.{function.path}({_keywords(arguments)}))

asyncio.run(main())"""


def _sync(place: Place, function: Function, arguments: dict[str, Any]) -> str:
    return f"""\
from imjoy_rpc.hypha.sync import connect_to_server

server = connect_to_server({json.dumps(_config(place))})
service = server.get_service({_id(place)})
print(service.{function.path}({_keywords(arguments)}))"""


def _javascript(place: Place, function: Function, arguments: dict[str, Any]) -> str:
    values = ", ".join(json.dumps(value) for value in arguments.values())
    return f"""\
const server = await hyphaWebsocketClient.connectToServer({json.dumps(_config(place))});
const service = await server.getService({_id(place)});
console.log(await service.{function.path}({values}));"""


def _curl(place: Place, function: Function, arguments: dict[str, Any]) -> str:
    url = f"{place.base_url}/{place.workspace}/services/{place.service}/{function.path}"
    token = "" if place.is_public else ' -H "Authorization: Bearer $TOKEN"'
    body = shlex.quote(json.dumps(arguments))
    return f"curl {shlex.quote(url)}{token} \\\n  -H 'Content-Type: application/json' -d {body}"
