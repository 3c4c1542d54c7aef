"""Pages that the original had at /apps/built-in/…: what they did, or what does it now."""

from typing import Final, NamedTuple
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from hypha_cluster.features.pages.looking import Lookers
from hypha_cluster.web import assets
from hypha_cluster.web.rendering import Pages

ECHO: Final = "/apps/built-in/echo-service.html"
_CLIENT: Final = "dist/hypha-rpc-websocket.min.js"
# As the playground's frame: of no origin, and with the published client, which evaluates text.
_POLICY: Final = (
    "sandbox allow-scripts; default-src 'none'; style-src 'nonce-{nonce}'; img-src data:; "
    "script-src 'nonce-{nonce}' 'unsafe-eval'; connect-src {sockets}; base-uri 'none'; "
    "form-action 'none'"
)


class Gone(NamedTuple):
    """A page that is no more. instead: the words and the path of a link."""

    path: str
    was: str
    instead: tuple[str, str]


GONE: Final = (
    Gone(
        "/apps/built-in/test.html",
        "It was a window application that tests of the original used.",
        ("The playground runs clients in the browser", "/playground"),
    ),
    Gone(
        "/apps/built-in/imjoy-plugin-parser.html",
        "It was to parse ImJoy plugins in the browser, and did not work. This hub parses them when "
        "they are installed.",
        ("Services and functions are on the hub's page", "/"),
    ),
)


class OldPages:
    """The addresses that links and programs may still have."""

    def __init__(self, lookers: Lookers, pages: Pages) -> None:
        self._lookers = lookers
        self._pages = pages

    def routes(self) -> list[BaseRoute]:
        return [Route(ECHO, self.echo), *(Route(each.path, self.gone) for each in GONE)]

    async def echo(self, request: Request) -> Response:
        """A client that offers `echo-service`, as the query says: workspace, token, client_id."""
        base_url, root = self._lookers.base_url(request), self._lookers.root(request)
        place = urlsplit(base_url)
        client = base_url + assets.url("imjoy-rpc", _CLIENT)
        nonce, text = self._pages.fill("echo", root, hub=base_url, client=client)
        sockets = f"{'wss' if place.scheme == 'https' else 'ws'}://{place.netloc}{root}/ws"
        headers = {
            "Content-Security-Policy": _POLICY.format(nonce=nonce, sockets=sockets),
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",  # its address may have a token
            "X-Content-Type-Options": "nosniff",
        }
        return HTMLResponse(text, headers=headers)

    async def gone(self, request: Request) -> Response:
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        page = next(each for each in GONE if path.endswith(each.path))
        words, instead = page.instead
        root = self._lookers.root(request)
        return self._pages.show("gone", root, was=page.was, words=words, instead=instead)
