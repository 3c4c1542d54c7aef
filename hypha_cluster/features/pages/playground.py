"""The playground: clients that a person writes and runs in their own browser.

The code runs in a worker within a sandboxed frame, whose origin is nobody's: it has no cookie, sees
no page, and reaches the hub only, as any program may. What it may do besides no other page may.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from hypha_cluster.features.feature import Grounds
from hypha_cluster.features.pages.looking import Lookers
from hypha_cluster.web import assets
from hypha_cluster.web.rendering import Pages

PAGE: Final = "/playground"
SANDBOX: Final = "/pages/sandbox"
OLD_PAGES: Final = ("/apps/built-in/playground.html", "/static/lite.html")
_EXAMPLES: Final = Path(__file__).parent / "examples"
_TITLES: Final = {
    "offer.js": "Offer a service",
    "call.js": "Call a service",
    "page.js": "Serve a web page",
}
_TOKEN_LIFETIME: Final = 900.0  # seconds; a connection lasts longer than the token that it began by
_CLIENT: Final = "dist/hypha-rpc-websocket.min.js"
# The published client evaluates text when it is loaded.
_POLICY: Final = (
    "sandbox allow-scripts; default-src 'none'; script-src 'nonce-{nonce}' 'unsafe-eval' {assets}; "
    "worker-src blob:; connect-src {hub} {sockets}; base-uri 'none'; form-action 'none'; "
    "frame-ancestors {origin}"
)


class Playground:
    """`/playground`, and the frame in which it runs code."""

    def __init__(self, grounds: Grounds, lookers: Lookers, pages: Pages) -> None:
        self._tokens = grounds.tokens
        self._lookers = lookers
        self._pages = pages
        self._examples = [
            (title, (_EXAMPLES / name).read_text(encoding="utf-8"))
            for name, title in _TITLES.items()
        ]

    def routes(self) -> list[BaseRoute]:
        old = [Route(path, self.moved) for path in OLD_PAGES]
        return [Route(PAGE, self.show), Route(SANDBOX, self.sandbox), *old]

    async def moved(self, request: Request) -> Response:
        return RedirectResponse(f"{self._lookers.root(request)}{PAGE}", 303)

    async def show(self, request: Request) -> Response:
        looker = await self._lookers.identify(request)
        user = looker.identity if looker.is_known else None
        token = self._tokens.issue(replace(user, origin=None), _TOKEN_LIFETIME) if user else ""
        return self._pages.show(
            "playground",
            self._lookers.root(request),
            headers={"Cross-Origin-Opener-Policy": "same-origin"},
            policy="; frame-src 'self'",
            base_url=self._lookers.base_url(request),
            user=user,
            token=token,
            examples=self._examples,
        )

    async def sandbox(self, request: Request) -> Response:
        """The frame; its policy names addresses, for an origin of nobody has no 'self'."""
        base_url, root = self._lookers.base_url(request), self._lookers.root(request)
        place = urlsplit(base_url)
        nonce, text = self._pages.fill(
            "sandbox",
            root,
            hub=base_url,
            client=base_url + assets.url("imjoy-rpc", _CLIENT),
        )
        policy = _POLICY.format(
            nonce=nonce,
            assets=f"{base_url}/assets/",
            hub=f"{base_url}/",
            sockets=f"{'wss' if place.scheme == 'https' else 'ws'}://{place.netloc}{root}/ws",
            origin=f"{place.scheme}://{place.netloc}",
        )
        headers = {
            "Content-Security-Policy": policy,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        return HTMLResponse(text, headers=headers)
