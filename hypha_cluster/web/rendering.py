"""Pages as browsers get them: from templates, with nothing from anywhere else."""

import hashlib
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jinja2
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Match, Route
from starlette.types import Scope

from hypha_cluster.web import assets
from hypha_cluster.web.assets.catalogue import SWAGGER

FILES: Final = "/pages"
_SHARED: Final = Path(__file__).parent / "templates"
_POLICY: Final = (
    "default-src 'none'; style-src 'nonce-{nonce}'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
# A nonce and no 'self': strangers' web applications have scripts under the same origin.
_SCRIPTS: Final = (
    "; script-src 'nonce-{nonce}'; connect-src 'self'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
_HEADERS: Final = {
    "Cache-Control": "no-store",
    # A page that opened this one may not look into it: applications have the same origin.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers hide where forms come from
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_TYPES: Final = {".css": "text/css", ".js": "text/javascript"}


class Pages:
    """Fills templates of a folder, or of the one that all pages share; values go in as text.

    with_scripts: whether the pages run scripts of the hub's own; others run none at all.
    """

    def __init__(self, folder: Path, *, with_scripts: bool) -> None:
        self._policy = _POLICY + (_SCRIPTS if with_scripts else "")
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader([folder, _SHARED]),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def show(
        self,
        page: str,
        root: str,
        status: int = 200,
        /,
        *,
        headers: Mapping[str, str] | None = None,
        policy: str = "",
        **values: Any,
    ) -> HTMLResponse:
        """A page by the name of its template.

        root: what the paths of links begin with. policy: what this page may do besides.
        """
        nonce, text = self.fill(page, root, **values)
        allowed = {"Content-Security-Policy": self._policy.format(nonce=nonce) + policy}
        return HTMLResponse(text, status, {**_HEADERS, **allowed, **(headers or {})})

    def fill(self, page: str, root: str, /, **values: Any) -> tuple[str, str]:
        """The nonce of a page's scripts and styles, and its text."""
        nonce = secrets.token_urlsafe(12)
        template = self._templates.get_template(f"{page}.html")
        # Asked for each time, so that a package that is fetched while the hub runs is used at once.
        has_api_docs = assets.is_there(SWAGGER)
        return nonce, template.render(root=root, nonce=nonce, has_api_docs=has_api_docs, **values)


class PageFiles:
    """Styles and scripts of the hub's pages."""

    def __init__(self, *folders: Path) -> None:
        self._files = {
            path.name: path.read_bytes()
            for folder in (_SHARED, *folders)
            for path in folder.iterdir()
            if path.suffix in _TYPES
        }

    def routes(self) -> list[Route]:
        return [Route(f"{FILES}/{{file}}", self.file)]

    async def file(self, request: Request) -> Response:
        """A file; browsers ask each time whether it has changed, since gateways may differ."""
        name: str = request.path_params["file"]
        if name not in self._files:
            raise HTTPException(404)
        content = self._files[name]
        tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
        headers = {"Cache-Control": "no-cache", "ETag": tag, "X-Content-Type-Options": "nosniff"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, 200, headers, _TYPES[Path(name).suffix])


def wants_page(scope: Scope) -> bool:
    """Whether a person with a browser asks; programs do not ask for HTML."""
    return scope["type"] == "http" and "text/html" in Headers(scope=scope).get("accept", "")


class BrowserRoute(Route):
    """A route that is there for browsers only; programs get what they always got."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if not wants_page(scope):
            return Match.NONE, {}
        return super().matches(scope)
