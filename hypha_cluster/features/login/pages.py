"""The pages by which people sign in, and let programs act as them."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from hypha_cluster import audit
from hypha_cluster.audit import Event
from hypha_cluster.errors import BadRequest, HubError, InvalidToken, TooMany
from hypha_cluster.features.login.browser import AWAY, Browsers, Signed
from hypha_cluster.features.login.signing_in import AWAY_TIME, SigningIn, address_of
from hypha_cluster.features.login.terms import PAGE, LoginSettings
from hypha_cluster.identity.access import Identity
from hypha_cluster.identity.tokens import Tokens, listed_id
from hypha_cluster.protocol.limits import SHORTEST_PASSWORD
from hypha_cluster.registry.accounts import Accounts
from hypha_cluster.registry.issued import IssuedToken, IssuedTokens
from hypha_cluster.registry.logins import Logins, Waiting, public_part
from hypha_cluster.web.middleware.failures import note_refusal
from hypha_cluster.web.rendering import Pages

ACCOUNT: Final = "/account"
CALLBACK: Final = "/login/callback"
_TEMPLATES: Final = Path(__file__).parent / "templates"

Endpoint = Callable[[Request], Awaitable[Response]]


class LoginPages:
    """What a browser is shown until a program has its token."""

    def __init__(
        self,
        settings: LoginSettings,
        browsers: Browsers,
        signing_in: SigningIn,
        accounts: Accounts,
        kept: tuple[Logins, IssuedTokens],
        tokens: Tokens,
    ) -> None:
        self._settings = settings
        self._browsers = browsers
        self._signing_in = signing_in
        self._accounts = accounts
        self._logins, self._issued = kept
        self._tokens = tokens
        self._pages = Pages(_TEMPLATES, with_scripts=False)

    def routes(self) -> list[Route]:
        page = self.guarded(self.page)
        return [
            Route(PAGE, page),
            Route(PAGE.rstrip("/"), page),
            Route("/login/sign-in", self.guarded(self.sign_in), methods=["POST"]),
            Route("/login/answer", self.guarded(self.answer), methods=["POST"]),
            Route("/login/sign-out", self.guarded(self.sign_out), methods=["POST"]),
            Route("/login/to/{provider}", self.guarded(self.send_away)),
            Route(CALLBACK, self.guarded(self.come_back)),
            Route("/login/invitation", self.guarded(self.invitation), methods=["GET", "POST"]),
        ]

    def guarded(self, endpoint: Endpoint) -> Endpoint:
        """Show on a page what went wrong; people read no JSON."""

        @wraps(endpoint)
        async def guarded(request: Request) -> Response:
            try:
                return await endpoint(request)
            except HubError as error:
                note_refusal(request, error)
                return self.failed(request, error)

        return guarded

    def failed(self, request: Request, error: HubError) -> Response:
        """A page that says what is wrong."""
        values = {"heading": "That did not work", "text": str(error), "back": ""}
        response = self.show(request, "message", error.status, **values)
        if isinstance(error, TooMany):
            response.headers["Retry-After"] = str(max(1, round(error.seconds)))
        return response

    def show(self, request: Request, page: str, status: int = 200, **values: Any) -> Response:
        return self._pages.show(page, self._browsers.root(request), status, **values)

    # Signing in.

    async def page(self, request: Request) -> Response:
        """Ask somebody to sign in; then ask whether the program may act as them."""
        key = public_part(request.query_params.get("key", ""))
        waiting = await self._logins.waiting(key) if key else None
        signed = await self._browsers.signed_in(request)
        if signed is None:
            return self._ask(request, key, waiting)
        if waiting is None:
            return self._go(request, ACCOUNT)
        return self.show(
            request, "consent", key=key, waiting=waiting, user=signed.identity, csrf=signed.csrf
        )

    def _ask(
        self,
        request: Request,
        key: str,
        waiting: Waiting | None,
        error: HubError | None = None,
        name: str = "",
    ) -> Response:
        response = self.show(
            request,
            "sign_in",
            error.status if error else 200,
            key=key,
            waiting=waiting,
            complaint=str(error) if error else "",
            name=name,
            is_local=self._settings.is_local,
            providers=self._signing_in.providers,
        )
        if isinstance(error, TooMany):
            response.headers["Retry-After"] = str(max(1, round(error.seconds)))
        return response

    async def sign_in(self, request: Request) -> Response:
        form = await self._browsers.form(request)
        key, name = public_part(form.get("key", "")), form.get("name", "")
        try:
            identity = await self._signing_in.by_password(
                name, form.get("password", ""), address_of(request)
            )
        except (InvalidToken, TooMany) as error:
            waiting = await self._logins.waiting(key) if key else None
            return self._ask(request, key, waiting, error, name)
        response = self._go_on(request, key)
        await self._browsers.sign_in(request, response, identity)
        return response

    def _go_on(self, request: Request, key: str) -> Response:
        return self._go(request, f"{PAGE}?key={key}" if key else ACCOUNT)

    def _go(self, request: Request, path: str) -> Response:
        """Redirect to another page of the hub; never to an address that came with the request."""
        return RedirectResponse(f"{self._browsers.root(request)}{path}", 303)

    async def sign_out(self, request: Request) -> Response:
        signed = await self._browsers.signed_in(request)
        form = await self._browsers.form(request, signed)
        key = public_part(form.get("key", ""))
        response = self._go(request, f"{PAGE}?key={key}" if key else PAGE)
        await self._browsers.sign_out(request, response)
        return response

    # Programs.

    async def answer(self, request: Request) -> Response:
        """Let a program have a token, or not."""
        signed = await self.required(request)
        form = await self._browsers.form(request, signed)
        if form.get("answer") not in ("allow", "refuse"):
            raise BadRequest("The answer is to allow it or to refuse.")
        is_allowed = form["answer"] == "allow"
        if is_allowed:
            await self._allow(signed.identity, form.get("key", ""))
        else:
            await self._logins.report(form.get("key", ""), None)
        text = "The program goes on by itself." if is_allowed else "The program gets nothing."
        return self.show(
            request,
            "message",
            heading="You are logged in" if is_allowed else "Refused",
            text=f"{text} You can close this window.",
            back=ACCOUNT,
        )

    async def _allow(self, user: Identity, key: str) -> None:
        """Give a program a token, which its user then finds on the account page."""
        program = await self._logins.program(key)
        now, lifetime, token_id = time.time(), self._settings.login_token_lifetime, listed_id()
        token = self._tokens.issue(replace(user, origin=None), lifetime, token_id)
        await self._logins.report(key, token)
        audit.note(Event.TOKEN_MADE, user=user.id, maker=user.id, scopes=(), program=program)
        entry = IssuedToken(token_id, program, (), now, now + lifetime, by_login=True)
        await self._issued.add(user.id, entry)

    async def required(self, request: Request) -> Signed:
        """Who has signed in; InvalidToken."""
        signed = await self._browsers.signed_in(request)
        if signed is None:
            raise InvalidToken("You are not logged in any more; log in again.")
        return signed

    # Issuers.

    async def send_away(self, request: Request) -> Response:
        key = public_part(request.query_params.get("key", ""))
        provider = request.path_params["provider"]
        address, browser = await self._signing_in.send_away(provider, key, self._callback(request))
        response = RedirectResponse(address, 303, {"Referrer-Policy": "no-referrer"})
        secure = self._browsers.is_secure(request)
        AWAY.write(response, browser, AWAY_TIME, secure=secure)
        return response

    async def come_back(self, request: Request) -> Response:
        secure = self._browsers.is_secure(request)
        identity, key = await self._signing_in.come_back(
            request.query_params, AWAY.read(request, secure=secure), self._callback(request)
        )
        response = self._go_on(request, key)
        AWAY.write(response, "", 0, secure=secure)
        await self._browsers.sign_in(request, response, identity)
        return response

    def _callback(self, request: Request) -> str:
        return f"{self._browsers.base_url(request)}{CALLBACK}"

    # Invitations.

    async def invitation(self, request: Request) -> Response:
        if request.method == "GET":
            return await self._show_invitation(request, request.query_params)
        form = await self._browsers.form(request)
        fields = [form.get(name, "") for name in ("code", "name", "email", "password")]
        try:
            identity = await self._signing_in.by_invitation(*fields)
        except HubError as error:
            return await self._show_invitation(request, form, error)
        response = self._go(request, ACCOUNT)
        await self._browsers.sign_in(request, response, identity)
        return response

    async def _show_invitation(
        self, request: Request, given: Mapping[str, str], error: HubError | None = None
    ) -> Response:
        code = given.get("code", "")
        invitation = await self._accounts.invited(code)
        return self.show(
            request,
            "invitation",
            error.status if error else 200,
            # The address of this page is a secret, which the browser would else tell the next page.
            headers={"Referrer-Policy": "strict-origin"},
            complaint=str(error) if error else "",
            account=invitation.account,
            code=code,
            name=given.get("name", ""),
            email=given.get("email", ""),
            shortest=SHORTEST_PASSWORD,
        )
