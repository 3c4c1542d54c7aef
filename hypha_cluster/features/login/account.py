"""The account page: who one is, one's workspaces and tokens."""

import asyncio
import contextlib
import time
from dataclasses import replace
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from hypha_cluster.errors import BadRequest, Conflict
from hypha_cluster.features.login.browser import Browsers
from hypha_cluster.features.login.pages import ACCOUNT, Endpoint, LoginPages
from hypha_cluster.features.login.service import TokenBook
from hypha_cluster.features.login.terms import PAGE
from hypha_cluster.identity.access import (
    PUBLIC,
    Action,
    Identity,
    Workspace,
    may_oversee,
    own_workspace,
    owns,
)
from hypha_cluster.identity.revocation import Revocation
from hypha_cluster.identity.tokens import Tokens, listed_id
from hypha_cluster.protocol.limits import LISTED_WORKSPACES, NAME
from hypha_cluster.registry.issued import IssuedToken
from hypha_cluster.registry.workspaces import Workspaces

OLD_PAGE: Final = "/apps/built-in/account-manager.html"
_DAY: Final = 86_400.0  # seconds
_LIFETIMES: Final = (1, 7, 30, 90, 365)  # days


class AccountPages:
    """Shows people what is theirs, and lets them end it."""

    def __init__(
        self,
        pages: LoginPages,
        browsers: Browsers,
        tokens: Tokens,
        workspaces: Workspaces,
        book: TokenBook,
    ) -> None:
        self._pages = pages
        self._browsers = browsers
        self._tokens = tokens
        self._workspaces = workspaces
        self._revocations, self._issued = book

    def routes(self) -> list[Route]:
        def post(path: str, endpoint: Endpoint) -> Route:
            return Route(f"{ACCOUNT}/{path}", self._pages.guarded(endpoint), methods=["POST"])

        return [
            Route(ACCOUNT, self._pages.guarded(self.show)),
            Route(OLD_PAGE, self._pages.guarded(self.moved)),
            post("make-token", self.make_token),
            post("end-token", self.end_token),
            post("end-all", self.end_all),
        ]

    async def moved(self, request: Request) -> Response:
        return RedirectResponse(f"{self._browsers.root(request)}{ACCOUNT}", 303)

    async def show(self, request: Request, made: str = "", name: str = "") -> Response:
        """Who one is, with what one has made; a token is shown once, when it is made."""
        signed = await self._browsers.signed_in(request)
        if signed is None:
            return RedirectResponse(f"{self._browsers.root(request)}{PAGE}", 303)
        user = signed.identity
        return self._pages.show(
            request,
            "account",
            user=user,
            csrf=signed.csrf,
            is_admin=may_oversee(user),
            workspaces=await self._owned(user),
            tokens=await self._issued.of_user(user.id),
            lifetimes=_LIFETIMES,
            made=made,
            name=name,
            day=day,
        )

    async def _owned(self, user: Identity) -> list[Workspace]:
        mine = replace(user, roles=())  # an admin owns all workspaces, but sees their own here
        return [found for found in await listed(self._workspaces) if owns(mine, found)]

    # Tokens.

    async def make_token(self, request: Request) -> Response:
        signed = await self._pages.required(request)
        form = await self._browsers.form(request, signed)
        name, days = form.get("name", "").strip()[:NAME], form.get("days", "")
        if not name or days not in map(str, _LIFETIMES):
            raise BadRequest("A token has a name and a life.")
        scopes = form.get("scopes", "").split() or [signed.identity.id]
        token = await self._made(signed.identity, name, scopes, int(days) * _DAY)
        return await self.show(request, token, name)

    async def _made(self, user: Identity, name: str, scopes: list[str], lifetime: float) -> str:
        for scope in scopes:
            await self._require(user, scope)
        maker = replace(user, origin=None)
        config = {"scopes": scopes, "expires_in": lifetime}
        token = self._tokens.issue_child(maker, config, listed_id())
        child = await self._tokens.verify(token)
        assert child.origin
        assert child.expires_at
        entry = IssuedToken(
            child.origin.token, name, child.scopes, child.origin.made_at, child.expires_at
        )
        await self._issued.add(user.id, entry)
        return token

    async def _require(self, user: Identity, scope: str) -> None:
        """Require that a user may make tokens for a workspace; their own is made if need be."""
        if scope == user.id and await self._workspaces.find(scope) is None:
            with contextlib.suppress(Conflict):  # somebody else was faster
                await self._workspaces.create(own_workspace(user))
        await self._workspaces.require(user, scope, Action.LET_IN)

    async def end_token(self, request: Request) -> Response:
        signed = await self._pages.required(request)
        form = await self._browsers.form(request, signed)
        token = await self._issued.get(signed.identity.id, form.get("token", ""))
        await self._revocations.note(Revocation.of_token(token.id, token.expires, time.time()))
        # Only now: a token that is not on the list cannot be ended by its name any more.
        await self._issued.forget(signed.identity.id, token.id)
        return self._back(request)

    async def end_all(self, request: Request) -> Response:
        """End all that the user has been given so far, this browser's cookie too."""
        signed = await self._pages.required(request)
        await self._browsers.form(request, signed)
        now = time.time()
        await self._revocations.note(Revocation.of_user(signed.identity.id, now, now))
        ended = await self._issued.of_user(signed.identity.id)
        await self._issued.forget(signed.identity.id, *(token.id for token in ended))
        response = RedirectResponse(f"{self._browsers.root(request)}{PAGE}", 303)
        await self._browsers.sign_out(request, response)
        return response

    def _back(self, request: Request) -> Response:
        return RedirectResponse(f"{self._browsers.root(request)}{ACCOUNT}", 303)


def day(seconds: float) -> str:
    """A Unix time as the pages show it."""
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))


async def listed(workspaces: Workspaces) -> list[Workspace]:
    """All workspaces but the public one, as many as are listed."""
    names = [name for name in await workspaces.names() if name != PUBLIC]
    found = await asyncio.gather(*map(workspaces.find, names[:LISTED_WORKSPACES]))
    return [workspace for workspace in found if workspace]
