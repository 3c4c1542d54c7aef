"""/{workspace}/services…: list services and call their functions over HTTP (PROTOCOL 8)."""

import json
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgpack
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from hypha_cluster.errors import (
    BadRequest,
    NotAcceptable,
    TooLarge,
)
from hypha_cluster.hub.directory import Directory
from hypha_cluster.hub.visiting import Visitor, Visits
from hypha_cluster.identity.access import Identity
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.address import parse_service_id
from hypha_cluster.registry.services import Provider
from hypha_cluster.registry.workspaces import Workspaces
from hypha_cluster.web.lookup import Gatekeeper, base_url_of, token_of

JSON: Final = "application/json"
MSGPACK: Final = "application/msgpack"
MODE: Final = "_mode"  # the query parameter that says which of several providers answers


class ServicesApi:
    """Offers over HTTP what clients offer over RPC, to those who may use it."""

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        workspaces: Workspaces,
        directory: Directory,
        visits: Visits,
        public_base_url: str,
        max_body: int,
    ) -> None:
        self._gatekeeper = gatekeeper
        self._workspaces = workspaces
        self._directory = directory
        self._visits = visits
        self._public_base_url = public_base_url
        self._max_body = max_body

    def routes(self) -> list[Route]:
        function = "/{workspace}/services/{service}/{function}"
        return [
            Route(function, _Plain(self.call), methods=["GET", "POST"]),
            Route("/{workspace}/info", self.info),
            Route("/{workspace}/services", self.list),
            Route("/{workspace}/services/{service}", self.describe),
        ]

    async def info(self, request: Request) -> Response:
        identity, name = await self._identify(request), request.path_params["workspace"]
        workspace = await self._workspaces.require(identity, name)
        return JSONResponse(workspace.to_wire())

    async def list(self, request: Request) -> Response:
        """Infos of the services of a workspace that the caller may see."""
        name = request.path_params["workspace"]
        _, inside = await self._enter(request, name)
        return JSONResponse(await self._directory.visible(name, inside=inside))

    async def describe(self, request: Request) -> Response:
        """A service as its provider describes it, functions by their names."""
        visitor, provider = await self._find(request)
        return JSONResponse(described(await self._visits.describe(visitor, provider)))

    async def call(self, request: Request) -> Response:
        """Call a function with the parameters of the query or the body as keyword arguments."""
        visitor, provider = await self._find(request)
        path: str = request.path_params["function"]
        member = await self._visits.member(visitor, provider, path)
        if not rpc.is_reference(member):
            return _answer(request, member)
        arguments = await self._arguments(request)
        result = await self._visits.call(visitor, provider, member, [], arguments)
        return _answer(request, result)

    # Who, where, what.

    async def _identify(self, request: Request) -> Identity:
        token = token_of(request.headers.get("authorization"))
        return await self._gatekeeper.identify(token)

    async def _enter(self, request: Request, name: str) -> tuple[Identity, bool]:
        identity = await self._identify(request)
        return identity, await self._workspaces.may_enter_lately(identity, name)

    async def _find(self, request: Request) -> tuple[Visitor, Provider]:
        name, service = request.path_params["workspace"], request.path_params["service"]
        identity, inside = await self._enter(request, name)
        visitor = Visitor(identity, inside, self._public_base_url or base_url_of(request))
        mode = request.query_params.get(MODE, "random")
        wanted = parse_service_id(service)
        return visitor, await self._visits.find(visitor, wanted, name, mode=mode)

    async def _arguments(self, request: Request) -> dict[str, Any]:
        if request.method == "GET":
            pairs = request.query_params.multi_items()
            return {key: parse_parameter(value) for key, value in pairs if key != MODE}
        arguments = _decode(await self._body(request), _content_type(request))
        _check_arguments(arguments)
        return arguments

    async def _body(self, request: Request) -> bytes:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > self._max_body:
                raise TooLarge(f"A request body has at most {self._max_body} bytes.")
        if request.headers.get("content-encoding", "").lower() != "gzip":
            return bytes(body)
        return _inflate(bytes(body), self._max_body)


class _Plain:
    """An endpoint as an application, whose errors are answered further out, and only there."""

    def __init__(self, endpoint: Callable[[Request], Awaitable[Response]]) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._endpoint(Request(scope, receive, send))
        await response(scope, receive, send)


def _inflate(body: bytes, limit: int) -> bytes:
    inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(body, limit)
    except zlib.error as error:
        raise BadRequest(f"The request body is not valid gzip: {error}") from None
    if inflater.unconsumed_tail:
        raise TooLarge(f"A request body has at most {limit} bytes.")
    return inflated


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", JSON).partition(";")[0].strip().lower() or JSON


def _decode(body: bytes, content_type: str) -> dict[str, Any]:
    if content_type not in (JSON, MSGPACK):
        raise BadRequest(f"The content-type is {JSON} or {MSGPACK}, not {content_type!r}.")
    if not body:
        return {}
    try:
        value = json.loads(body) if content_type == JSON else msgpack.unpackb(body)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise BadRequest(f"The request body is not valid {content_type}: {error}") from None
    if not isinstance(value, dict):
        raise BadRequest("The request body is a map of the function's arguments.")
    return value


def _check_arguments(arguments: dict[str, Any]) -> None:
    """What travels on to a client is what a client could have sent (PROTOCOL 2.1)."""

    def refuse(_: dict[str, Any]) -> dict[str, Any]:
        raise BadRequest("A function cannot be passed over HTTP; connect by WebSocket.")

    rpc.rewrite_references(arguments, refuse)
    try:
        msgpack.packb(arguments)
    except (ValueError, OverflowError, TypeError) as error:
        raise BadRequest(f"The arguments cannot be sent as msgpack: {error}") from None


def parse_parameter(text: str) -> Any:
    """A query parameter as the original hub reads it (PROTOCOL 8.3)."""
    if text.isdecimal() and text.isascii():
        return int(text)
    try:
        return float(text)
    except ValueError:
        pass
    if text.startswith("{"):
        try:
            return json.loads(text)
        except ValueError:
            pass
    return text


def described(value: Any) -> Any:
    """An encoded value for people to read: functions by their names, the rest as it is."""
    if rpc.is_reference(value):
        return {"type": "function", "name": value["_rmethod"].rpartition(".")[2]}
    if isinstance(value, dict):
        return {key: described(item) for key, item in value.items()}
    if isinstance(value, list):
        return [described(item) for item in value]
    return value


def _answer(request: Request, value: Any) -> Response:
    value = described(value)
    if _content_type(request) == MSGPACK or MSGPACK in request.headers.get("accept", ""):
        return Response(msgpack.packb(value), media_type=MSGPACK)
    try:
        return JSONResponse(value)
    except (TypeError, ValueError):
        raise NotAcceptable(
            f"The result has values that JSON cannot carry; ask with 'Accept: {MSGPACK}'."
        ) from None


def error_response(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"success": False, "detail": text}, status, headers)
