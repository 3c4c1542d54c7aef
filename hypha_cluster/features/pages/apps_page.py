"""The page of the server apps of a workspace: to install them, to run them, to see what they do.

Its script calls `server-apps` over HTTP, with a token of the user who looks at it. So it can do
nothing more than other programs; and no other page can do it, since the cookie alone does not count
there.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from hypha_cluster.features.pages.looking import Lookers
from hypha_cluster.features.pages.workspace_page import WorkspaceRoute
from hypha_cluster.web.rendering import Pages

_FORBIDDEN: Final = 403
# Values of `type`, and what they are called; the last two are told by `template` instead.
_KINDS: Final = (
    ("window", "JavaScript, in a page"),
    ("web-worker", "JavaScript, in a worker"),
    ("web-python", "Python"),
    ("iframe", "JavaScript, in a frame"),
    ("page", "A page of its own (HTML)"),
    ("plugin", "An ImJoy plugin file"),
)


class AppsPage:
    """`/{workspace}/apps/` for browsers."""

    def __init__(self, lookers: Lookers, pages: Pages) -> None:
        self._lookers = lookers
        self._pages = pages

    def routes(self) -> list[BaseRoute]:
        return [WorkspaceRoute("/{workspace}/apps/", self.show)]

    async def show(self, request: Request) -> Response:
        """The page; whoever may not enter the workspace, or has not logged in, is told so."""
        workspace: str = request.path_params["workspace"]
        looker = await self._lookers.identify(request)
        is_inside = looker.is_known and await self._lookers.may_enter(looker, workspace)
        return self._pages.show(
            "apps",
            self._lookers.root(request),
            200 if is_inside else _FORBIDDEN,
            headers={"Vary": "Accept"},
            workspace=workspace,
            user=looker.identity if looker.is_known else None,
            hint=looker.hint,
            inside=is_inside,
            token=looker.token if is_inside else "",
            kinds=_KINDS,
        )
