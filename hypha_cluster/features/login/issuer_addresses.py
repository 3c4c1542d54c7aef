"""`/authorize` and `/oauth/token`: where pages of the original find the issuer, at the hub."""

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from hypha_cluster.errors import BadRequest, NotFound
from hypha_cluster.features.login.browser import read_form
from hypha_cluster.identity.providers import Provider
from hypha_cluster.web.bodies import Room

# What a browser redeems. The hub lends its address to no one who tries out passwords or secrets.
_GRANTS: Final = ("authorization_code", "refresh_token")


class IssuerAddresses:
    """Passes both on to the issuer of this hub. provider: None if there is none."""

    def __init__(self, provider: Provider | None) -> None:
        self._provider = provider
        self._room = Room()

    def routes(self) -> list[Route]:
        return [
            Route("/authorize", self.authorize),
            Route("/oauth/token", self.token, methods=["POST"]),
        ]

    async def authorize(self, request: Request) -> Response:
        """Lead a browser to where the issuer asks who it is, with the same question."""
        address = await self._issuer().endpoint("authorization_endpoint")
        joint = "&" if "?" in address else "?"
        query = request.url.query
        return RedirectResponse(f"{address}{joint}{query}" if query else address, 307)

    async def token(self, request: Request) -> Response:
        """Have the issuer redeem a code or a refresh token; its answer, with its status."""
        provider = self._issuer()
        form = await read_form(request, self._room)
        if form.get("grant_type") not in _GRANTS:
            raise BadRequest(f"'grant_type' is one of {', '.join(_GRANTS)}.")
        status, said = await provider.relay(form)
        return JSONResponse(said, status, {"Cache-Control": "no-store"})

    def _issuer(self) -> Provider:
        if self._provider is None:
            raise NotFound(
                "This hub has no issuer that users log in at; who runs it names one by "
                "--openid-issuer or --auth0-domain."
            )
        return self._provider
