"""The playground: clients that a person writes and runs in their own browser.

The code runs in a worker within a sandboxed frame, which has no origin: it has no cookie, sees no
page, and reaches nothing but the hub, as any program may. Its policy, which lets it evaluate text,
is that of no other page.
"""

import io
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from hypha_cluster.features.pages.looking import Lookers
from hypha_cluster.web import assets
from hypha_cluster.web.assets import catalogue
from hypha_cluster.web.rendering import Pages

PAGE: Final = "/playground"
SANDBOX: Final = "/pages/sandbox"
OLD_PAGES: Final = ("/apps/built-in/playground.html", "/static/lite.html")
_EXAMPLES: Final = Path(__file__).parent / "examples"
_TITLES: Final = {
    "offer.js": "Offer a service",
    "call.js": "Call a service",
    "page.js": "Serve a web page",
    "offer.py.txt": "Offer a service, in Python",
    "call.py.txt": "Call a service, in Python",
    "page.py.txt": "Serve a web page, in Python",
}
_LANGUAGES: Final = {"js": "JavaScript", "py": "Python"}
# What Python in the browser takes, besides msgpack, which every hub has.
_PYTHON: Final = ("pyodide", "imjoy_rpc", "shortuuid")
MSGPACK: Final = "/pages/msgpack.zip"
_CLIENT: Final = "dist/hypha-rpc-websocket.min.js"
# The published client evaluates text when it is loaded.
_POLICY: Final = (
    "sandbox allow-scripts; default-src 'none'; script-src 'nonce-{nonce}' 'unsafe-eval' {assets}; "
    "worker-src blob:; connect-src {hub} {sockets}; base-uri 'none'; form-action 'none'; "
    "frame-ancestors {origin}"
)


class Playground:
    """`/playground`, and the frame in which it runs code."""

    def __init__(self, lookers: Lookers, pages: Pages) -> None:
        self._lookers = lookers
        self._pages = pages
        self._examples = [
            (title, (_EXAMPLES / name).read_text(encoding="utf-8"), _LANGUAGES[name.split(".")[1]])
            for name, title in _TITLES.items()
        ]
        self._msgpack = _msgpack()

    def routes(self) -> list[BaseRoute]:
        old = [Route(path, self.moved) for path in OLD_PAGES]
        own = [
            Route(PAGE, self.show),
            Route(SANDBOX, self.sandbox),
            Route(MSGPACK, self.msgpack),
        ]
        return [*own, *old]

    async def moved(self, request: Request) -> Response:
        return RedirectResponse(f"{self._lookers.root(request)}{PAGE}", 303)

    async def show(self, request: Request) -> Response:
        looker = await self._lookers.identify(request)
        user = looker.identity if looker.is_known else None
        has_python = all(map(assets.is_there, _PYTHON))
        return self._pages.show(
            "playground",
            self._lookers.root(request),
            policy="; frame-src 'self'",
            base_url=self._lookers.base_url(request),
            hint=looker.hint,
            user=user,
            token=looker.token,
            examples=[each for each in self._examples if has_python or each[2] != "Python"],
            has_python=has_python,
        )

    async def sandbox(self, request: Request) -> Response:
        """The frame; its policy names addresses, since a page without an origin has no 'self'."""
        base_url, root = self._lookers.base_url(request), self._lookers.root(request)
        place = urlsplit(base_url)
        nonce, text = self._pages.fill(
            "sandbox",
            root,
            hub=base_url,
            client=base_url + assets.url("imjoy-rpc", _CLIENT),
            pyodide=base_url + assets.url("pyodide", "pyodide.js").removesuffix("pyodide.js"),
            packages=" ".join([base_url + MSGPACK, *(base_url + path for path in _wheels())]),
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

    async def msgpack(self, request: Request) -> Response:
        """What the Python client imports; the index has no wheel of it for browsers."""
        headers = {"Access-Control-Allow-Origin": "*", "Cache-Control": "max-age=3600"}
        return Response(self._msgpack, headers=headers, media_type="application/zip")


def _wheels() -> list[str]:
    found = [catalogue.find(name) for name in _PYTHON[1:]]
    return [assets.url(package.name, package.files[0]) for package in found if package]


def _msgpack() -> bytes:
    """The modules of msgpack, as they are installed here, in Python alone."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files("msgpack").iterdir():
            if file.name.endswith(".py"):
                archive.writestr(f"msgpack/{file.name}", file.read_bytes())
    return packed.getvalue()
