"""Pages that the original had at /apps/built-in/…: they do what those did, or were to do."""

from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from hypha_cluster.features.pages.looking import Lookers
from hypha_cluster.web import assets
from hypha_cluster.web.rendering import Pages

ECHO: Final = "/apps/built-in/echo-service.html"
TEST: Final = "/apps/built-in/test.html"
PARSER: Final = "/apps/built-in/imjoy-plugin-parser.html"
_CLIENT: Final = "dist/hypha-rpc-websocket.min.js"
# Like the playground's frame: without an origin; and the published client evaluates text.
_POLICY: Final = (
    "sandbox allow-scripts; default-src 'none'; style-src 'nonce-{nonce}'; img-src data:; "
    "script-src 'nonce-{nonce}' 'unsafe-eval'; connect-src {sockets} {hub}; base-uri 'none'; "
    "form-action 'none'"
)


class OldPages:
    """The addresses that links and programs may still have."""

    def __init__(self, lookers: Lookers, pages: Pages) -> None:
        self._lookers = lookers
        self._pages = pages

    def routes(self) -> list[BaseRoute]:
        return [Route(ECHO, self.echo), Route(TEST, self.test), Route(PARSER, self.parser)]

    async def echo(self, request: Request) -> Response:
        """A client that offers `echo-service`, as the query says: workspace, token, client_id."""
        return self._client("echo", request)

    async def test(self, request: Request) -> Response:
        """A client that tries the hub, likewise."""
        return self._client("test", request)

    def _client(self, name: str, request: Request) -> Response:
        """A page that is a client of the hub, and nothing else."""
        base_url, root = self._lookers.base_url(request), self._lookers.root(request)
        place = urlsplit(base_url)
        client = base_url + assets.url("imjoy-rpc", _CLIENT)
        nonce, text = self._pages.fill(name, root, hub=base_url, client=client)
        sockets = f"{'wss' if place.scheme == 'https' else 'ws'}://{place.netloc}{root}/ws"
        policy = _POLICY.format(nonce=nonce, sockets=sockets, hub=f"{base_url}/")
        headers = {
            "Content-Security-Policy": policy,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",  # its address may have a token
            "X-Content-Type-Options": "nosniff",
        }
        return HTMLResponse(text, headers=headers)

    async def parser(self, request: Request) -> Response:
        """A form that has the hub parse an ImJoy plugin file, for users with a name."""
        looker = await self._lookers.identify(request)
        root = self._lookers.root(request)
        return self._pages.show("parser", root, hint=looker.hint, token=looker.token)
