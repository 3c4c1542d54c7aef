"""/services/… and /workspaces/…: addresses of the original that have everything in the query."""

import json
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hypha_cluster.errors import BadArguments, BadRequest, PermissionDenied
from hypha_cluster.identity.access import may_oversee
from hypha_cluster.protocol.address import parse_service_id
from hypha_cluster.protocol.guard import shown
from hypha_cluster.registry.workspaces import Workspaces
from hypha_cluster.web.answers import answer
from hypha_cluster.web.arguments import Arguments, check
from hypha_cluster.web.lookup import Lookup
from hypha_cluster.web.services import ServicesApi

_ARGUMENTS: Final = "function_kwargs"


class OldAddresses:
    """Answers them as the addresses of today are answered."""

    def __init__(self, services: ServicesApi, lookup: Lookup, workspaces: Workspaces) -> None:
        self._services = services
        self._lookup = lookup
        self._workspaces = workspaces

    def routes(self) -> list[Route]:
        return [
            Route("/services/call", self.call, methods=["GET", "POST"]),
            Route("/services/list", self.list_services),
            Route("/workspaces/info", self.info),
            Route("/workspaces/list", self.list_workspaces),
        ]

    async def call(self, request: Request) -> Response:
        """Call a function of `service_id` by its `function_key`, with `function_kwargs`."""
        query: Arguments = dict(request.query_params)
        if _ARGUMENTS in query:
            query[_ARGUMENTS] = _from_json(query[_ARGUMENTS])
        with self._services.lease() as lease:
            body = await self._services.body(request, lease) or {}
            given = query | body
            arguments = given.get(_ARGUMENTS) or {}
            if not isinstance(arguments, dict):
                raise BadRequest(f"{_ARGUMENTS!r} is a map of the function's arguments.")
            check(arguments)
            request.scope["path_params"] = place_of(given)
            return await self._services.call_with(
                request, arguments, in_address=_ARGUMENTS not in body
            )

    async def list_services(self, request: Request) -> Response:
        return await self._services.list_services(_at_workspace(request))

    async def info(self, request: Request) -> Response:
        return await self._services.info(_at_workspace(request))

    async def list_workspaces(self, request: Request) -> Response:
        """Names of all workspaces, for admins alone: some names tell whose workspace it is."""
        if not may_oversee(await self._lookup.identify(request)):
            raise PermissionDenied("Only an admin may see this: a user with the role admin.")
        return await answer(request, await self._workspaces.names())


def _at_workspace(request: Request) -> Request:
    request.scope["path_params"] = {"workspace": _text(request.query_params, "workspace")}
    return request


def place_of(given: Mapping[str, Any]) -> dict[str, str]:
    """The workspace, service and function that a query names, as parts of a path."""
    wanted = parse_service_id(_text(given, "service_id"))
    named = given.get("workspace") or wanted.workspace
    if wanted.workspace not in (None, named):
        raise BadRequest(f"'workspace' is not that of the service, {shown(wanted.workspace)}.")
    workspace = _text({"workspace": named}, "workspace")
    service = f"{wanted.client}:{wanted.service}" if wanted.client else wanted.service
    function = _text(given, "function_key")
    return {"workspace": workspace, "service": service, "function": function}


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise BadArguments(f"{name!r} is missing: it is text, in the query or the body.")
    return value


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"{_ARGUMENTS!r} is not valid JSON: {error}") from None
