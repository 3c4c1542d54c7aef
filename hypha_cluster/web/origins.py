"""Which origins' pages may do something here: browsers say which page asks."""

from collections.abc import Container, Sequence
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from hypha_cluster.errors import PermissionDenied
from hypha_cluster.protocol.guard import shown
from hypha_cluster.web.headers import header
from hypha_cluster.web.lookup import base_url_of

_READING: Final = ("GET", "HEAD")
_LOOKING: Final = (*_READING, "OPTIONS")
_APPS: Final = "apps"
_LONGEST_CALL: Final = 5  # parts of /{workspace}/services/{service}/{function}


class Origins:
    """Knows the hub's own origin, and those that the operator allows: with commas, or `*`."""

    def __init__(self, allowed: str, public_base_url: str) -> None:
        self._allowed = {origin.strip() for origin in allowed.split(",")}
        self._public_base_url = public_base_url
        self.are_all = "*" in self._allowed

    def check(self, connection: HTTPConnection) -> None:
        """PermissionDenied for a page of another origin. Programs name no origin, and pass."""
        origin = header(connection, b"origin")
        if self.are_all or (origin and self._is_good(connection, origin)):
            return
        if origin or _is_of_elsewhere(connection):
            raise PermissionDenied(
                f"Pages of {shown(origin or 'elsewhere')} may not connect; the operator says by "
                "--allow-origins which may."
            )

    def _is_good(self, connection: HTTPConnection, origin: str) -> bool:
        if origin in self._allowed:
            return True
        own = urlsplit(self._public_base_url or base_url_of(connection))
        return origin == f"{own.scheme}://{own.netloc}"


def _is_of_elsewhere(connection: HTTPConnection) -> bool:
    """Whether a page of another site asks without naming its origin, as for a picture.

    Where a person follows a link, it is no page that asks.
    """
    asks = header(connection, b"sec-fetch-mode") not in ("", "navigate")
    return asks and header(connection, b"sec-fetch-site") in ("cross-site", "same-site")


class CheckOrigins:
    """Refuses requests of pages of other origins, except for what may be looked at by anybody.

    A web application decides for itself, since what another page sends comes with neither the
    cookie of the hub nor a token of its users. base_path: where everything is besides `/`.
    """

    def __init__(self, app: ASGIApp, origins: Origins, base_path: str) -> None:
        self._app = app
        self._origins = origins
        self._base_path = base_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._origins.are_all and self._does_something(scope):
            self._origins.check(HTTPConnection(scope))
        await self._app(scope, receive, send)

    def _does_something(self, scope: Scope) -> bool:
        path: str = scope["path"]
        if path.startswith(f"{self._base_path}/"):
            path = path.removeprefix(self._base_path)
        parts = path.split("/")
        if _is_an_applications(parts, scope["method"]):
            return False
        return scope["method"] not in _READING or _is_call(parts)


def _is_an_applications(parts: Sequence[str], method: str) -> bool:
    """Whether it is for /{workspace}/apps/{service}…, or for a file at /apps/{workspace}/{app}/….

    A workspace may be called `apps` too, and its services are no files.
    """
    if parts[2:3] == [_APPS] and parts[3:]:
        return True
    is_of_workspace = parts[2:3] == ["services"] and len(parts) <= _LONGEST_CALL
    return parts[1:2] == [_APPS] and method in _LOOKING and not is_of_workspace


def _is_call(parts: Container[str]) -> bool:
    """Whether a request for this path calls a function, or opens a connection."""
    return "services" in parts or "sse" in parts
