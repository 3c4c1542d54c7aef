"""/apps/…: the files of installed apps, for whoever may enter their workspace.

A page loads its files without a token: its address has a ticket in it, which opens the files of
this one app: that of a user for an hour, that of an instance as long as it is wanted. All is served
in a sandbox, since the code of an app is its author's: under the hub's own origin it could do
whatever the user who looks at it may.
"""

import json
import mimetypes
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from hypha_cluster.errors import NotFound, PermissionDenied
from hypha_cluster.features.launcher.identifiers import check_file_name
from hypha_cluster.features.launcher.manifest import INDEX, RDF, listed
from hypha_cluster.features.login.browser import Browsers
from hypha_cluster.identity.access import Identity
from hypha_cluster.registry.apps import App, Apps
from hypha_cluster.registry.instance_pages import InstancePages
from hypha_cluster.registry.workspaces import Workspaces
from hypha_cluster.web.headers import header
from hypha_cluster.web.lookup import Gatekeeper, Lookup, token_of

TICKET: Final = "~"  # what the part of an address that is a ticket begins with
_HEADERS: Final = {
    "Access-Control-Allow-Origin": "*",  # in its sandbox the page comes from nowhere
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": (
        "sandbox allow-downloads allow-forms allow-modals allow-pointer-lock allow-popups "
        "allow-scripts"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class AppPages:
    """Serves files from the registry, so every gateway serves all of them."""

    def __init__(
        self,
        apps: Apps,
        pages: InstancePages,
        gatekeeper: Gatekeeper,
        lookup: Lookup,
        workspaces: Workspaces,
        browsers: Browsers,
    ) -> None:
        self._apps = apps
        self._pages = pages
        self._browsers = browsers
        self._gatekeeper = gatekeeper
        self._lookup = lookup
        self._workspaces = workspaces

    def routes(self) -> Sequence[Route]:
        return [Route("/apps/{workspace}/{app}/{path:path}", self.serve)]

    async def serve(self, request: Request) -> Response:
        """A file of an app; NotFound, PermissionDenied, InvalidToken or BadRequest."""
        workspace, key = request.path_params["workspace"], request.path_params["app"]
        first, _, rest = request.path_params["path"].partition("/")
        if first.startswith(TICKET):
            app = await self._opened(workspace, key, first.removeprefix(TICKET))
            return await self._file(request, app, rest)
        identity, is_in_header = await self._identify(request, workspace)
        if not await self._workspaces.may_use_lately(identity, workspace):
            raise PermissionDenied(f"Permission denied for workspace {workspace}.")
        app = await self._apps.get(workspace, key)
        if is_in_header:
            return await self._file(request, app, request.path_params["path"])
        return await self._to_ticket(request, app)

    async def _opened(self, workspace: str, key: str, ticket: str) -> App:
        """The version of an app with which a page was opened, even if there is a newer one."""
        opens = self._pages.opens if "." in ticket else self._apps.opens
        number = await opens(ticket, f"{workspace}/{key}")
        app = await self._apps.get(workspace, key) if number else None
        if number is None or app is None:
            raise PermissionDenied("This address of an app is too old; open the app anew.")
        return app if app.version == number else await self._apps.version(app, number)

    async def _identify(self, request: Request, workspace: str) -> tuple[Identity, bool]:
        """Who asks, and whether a header says so."""
        if authorization := header(request, b"authorization"):
            return await self._gatekeeper.identify(token_of(authorization)), True
        if token := token_of(request.query_params.get("token")):
            return await self._gatekeeper.identify(token), False
        user = await self._browsers.visitor(request)
        if user is None:
            raise PermissionDenied(f"Token not provided for the apps of {workspace}.")
        return user, False

    async def _to_ticket(self, request: Request, app: App) -> Response:
        """Lead to the same file by an address with a ticket, and without the token."""
        path = request.path_params["path"] or INDEX
        if path not in app.files and path != RDF:
            raise NotFound(f"File not found: {app.id}/{check_file_name(path)}")
        ticket = await self._apps.issue_ticket(app)
        others = [(k, v) for k, v in request.query_params.multi_items() if k != "token"]
        up = "../" * path.count("/") or "./"
        address = f"{up}{TICKET}{ticket}/{quote(path)}"
        query = f"?{urlencode(others)}" if others else ""
        return RedirectResponse(address + query, 307, {"Cache-Control": "no-store"})

    async def _file(self, request: Request, app: App, path: str) -> Response:
        name = path or INDEX
        if name == RDF:
            text = json.dumps(listed(app, self._lookup.base_url(request)), indent=4)
            return Response(text, headers=_HEADERS, media_type="application/json")
        file = app.files.get(name)
        if file is None:
            raise NotFound(f"File not found: {app.id}/{check_file_name(name)}")
        headers = {**_HEADERS, "ETag": f'"{file.digest[:32]}"'}
        if headers["ETag"] in header(request, b"if-none-match"):
            return Response(status_code=304, headers=headers)
        content = b"" if request.method == "HEAD" else await self._apps.content(app, name)
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        response = Response(content, headers=headers, media_type=kind)
        if request.method == "HEAD":
            response.headers["Content-Length"] = str(file.size)
        return response
