"""The feature: what programs and people need to log in, wired together."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Final

from starlette.routing import BaseRoute

from hypha_cluster.features.feature import Feature, Grounds, Lookups
from hypha_cluster.features.login.account import AccountPages
from hypha_cluster.features.login.admin import AdminPages
from hypha_cluster.features.login.attempts import LoginAttempts
from hypha_cluster.features.login.browser import Browsers
from hypha_cluster.features.login.issuer_addresses import IssuerAddresses
from hypha_cluster.features.login.pages import LoginPages
from hypha_cluster.features.login.service import LoginService, TokenBook
from hypha_cluster.features.login.signing_in import SigningIn
from hypha_cluster.features.login.terms import SESSION_LIFETIME, LoginSettings, providers_of
from hypha_cluster.hub.services import HubService
from hypha_cluster.identity.providers import Provider, ProviderSettings
from hypha_cluster.protocol.limits import (
    ATTEMPTS,
    ATTEMPTS_ANYWHERE,
    ISSUER_REFUSALS,
    LOGINS_BEGUN,
    REPORTS,
)
from hypha_cluster.registry.accounts import Accounts
from hypha_cluster.registry.issued import IssuedTokens
from hypha_cluster.registry.logins import Attempts, Logins

_PERIOD: Final = 600.0  # seconds in which attempts are counted


class Login(Feature):
    """Lets users log in."""

    name = "login"
    title = "Logging in"
    Settings = LoginSettings

    def __init__(self, settings: LoginSettings, grounds: Grounds) -> None:
        redis, keys, revocations = grounds.redis, grounds.keys, grounds.revocations
        self._settings = settings
        self._base_url = grounds.base_url
        self._accounts = Accounts(redis, keys)
        self._providers = {
            about.name: Provider(about, grounds.supervisor)
            for about in providers_of(settings, grounds)
        }
        logins = Logins(redis, keys, settings.login_time)
        attempts = (
            Attempts(redis, keys, ATTEMPTS, _PERIOD),
            Attempts(redis, keys, ATTEMPTS_ANYWHERE, _PERIOD),
        )
        signing_in = SigningIn(
            settings, self._accounts, logins, attempts, self._providers, grounds.workspaces
        )
        browsers = Browsers(logins, revocations, grounds.public_base_url, SESSION_LIFETIME)
        book = TokenBook(revocations, IssuedTokens(redis, keys))
        self._pages = LoginPages(
            settings, browsers, signing_in, self._accounts, (logins, book.issued), grounds.tokens
        )
        workspaces = grounds.workspaces
        self._account = AccountPages(self._pages, browsers, grounds.tokens, workspaces, book)
        self._admin = AdminPages(
            self._pages, browsers, self._accounts, workspaces, revocations, (redis, keys)
        )
        begun = LoginAttempts(
            Attempts(redis, keys, LOGINS_BEGUN, _PERIOD), Attempts(redis, keys, REPORTS, _PERIOD)
        )
        self._issuer = self._first_issuer(grounds)
        self._refused = Attempts(redis, keys, ISSUER_REFUSALS, _PERIOD)
        self._service = LoginService(
            logins, grounds.gatekeeper, grounds.tokens, book, begun, settings
        )

    def _first_issuer(self, grounds: Grounds) -> Provider | None:
        """The issuer at which users log in; else the one whose access tokens are accepted."""
        if self._providers:
            return next(iter(self._providers.values()))
        if not grounds.issuer:
            return None
        about = ProviderSettings(self._settings.openid_name, grounds.issuer, "")
        return Provider(about, grounds.supervisor)

    def routes(self, lookups: Lookups) -> Sequence[BaseRoute]:
        return [
            *self._pages.routes(),
            *self._account.routes(),
            *self._admin.routes(),
            *IssuerAddresses(self._issuer, self._refused, lookups.lookup.source).routes(),
        ]

    def services(self) -> Sequence[HubService]:
        return [self._service.service()]

    async def opened(self) -> None:
        """Tell the operator how to become the first user; not in the log, for it is a secret."""
        if not self._settings.is_local:
            return
        if code := await self._accounts.invite_first():
            address = f"{self._base_url}/login/invitation?code={code}"
            sys.stdout.write(f"There are no users yet. Become the admin, once: {address}\n")
            sys.stdout.flush()

    async def run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for provider in self._providers.values():
                await provider.stop()
