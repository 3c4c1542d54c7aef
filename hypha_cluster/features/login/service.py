"""The hub's service `hypha-login`: what programs call to get a token, and to end one."""

import asyncio
import time
from typing import Any, Final, NamedTuple

from hypha_cluster.errors import (
    BadRequest,
    CallTimeout,
    InvalidToken,
    NotFound,
    Overloaded,
    PermissionDenied,
)
from hypha_cluster.features.login.attempts import LoginAttempts
from hypha_cluster.features.login.terms import PAGE, LoginSettings
from hypha_cluster.hub.context import Context
from hypha_cluster.hub.quotas import ADDRESS
from hypha_cluster.hub.services import HubService
from hypha_cluster.identity.access import Action, Identity, may_oversee
from hypha_cluster.identity.revocation import Revocation
from hypha_cluster.identity.tokens import Tokens, is_listed
from hypha_cluster.protocol.address import client_of
from hypha_cluster.protocol.limits import LOGIN_KEY, LOGINS, REVOCATIONS
from hypha_cluster.registry.issued import IssuedTokens
from hypha_cluster.registry.logins import Logins, LoginState, public_part
from hypha_cluster.registry.revocations import Revocations
from hypha_cluster.web.lookup import Gatekeeper

_LOOK_EVERY: Final = 0.5  # seconds
_HTML: Final = (
    '<!doctype html><meta charset="utf-8"><title>Log in</title>'
    '<meta http-equiv="refresh" content="0; url={0}"><a href="{0}">Log in</a>'
)


# Functions that are told a token, or end something: proxies on the way log what is in an address.
_POSTED: Final = frozenset(("parse_token", "revoke_token", "revoke_user", "revoke_workspace"))


class TokenBook(NamedTuple):
    """What is kept of tokens."""

    revocations: Revocations
    issued: IssuedTokens


