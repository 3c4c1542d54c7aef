"""Finds out who somebody is: by a password, or by coming back from an issuer."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from starlette.requests import Request

from hypha_cluster import audit
from hypha_cluster.audit import Event
from hypha_cluster.errors import HubError, InvalidToken, NotFound, PermissionDenied
from hypha_cluster.features.login.attempts import check
from hypha_cluster.features.login.browser import digest_of
from hypha_cluster.features.login.terms import LoginSettings
from hypha_cluster.identity.access import Identity, Origin
from hypha_cluster.identity.accounts import Account, Passwords, check_password
from hypha_cluster.identity.providers import Provider, Request as AuthRequest, new_secret
from hypha_cluster.registry.accounts import ADMIN, Accounts
from hypha_cluster.registry.logins import Attempts, Logins, SignIn
from hypha_cluster.registry.workspaces import Workspaces

AWAY_TIME: Final = 600.0  # seconds that somebody may take at an issuer's


class SigningIn:
    """Finds out who somebody is; a refusal is a HubError whose text says why."""

    def __init__(
        self,
        settings: LoginSettings,
        accounts: Accounts,
        logins: Logins,
        attempts: tuple[Attempts, Attempts],
        providers: Mapping[str, Provider],
        workspaces: Workspaces,
    ) -> None:
        self._settings = settings
        self._accounts = accounts
        self._logins = logins
        self._close, self._anywhere = attempts
        self._providers = providers
        self._workspaces = workspaces
        self._passwords = Passwords()

    @property
    def providers(self) -> list[str]:
        """The names of the issuers that users log in at."""
        return list(self._providers)

    # With a password.

    async def by_password(self, name: str, password: str, address: str) -> Identity:
        """The user with this name and password. address: from where they ask."""
        if not self._settings.is_local:
            raise PermissionDenied("Nobody logs in with a password here.")
        account = await self._accounts.find(name)
        who = account.name if account else name
        await self._check_attempts(who, address)
        if not await self._passwords.fits(password, account):
            await self._failed(who, address)
            audit.note(Event.LOGIN_FAILED, user=who, address=address)
            raise InvalidToken("This is not the password, or there is no such user.")
        assert account
        audit.note(Event.LOGGED_IN, user=account.name, address=address)
        return _now(account.identity())

    async def _check_attempts(self, name: str, address: str) -> None:
        for attempts, what in self._counted(name, address):
            await check(attempts, what, "wrong passwords")

    async def _failed(self, name: str, address: str) -> None:
        for attempts, what in self._counted(name, address):
            await attempts.count(what)

    def _counted(self, name: str, address: str) -> list[tuple[Attempts, str]]:
        return [
            (self._close, f"{name} {address}"),
            (self._anywhere, f"name {name}"),
            (self._anywhere, f"address {address}"),
        ]

    async def by_invitation(self, code: str, name: str, email: str, password: str) -> Identity:
        """Set a password, or make the first account, with an invitation that can be used once."""
        invitation = await self._accounts.invited(code)
        check_password(password, invitation.account or name)
        hashed = await self._passwords.hashed(password)
        if invitation.account:
            await self._use_up(code)
            return _now((await self._accounts.set_password(invitation.account, hashed)).identity())
        account = Account(name, email, invitation.roles, hashed, time.time())
        await self._use_up(code)
        try:
            await self._accounts.add(account)
        except HubError:
            await self._accounts.invite(invitation, code)
            raise
        return _now(account.identity())

    async def _use_up(self, code: str) -> None:
        if not await self._accounts.use_up(code):
            raise InvalidToken("This invitation has been used, or is older than a day.")

    # By an issuer.

    async def send_away(self, name: str, key: str, redirect_uri: str) -> tuple[str, str]:
        """Where a browser goes to sign in, and the secret that it must bring back in a cookie."""
        provider, browser = self._provider(name), secrets.token_urlsafe(16)
        asked = AuthRequest(new_secret(), new_secret(), redirect_uri)
        sign_in = SignIn(name, asked.nonce, asked.verifier, digest_of(browser), key)
        state = await self._logins.leave_for(sign_in, AWAY_TIME)
        return await provider.address(asked, state), browser

    async def come_back(
        self, query: Mapping[str, str], browser: str, redirect_uri: str
    ) -> tuple[Identity, str]:
        """Who has come back from an issuer, and the key of the login that waits for them."""
        sign_in = await self._logins.back_with(query.get("state", ""))
        if not secrets.compare_digest(digest_of(browser), sign_in.browser):
            raise PermissionDenied("This sign-in was begun in another browser; begin anew.")
        if "error" in query:
            raise PermissionDenied(f"{sign_in.provider} has not let you in: {query['error'][:100]}")
        provider = self._provider(sign_in.provider)
        asked = AuthRequest(sign_in.nonce, sign_in.verifier, redirect_uri)
        identity = await provider.identify(query.get("code", ""), asked)
        user = await self._of_this_hub(sign_in.provider, identity)
        await self._workspaces.know(user)  # so that tokens that they make hold
        audit.note(Event.LOGGED_IN, user=user.id, email=user.email, issuer=sign_in.provider)
        return _now(user), sign_in.login

    async def _of_this_hub(self, provider: str, identity: Identity) -> Identity:
        """The identity here of an issuer's user; those of the first issuer keep their own ids."""
        if provider != next(iter(self._providers)):
            identity = replace(identity, id=f"{provider}|{identity.id}")
        if await self._accounts.find(identity.id) is not None:
            raise PermissionDenied(f"Another user of this hub is called {identity.id}.")
        if self._settings.is_admins(identity.email):
            roles = dict.fromkeys((*identity.roles, ADMIN))
            identity = replace(identity, roles=tuple(roles))
        return identity

    def _provider(self, name: str) -> Provider:
        provider = self._providers.get(name)
        if provider is None:
            raise NotFound("There is no such way to log in.")
        return provider


def address_of(request: Request) -> str:
    """Where a browser asks from, as far as the hub can see."""
    return request.client.host if request.client else ""


def _now(identity: Identity) -> Identity:
    """The identity of somebody who signs in now: revocations of before do not concern it."""
    return replace(identity, origin=Origin("", time.time()))
