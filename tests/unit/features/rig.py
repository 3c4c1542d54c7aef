"""What a feature builds on, in a real Redis, without a gateway: its routes are asked by ASGI."""

import time
from collections.abc import Iterable
from typing import Any, Final, Self
from unittest.mock import Mock

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute
from starlette.types import Message

from hypha_cluster.errors import HubError
from hypha_cluster.features.feature import Grounds
from hypha_cluster.hub.context import Context
from hypha_cluster.identity.access import Identity, Origin
from hypha_cluster.identity.accounts import Account, Passwords
from hypha_cluster.identity.tokens import Tokens
from hypha_cluster.links.client import RedisClient
from hypha_cluster.metrics import Counts
from hypha_cluster.registry.accounts import ADMIN, Accounts
from hypha_cluster.registry.clients import ClientRegistry
from hypha_cluster.registry.instance_pages import InstancePages
from hypha_cluster.registry.instances import Instances
from hypha_cluster.registry.issued import IssuedToken, IssuedTokens
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.logins import Logins
from hypha_cluster.registry.public import PublicListing
from hypha_cluster.registry.revocations import Revocations
from hypha_cluster.registry.workspaces import Workspaces
from hypha_cluster.supervision import Supervisor
from hypha_cluster.web.bodies import Room
from hypha_cluster.web.lookup import Gatekeeper
from tests.login_rig import Person
from tests.token_rig import SECRET, SETTINGS

URL: Final = "https://hub.example"
PASSWORD: Final = "correct horse battery"
ANN: Final = Identity("ann", False, "ann@example.org")
BOB: Final = Identity("bob", False, "bob@example.org")
ADA: Final = Identity("ada", False, "ada@example.org", roles=(ADMIN,))
# What a browser says when a person goes to a page.
GOES: Final = {
    "sec-fetch-site": "none",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
}


class Ground:
    """The parts of a node that features of people's pages need; the others are pretended."""

    def __init__(self, redis: RedisClient, keys: Keys) -> None:
        self.redis, self.keys = redis, keys
        self.tokens = Tokens(SECRET, SETTINGS)
        self.workspaces = Workspaces(redis, keys)
        self.revocations = Revocations(redis, keys)
        self.accounts = Accounts(redis, keys)
        self.logins = Logins(redis, keys, 60.0)
        self.supervisor = Supervisor()
        registry = ClientRegistry(redis, keys, PublicListing(redis, keys), lambda _: None)
        self.instances = Instances(redis, keys)
        self.pages = InstancePages(redis, keys, self.tokens.page_seals, self.instances)
        self.gatekeeper = Gatekeeper(
            self.tokens, self.revocations.book, self.workspaces, registry, self.pages
        )

    @property
    def grounds(self) -> Grounds:
        pretended: Any = Mock()
        return Grounds(
            node="here",
            base_path="",
            public_base_url=URL,
            base_url=URL,
            inner_url="",
            issuer="",
            claims="",
            max_message_size=1_000_000,
            calls=pretended.calls,
            activity=pretended.activity,
            gatekeeper=self.gatekeeper,
            room=Room(),
            tokens=self.tokens,
            workspaces=self.workspaces,
            revocations=self.revocations,
            servers=pretended.servers,
            redis=self.redis,
            keys=self.keys,
            instances=self.instances,
            instance_pages=self.pages,
            supervisor=self.supervisor,
            counts=Counts(),
        )

    async def logins_of(self, user: str) -> list[IssuedToken]:
        """The tokens that the account page lists."""
        return await IssuedTokens(self.redis, self.keys).of_user(user)

    async def settle(self) -> None:
        """Give ann, bob and ada accounts."""
        hashed = await Passwords().hashed(PASSWORD)
        for user in (ANN, BOB, ADA):
            account = Account(user.id, user.email or "", user.roles, hashed, time.time())
            await self.accounts.add(account)

    def context(self, who: Identity, home: str | None = None, **more: Any) -> Context:
        """As the hub's own functions get it."""
        nothing: Any = None
        return Context(
            "public", f"{who.id}/program", who, home, URL, self.workspaces, nothing, **more
        )

    def token(self, who: Identity, **more: Any) -> str:
        return self.tokens.issue(who, 3_600.0, **more)


def signed_in_now(who: Identity) -> Identity:
    """As a browser's cookie remembers who has signed in."""
    return Identity(who.id, who.is_anonymous, who.email, who.roles, origin=Origin("", time.time()))


async def cookie_of(who: Identity, ground: Ground) -> str:
    """The cookie of somebody who has signed in."""
    return f"__Host-hypha={await ground.logins.remember(signed_in_now(who), 3_600.0)}"


def asked(
    method: str = "GET", body: bytes | str = b"", cookie: str = "", **headers: str
) -> Request:
    """A request as a browser sends it; headers: by their names, with _ for -."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = {"host": "hub.example", **({"cookie": cookie} if cookie else {}), **named}

    async def receive() -> Message:
        return {
            "type": "http.request",
            "body": bytes(body, "ascii") if isinstance(body, str) else body,
            "more_body": False,
        }

    scope = {
        "type": "http",
        "method": method,
        "path": "/account",
        "root_path": "",
        "scheme": "https",
        "server": ("hub.example", 443),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in raw.items()],
    }
    return Request(scope, receive)


def site_of(routes: Iterable[BaseRoute]) -> Starlette:
    """An application of these routes, which says in a word what the hub would say of an error."""

    def failed(request: Request, error: Exception) -> Response:
        assert isinstance(error, HubError)
        return JSONResponse({"detail": str(error)}, error.status)

    return Starlette(routes=[*routes], exception_handlers={HubError: failed})


class Visitor(Person):
    """Somebody with a browser, who looks at pages of such an application."""

    def __init__(self, site: Starlette, **options: Any) -> None:
        transport = httpx2.ASGITransport(app=site, client=("198.51.100.7", 1))
        super().__init__(transport=transport, **options)

    @classmethod
    async def who_is(cls, who: Identity, site: Starlette, ground: Ground, **options: Any) -> Self:
        """Somebody who has signed in."""
        visitor = cls(site, **options)
        name, _, secret = (await cookie_of(who, ground)).partition("=")
        visitor.cookies.set(name, secret, domain="hub.example")
        return visitor
