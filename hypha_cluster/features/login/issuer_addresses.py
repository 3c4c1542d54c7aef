"""`/authorize` and `/oauth/token`: where pages of the original find the issuer, at the hub."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from hypha_cluster.errors import BadRequest, NotFound, Overloaded
from hypha_cluster.features.login.attempts import check
from hypha_cluster.features.login.browser import read_form
from hypha_cluster.identity.providers import Provider
from hypha_cluster.protocol.limits import ISSUER_REQUESTS
from hypha_cluster.registry.logins import Attempts
from hypha_cluster.web.bodies import Room

# What a browser redeems. Nobody may try out passwords or secrets from the hub's address.
_GRANTS: Final = ("authorization_code", "refresh_token")
_REFUSED: Final = 400  # the lowest status by which an issuer refuses one


class IssuerAddresses:
    """Passes both on to the issuer of this hub. provider: None if there is none.

    For the issuer, all requests come from the hub; so whoever tries codes out is stopped here.
    refused: counts what the issuer refuses. source_of: the address for which a request counts, or
    empty.
    """

    def __init__(
        self, provider: Provider | None, refused: Attempts, source_of: Callable[[Request], str]
    ) -> None:
        self._provider = provider
        self._refused = refused
        self._source_of = source_of
        self._asked = 0  # how many the issuer has not answered yet
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
        source = self._source_of(request)
        what = f"redeem {source}"
        if source:
            await check(self._refused, what, "codes from this address that the issuer refuses")
        status, said = await self._relay(provider, form)
        if source and status >= _REFUSED:
            await self._refused.count(what)
        return JSONResponse(said, status, {"Cache-Control": "no-store"})

    async def _relay(
        self, provider: Provider, form: Mapping[str, str]
    ) -> tuple[int, dict[str, Any]]:
        if self._asked >= ISSUER_REQUESTS:
            raise Overloaded("Too many codes are being redeemed; try again in a moment.")
        self._asked += 1
        try:
            return await provider.relay(form)
        finally:
            self._asked -= 1

    def _issuer(self) -> Provider:
        if self._provider is None:
            raise NotFound(
                "This hub has no issuer that users log in at; its operator names one by "
                "--openid-issuer or --auth0-domain."
            )
        return self._provider
