"""/{workspace}/services…: list services and call their functions over HTTP (protocol.md 8)."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl
from weakref import WeakValueDictionary

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from hypha_cluster.errors import BadArguments, RemoteError
from hypha_cluster.hub.directory import Directory
from hypha_cluster.hub.streams import FILE, is_stream
from hypha_cluster.hub.visiting import Visitor, Visits
from hypha_cluster.identity.access import PUBLIC
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.limits import SMALL_BODY
from hypha_cluster.registry.revocations import Revocations
from hypha_cluster.registry.services import Provider
from hypha_cluster.registry.workspaces import Workspaces
from hypha_cluster.web.answers import answer
from hypha_cluster.web.arguments import Arguments, do_not_fit, from_body, from_query
from hypha_cluster.web.bodies import Bodies, Lease, read_body
from hypha_cluster.web.forms import FORMS, from_form
from hypha_cluster.web.headers import JSON, header, media_type
from hypha_cluster.web.lookup import Lookup
from hypha_cluster.web.middleware.compression import answer_with
from hypha_cluster.web.streams import answer_stream

Query = list[tuple[str, str]]
MODE: Final = "_mode"  # the query parameter that says which of several providers answers


class ServicesApi:
    """Offers over HTTP what clients offer over RPC, to those who may use it."""

    def __init__(
        self,
        lookup: Lookup,
        workspaces: Workspaces,
        directory: Directory,
        visits: Visits,
        revocations: Revocations,
        bodies: Bodies,
    ) -> None:
        self._lookup = lookup
        self._workspaces = workspaces
        self._directory = directory
        self._visits = visits
        self._revocations = revocations
        self._bodies = bodies
        # One listing of a workspace is made at a time: a large one is in memory twice meanwhile.
        self._listing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def call_route(self) -> Route:
        """The route that is asked for most; so it stands before all others."""
        function = "/{workspace}/services/{service}/{function}"
        return Route(function, _Plain(self.call), methods=["GET", "POST"])

    def routes(self) -> list[Route]:
        return [
            Route("/{workspace}/info", self.info),
            Route("/{workspace}/services", self.list_services),
            Route("/{workspace}/services/{service}", self.describe),
        ]

    async def info(self, request: Request) -> Response:
        name = request.path_params["workspace"]
        identity = await self._lookup.identify(request)
        if name == PUBLIC:  # its settings are no secret
            return await answer(request, (await self._workspaces.get(name)).to_wire())
        return await answer(request, (await self._workspaces.require(identity, name)).to_wire())

    async def list_services(self, request: Request) -> Response:
        """Infos of the services of a workspace that the caller may see, ids without it.

        For `public` they are all that are public, wherever they are.
        """
        name = request.path_params["workspace"]
        visitor = await self._lookup.enter(request, name)
        async with self._listing.setdefault(name, asyncio.Lock()):
            if name == PUBLIC:
                infos = await self._directory.public()
            else:
                infos = await self._directory.visible(name, inside=visitor.inside)
            own = f"{name}/"
            return await answer(
                request, [{**each, "id": each["id"].removeprefix(own)} for each in infos]
            )

    async def describe(self, request: Request) -> Response:
        """A service as its provider describes it, functions by their names."""
        visitor, provider = await self._find(request, _query_of(request))
        service = await self._visits.describe(visitor, provider)
        return await answer(request, service, describe=True)

    async def call(self, request: Request) -> Response:
        """Call a function with keyword arguments: those of the body; without one, of the query."""
        query = _query_of(request)
        visitor, provider = await self._find(request, query)
        path: str = request.path_params["function"]
        member = await self._visits.member(visitor, provider, path)
        if request.method == "HEAD":  # the function is there; HEAD does not call it
            return Response(media_type=JSON)
        if not rpc.is_reference(member):
            return await answer(request, member)
        with self._bodies.room.lease() as lease:
            arguments = await self.body(request, lease) if request.method == "POST" else None
            if arguments is None:
                arguments = from_query([pair for pair in query if pair[0] != MODE])
                visitor = _saying_in_address(visitor, arguments)
            result = await self._call(visitor, provider, member, arguments)
        return await self._answer(request, visitor, provider, result)

    async def call_with(
        self, request: Request, arguments: Arguments, *, in_address: bool
    ) -> Response:
        """The same, with arguments that are read already. in_address: they stood in the query."""
        visitor, provider = await self._find(request, [])
        if in_address:
            visitor = _saying_in_address(visitor, arguments)
        member = await self._visits.member(visitor, provider, request.path_params["function"])
        if request.method == "HEAD":
            return Response(media_type=JSON)
        if not rpc.is_reference(member):
            return await answer(request, member)
        result = await self._call(visitor, provider, member, arguments)
        return await self._answer(request, visitor, provider, result)

    async def _answer(
        self, request: Request, visitor: Visitor, provider: Provider, result: Any
    ) -> Response:
        workspace = request.path_params["workspace"]
        held = partial(self._revocations.holding, visitor.identity, workspace)
        if is_stream(result):
            items = self._visits.follow(visitor, provider, result)
            return await answer_stream(request, items, held, is_file=result["_rtype"] == FILE)
        if isinstance(result, AsyncGenerator):  # of a function of the hub's own
            return await answer_stream(request, result, held, is_file=False)
        return await answer(request, result)

    async def _call(
        self, visitor: Visitor, provider: Provider, function: Any, arguments: Arguments
    ) -> Any:
        try:
            return await self._visits.call(visitor, provider, function, [], arguments)
        except RemoteError as error:
            if do_not_fit(function, str(error)):
                raise BadArguments(str(error)) from None
            raise

    async def _find(self, request: Request, query: Query) -> tuple[Visitor, Provider]:
        place = request.path_params
        mode = dict(query).get(MODE, "random")
        return await self._lookup.find(request, place["workspace"], place["service"], mode)

    def lease(self) -> Lease:
        """Room for the body of a request."""
        return self._bodies.room.lease()

    async def body(self, request: Request, lease: Lease) -> Arguments | None:
        """The map that a body is; None if there is none."""
        body = await read_body(request, lease, self._bodies.largest)
        if not body:
            return None
        decode: Callable[[], Arguments] = partial(from_body, body, kind := media_type(request))
        if kind in FORMS:
            decode = partial(from_form, body, header(request, b"content-type"))
        return decode() if len(body) <= SMALL_BODY else await asyncio.to_thread(decode)


def _saying_in_address(visitor: Visitor, arguments: Arguments) -> Visitor:
    """Treat a POST with arguments in its query like a GET: both put them into an address."""
    return visitor if visitor.by_get or not arguments else visitor._replace(by_get=True)


def _query_of(request: Request) -> Query:
    query: bytes = request.scope["query_string"]
    return parse_qsl(query.decode("latin-1"), keep_blank_values=True) if query else []


class _Plain:
    """Skips Starlette's exception wrapper of each route; the handlers of the app answer errors."""

    def __init__(self, endpoint: Callable[[Request], Awaitable[Response]]) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._endpoint(Request(scope, receive, send))
        await answer_with(response, scope, receive, send)
