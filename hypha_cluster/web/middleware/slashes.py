"""Redirects a path with a slash too many, or one too few, to the path that is there."""

from urllib.parse import quote

from starlette.responses import RedirectResponse
from starlette.routing import Match, Router
from starlette.types import Receive, Scope, Send


def lead_by_slashes(router: Router) -> Router:
    """Redirect in the place of the router, whose Location would be absolute.

    Only the proxy before the hub knows by which scheme, host and prefix the hub is reached.
    """
    router.redirect_slashes = False
    router.default = LedBySlashes(router)
    return router


class LedBySlashes:
    """Answers requests that no route matches."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        location = self._location(scope) if scope["type"] == "http" else None
        if location is None:
            await self._router.not_found(scope, receive, send)
        else:
            await RedirectResponse(location)(scope, receive, send)

    def _location(self, scope: Scope) -> str | None:
        """The other path, relative to this one; None if no route matches that either."""
        path: str = scope["path"]
        with_slash = path.endswith("/")
        other = path[:-1] if with_slash else f"{path}/"
        name = path.strip("/").rpartition("/")[2]
        if not name or other.endswith("//") or not self._has(scope, other):
            return None
        relative = f"../{quote(name, safe='')}" if with_slash else f"./{quote(name, safe='')}/"
        query: str = scope["query_string"].decode("latin-1")
        return f"{relative}?{query}" if query else relative

    def _has(self, scope: Scope, path: str) -> bool:
        there = {**scope, "path": path}
        return any(route.matches(there)[0] is not Match.NONE for route in self._router.routes)