class LoginService:
    """Answers programs that wait for a login, and those that end one."""

    def __init__(
        self,
        logins: Logins,
        gatekeeper: Gatekeeper,
        tokens: Tokens,
        book: TokenBook,
        attempts: LoginAttempts,
        settings: LoginSettings,
    ) -> None:
        self._logins = logins
        self._gatekeeper = gatekeeper
        self._tokens = tokens
        self._revocations, self._issued = book
        self._attempts = attempts
        self._login_time = settings.login_time
        self._posted = _POSTED | ({"report"} if settings.login_report == "post" else set())
        self._waiting = 0

    def service(self) -> HubService:
        return HubService(
            id="hypha-login",
            name="Hypha Login",
            description="Login service for Hypha",
            type="functions",
            functions={
                "index": self.index,
                "start": self.start,
                "check": self.check,
                "report": self.report,
                "parse_token": self.parse_token,
                "list_tokens": self.list_tokens,
                "revoke_token": self.revoke_token,
                "revoke_user": self.revoke_user,
                "revoke_workspace": self.revoke_workspace,
            },
            posted=self._posted,
        )

    # For `login()` of published clients.

    async def index(self, context: Context, event: Any = None) -> dict[str, Any]:
        """The login page: where it is."""
        body = _HTML.format(f"{context.base_url}{PAGE}")
        return {"status": 200, "headers": {"Content-Type": "text/html"}, "body": body}

    async def start(self, context: Context) -> dict[str, str]:
        """Begin a login: where its user has to go, and the key to fetch the token with."""
        await self._attempts.begin(_source_of(context))
        key = await self._logins.start(client_of(context.caller))
        return {
            "login_url": f"{context.base_url}{PAGE}?key={public_part(key)}",
            "key": key,
            "report_url": f"{context.base_url}/public/services/hypha-login/report",
        }

    async def check(
        self,
        context: Context,
        key: Any,
        timeout: Any = 180,  # noqa: ASYNC109  # programs name it so
    ) -> str | bool:
        """Wait for the token for so many seconds; with 0 or less, return it or False at once."""
        key, seconds = _text("key", key), _number("timeout", timeout)
        if seconds <= 0:
            return await self._look(key) or False
        if self._waiting >= LOGINS:
            raise Overloaded("Too many programs wait for a login; try again in a moment.")
        self._waiting += 1
        try:
            async with asyncio.timeout(min(seconds, self._login_time + 1)):
                return await self._await_token(key)
        except TimeoutError:
            raise CallTimeout("Login timeout") from None
        finally:
            self._waiting -= 1

    async def _await_token(self, key: str) -> str:
        while True:
            if token := await self._look(key):
                return token
            await asyncio.sleep(_LOOK_EVERY)

    async def _look(self, key: str) -> str:
        """The token, or an empty text while there is none; else how the login has ended."""
        state, token = await self._logins.check(key)
        if state is LoginState.UNKNOWN:
            raise NotFound("Invalid key, key does not exist.")
        if state is LoginState.EXPIRED:
            raise NotFound(self._logins.expired)
        if state is LoginState.REFUSED:
            raise PermissionDenied("The login was refused on its page.")
        return token

    async def report(self, context: Context, key: Any, token: Any) -> None:
        """End a login with a token, which must be valid; for pages of your own."""
        key, token = _text("key", key), _text("token", token, None)
        subjects = (public_part(key), _source_of(context))
        await self._attempts.check_reports(*subjects)
        try:
            await self._gatekeeper.identify(token)
        except InvalidToken:
            await self._attempts.refuse_report(*subjects)
            raise
        await self._logins.report(key, token)

    # For programs that are given tokens, or have given some.

    async def parse_token(self, context: Context, token: Any) -> dict[str, Any]:
        """Whom a token speaks for; an error if it is not valid."""
        return (await self._gatekeeper.identify(_text("token", token, None))).to_wire()

    async def list_tokens(self, context: Context) -> list[dict[str, Any]]:
        """The tokens of the account page that are yours; never the tokens themselves."""
        return [each._asdict() for each in await self._issued.of_user(context.identity.id)]

    async def revoke_token(self, context: Context, token: Any) -> None:
        """End a token, and all that were made with it, on all gateways within a second.

        token: itself, or the id of one that list_tokens shows.
        """
        token = _text("token", token, None)
        if "." not in token:
            await self._revoke_listed(context, token)
            return
        identity = await self._tokens.verify(token)
        assert identity.origin
        maker = await context.workspaces.maker_of(identity)
        if identity.is_child and (maker is None or maker.is_anonymous):
            raise BadRequest("This token ends with the connection of its maker.")
        token_id, expires_at = identity.origin.token, identity.expires_at
        await self._note(context, Revocation.of_token(token_id, expires_at, time.time()))
        if is_listed(token_id):
            await self._issued.forget(identity.family, token_id)

    async def _revoke_listed(self, context: Context, token: str) -> None:
        """End a token on the list, then take it off: so it is still there if ending it failed."""
        found = await self._issued.get(context.identity.id, token)
        await self._note(context, Revocation.of_token(found.id, found.expires, time.time()))
        await self._issued.forget(context.identity.id, found.id)

    async def revoke_user(self, context: Context, user: Any = None, before: Any = None) -> None:
        """End all tokens that a user has had so far; other users' only for an admin.

        before: a Unix time; those that were made later stay.
        """
        name = context.identity.id if user is None else _text("user", user)
        if name != context.identity.id and not may_oversee(context.identity):
            raise PermissionDenied("Only an admin may end the tokens of other users.")
        _check_named(context.identity)
        await self._note(context, Revocation.of_user(name, _past("before", before), time.time()))

    async def revoke_workspace(self, context: Context, workspace: Any, before: Any = None) -> None:
        """End what all tokens so far allow in a workspace, which is its owner's to do.

        before: a Unix time; those that were made later stay.
        """
        name = _text("workspace", workspace)
        await context.workspaces.require(context.identity, name, Action.CHANGE)
        _check_named(context.identity)
        ended = Revocation.of_workspace(name, _past("before", before), time.time())
        await self._note(context, ended)

    async def _note(self, context: Context, revocation: Revocation) -> None:
        if len(self._revocations.book) >= REVOCATIONS and not may_oversee(context.identity):
            raise Overloaded("Too many revocations are kept; ask an admin.")
        await self._revocations.note(revocation)


def _source_of(context: Context) -> str:
    """The address for which the caller counts; empty if it does not count."""
    if context.connection is None:
        return context.source
    subjects = context.connection.subjects
    return next((each for each in subjects if each.startswith(f"{ADDRESS} ")), "")


def _check_named(identity: Identity) -> None:
    """Refuse anonymous users: a revocation is kept for years, so somebody has to vouch for them."""
    if identity.is_anonymous:
        raise PermissionDenied("Only a user with an e-mail address may do this.")


def _text(name: str, value: object, limit: int | None = LOGIN_KEY) -> str:
    if not isinstance(value, str) or not value or (limit is not None and len(value) > limit):
        most = f" of at most {limit} characters" if limit else ""
        raise BadRequest(f"{name!r} is a text{most}, and not empty.")
    return value


def _number(name: str, value: object) -> float:
    try:
        number = float(value) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        number = None
    if number is None or number != number:
        raise BadRequest(f"{name!r} is a number of seconds.")
    return number


def _past(name: str, value: object) -> float:
    """A Unix time in the past; by default now."""
    now = time.time()
    when = now if value is None else _number(name, value)
    if not 0 < when <= now:
        raise BadRequest(f"{name!r} is a Unix time in seconds, not later than now.")
    return when
