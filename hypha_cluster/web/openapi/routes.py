"""/openapi.json, /{workspace}/openapi.json and /api-docs."""

import asyncio
import base64
import contextlib
import hashlib
import html
import secrets
from collections.abc import Iterable
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from hypha_cluster.errors import ClientAway, HubError
from hypha_cluster.hub.directory import Directory
from hypha_cluster.hub.visiting import Visitor, Visits
from hypha_cluster.protocol.address import ServiceQuery
from hypha_cluster.protocol.limits import (
    DESCRIBED_AT_ONCE,
    DESCRIBED_SERVICES,
    DESCRIPTION,
    DESCRIPTION_PATIENCE,
)
from hypha_cluster.web import assets
from hypha_cluster.web.answers import answer
from hypha_cluster.web.assets.catalogue import SWAGGER
from hypha_cluster.web.lookup import Lookup
from hypha_cluster.web.openapi.functions import measured
from hypha_cluster.web.openapi.hub import hub_document
from hypha_cluster.web.openapi.parts import Json, document

_SCRIPT: Final = """
const named = new URLSearchParams(location.search).get("workspace");
const base = location.pathname.replace(/\\/api-docs$/, "");
const url = base + (named ? "/" + encodeURIComponent(named) : "") + "/openapi.json";
const label = () => {
  for (const select of document.querySelectorAll("#docs select:not([aria-label])")) {
    select.setAttribute("aria-label", select.id === "servers" ? "Server" : "Choice");
  }
};
const docs = document.getElementById("docs");
new MutationObserver(label).observe(docs, { childList: true, subtree: true });
SwaggerUIBundle({ url, dom_id: "#docs", validatorUrl: null });
"""
# Swagger UI's own colours are too faint for many; and without deep links no link is in a button.
_STYLE: Final = """
.swagger-ui .info .title small { background: #5b626f; }
.swagger-ui .info .title small.version-stamp { background: #3f6200; }
.swagger-ui .info .link .url, .swagger-ui .info a { color: #14599e; }
.swagger-ui .btn.authorize { border-color: #17693f; color: #17693f; }
.swagger-ui .btn.authorize svg { fill: #17693f; }
.swagger-ui .opblock .opblock-summary-method { background: #14599e !important; }
.swagger-ui .opblock.opblock-post .opblock-summary-method { background: #17693f !important; }
.swagger-ui .opblock.opblock-put .opblock-summary-method { background: #874a00 !important; }
.swagger-ui .opblock.opblock-delete .opblock-summary-method { background: #b3161b !important; }
.swagger-ui .json-schema-2020-12-expand-deep-button { color: #3b4151; }
"""
_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>What this hub offers over HTTP</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{base}{style}">
<style>{colours}</style>
<div id="docs"><p>The description is loading.</p></div>
<noscript>It needs JavaScript; <a href="{base}/openapi.json">openapi.json</a> does not.</noscript>
<script src="{base}{bundle}" nonce="{nonce}"></script>
<script>{script}</script>
</html>
"""
_DIGEST: Final = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
# A nonce and no 'self': strangers' web applications have scripts under the same origin, and what
# they say of their functions is shown as Markdown, on a page into which people put their tokens.
_POLICY: Final = (
    f"default-src 'none'; script-src 'nonce-{{nonce}}' 'sha256-{_DIGEST}'; connect-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class OpenApi:
    """Says what can be asked for, to programs and on a page."""

    def __init__(self, lookup: Lookup, directory: Directory, visits: Visits) -> None:
        self._lookup = lookup
        self._directory = directory
        self._visits = visits

    def routes(self) -> list[Route]:
        return [
            Route("/openapi.json", self.of_hub),
            Route("/services/openapi.json", self.of_hub),
            Route("/{workspace}/openapi.json", self.of_workspace),
            Route("/api-docs", self.page),
            Route("/api-redoc", self.lead_to_page),
        ]

    async def of_hub(self, request: Request) -> Response:
        return JSONResponse(hub_document(self._lookup.base_url(request)))

    async def of_workspace(self, request: Request) -> Response:
        """The functions of all services that the caller may use and whose providers answer."""
        name = request.path_params["workspace"]
        visitor = await self._lookup.enter(request, name)
        wanted = await self._services(visitor, name)
        described = await self._described(visitor, name, wanted[:DESCRIBED_SERVICES])
        missing = [service for service in wanted if service not in described]
        text = f"The functions of the workspace {name}, as far as you may call them."
        if missing:
            text += f" Not described, since nobody answers or there is too much: {len(missing)}."
        paths = {path: what for found in described.values() for path, what in found.items()}
        whole = document(name, text, visitor.base_url, paths)
        return await answer(request, whole)

    async def page(self, request: Request) -> Response:
        base, nonce = request.scope.get("root_path", ""), secrets.token_urlsafe(12)
        headers = _HEADERS | {"Content-Security-Policy": _POLICY.format(nonce=nonce)}
        if not assets.is_there(SWAGGER):
            return HTMLResponse(_missing(), 503, headers)
        style, bundle = (
            assets.url(SWAGGER, file) for file in ("swagger-ui.css", "swagger-ui-bundle.js")
        )
        page = _PAGE.format(
            base=base, style=style, bundle=bundle, colours=_STYLE, script=_SCRIPT, nonce=nonce
        )
        return HTMLResponse(page, headers=headers)

    async def lead_to_page(self, request: Request) -> Response:
        return RedirectResponse("./api-docs")

    async def _services(self, visitor: Visitor, workspace: str) -> list[str]:
        """The names of services, whoever provides them."""
        infos = await self._directory.visible(workspace, inside=visitor.inside)
        return sorted({info["id"].rpartition(":")[2] for info in infos})

    async def _described(
        self, visitor: Visitor, workspace: str, services: Iterable[str]
    ) -> dict[str, Json]:
        """The paths of services, as far as providers answer in time, and within DESCRIPTION."""
        turns, described, left = asyncio.Semaphore(DESCRIBED_AT_ONCE), {}, DESCRIPTION

        async def ask(service: str) -> None:
            nonlocal left
            async with turns:
                with contextlib.suppress(HubError):
                    said = await self._describe(visitor, workspace, service)
                    found, size = await asyncio.to_thread(measured, workspace, service, said)
                    if size <= left:
                        described[service], left = found, left - size

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DESCRIPTION_PATIENCE):
                await asyncio.gather(*map(ask, services))
        return described

    async def _describe(self, visitor: Visitor, workspace: str, service: str) -> Json:
        wanted = ServiceQuery(workspace, None, service)
        provider = await self._visits.find(visitor, wanted, workspace)
        if not provider.online:
            raise ClientAway.at(provider.address)
        return await self._visits.known(visitor, provider)


def _missing() -> str:
    package = assets.find(SWAGGER)
    assert package is not None
    how = html.escape(assets.how_to_get(package))
    rest = '<a href="openapi.json">openapi.json</a> is there without it.'
    return f"<!doctype html><html lang=en><title>No Swagger UI</title><p>{how}<p>{rest}</html>"
