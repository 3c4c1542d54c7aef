"""Serves web applications that run in clients: ASGI applications, and functions that answer.

Nothing is mounted: each request looks the service up in the registry. So every gateway serves every
application, and of several providers any that is connected answers.
"""

import urllib.parse
from typing import Any

from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from hypha_cluster.errors import HubError
from hypha_cluster.features.feature import Feature, Grounds, Lookups
from hypha_cluster.features.webapps.asgi import AsgiServer
from hypha_cluster.features.webapps.entrance import Entrance
from hypha_cluster.features.webapps.functions import FunctionServer
from hypha_cluster.features.webapps.providers import FUNCTIONS, Application
from hypha_cluster.protocol.address import parse_service_id
from hypha_cluster.web.answers import error_response
from hypha_cluster.web.middleware.compression import as_it_is


class WebApps(Feature):
    """/{workspace}/apps/{id}/…"""

    name = "webapps"

    def __init__(self, settings: Any, grounds: Grounds) -> None:
        self._grounds = grounds

    def routes(self, lookups: Lookups) -> list[BaseRoute]:
        path = "/{workspace}/apps/{service}"
        return [Route(path, _AddSlash()), Mount(path, app=_Serving(self._grounds, lookups))]


class _Serving:
    """What is behind the path of an application."""

    def __init__(self, grounds: Grounds, lookups: Lookups) -> None:
        self._entrance = Entrance(grounds, lookups.lookup)
        self._visits = lookups.visits
        self._asgi = AsgiServer(lookups.visits, grounds.revocations, grounds.supervisor)
        self._functions = FunctionServer(lookups.visits, grounds.room)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request, or a WebSocket, from its first message to its last."""
        if scope["type"] == "http":
            await self._serve(scope, receive, as_it_is(scope, send))
            return
        try:
            await self._serve(scope, receive, send)
        except HubError as error:
            await _deny(WebSocket(scope, receive, send), error)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        workspace, service = scope["path_params"]["workspace"], scope["path_params"]["service"]
        guest = await self._entrance.admit(HTTPConnection(scope), workspace)
        application = Application(self._visits, guest, workspace, parse_service_id(service))
        provider = await application.find()
        server = self._functions if provider.info["type"] == FUNCTIONS else self._asgi
        await server.serve(application, provider, scope, receive, send)


class _AddSlash:
    """Redirects `/{workspace}/apps/{id}` to the same with a slash, whatever a proxy made of it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = urllib.parse.quote(scope["path_params"]["service"], safe=":@")
        query = scope["query_string"].decode("latin-1")
        response = RedirectResponse(f"./{name}/" + (f"?{query}" if query else ""), 307)
        await response(scope, receive, send)


async def _deny(websocket: WebSocket, error: HubError) -> None:
    """Refuse a WebSocket, with the reason if the server can say it."""
    if "websocket.http.response" in websocket.scope.get("extensions", {}):
        await websocket.send_denial_response(error_response(error.status, str(error)))
    else:
        await websocket.close(error.close_code, str(error))
