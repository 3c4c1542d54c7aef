"""The admin page: all accounts, gateways, clients and workspaces, and how to end what they do."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from hypha_cluster.errors import BadRequest, PermissionDenied
from hypha_cluster.features.login.account import day, listed
from hypha_cluster.features.login.browser import Browsers, Signed
from hypha_cluster.features.login.pages import ACCOUNT, LoginPages
from hypha_cluster.identity.access import may_oversee
from hypha_cluster.identity.revocation import FOR_GOOD, Kind, Revocation
from hypha_cluster.links.client import RedisClient
from hypha_cluster.protocol.limits import OVERSEEN_CLIENTS
from hypha_cluster.registry.accounts import Accounts
from hypha_cluster.registry.census import ClientInfo, about_clients, addresses_of
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.nodes import list_nodes
from hypha_cluster.registry.revocations import Revocations
from hypha_cluster.registry.workspaces import Workspaces

ADMIN_PAGE: Final = f"{ACCOUNT}/admin"

_Change = Callable[[Signed, str], Awaitable[None]]


class Clients(NamedTuple):
    """Some of the clients, and how many there are. workspace: whose alone; empty for all."""

    shown: list[ClientInfo]
    many: int
    workspace: str


class AdminPages:
    """Shows admins what all users have, and lets them end it."""

    def __init__(
        self,
        pages: LoginPages,
        browsers: Browsers,
        accounts: Accounts,
        workspaces: Workspaces,
        revocations: Revocations,
        store: tuple[RedisClient, Keys],
    ) -> None:
        self._pages = pages
        self._browsers = browsers
        self._accounts = accounts
        self._workspaces = workspaces
        self._revocations = revocations
        self._store = store

    def routes(self) -> list[Route]:
        def post(path: str, changes: Mapping[str, _Change]) -> Route:
            async def change(request: Request) -> Response:
                return await self._change(request, path, changes)

            return Route(f"{ADMIN_PAGE}/{path}", self._pages.guarded(change), methods=["POST"])

        ways = {"end": self._end_user, "block": self._block_user, "unblock": self._unblock_user}
        return [
            Route(ADMIN_PAGE, self._pages.guarded(self.show)),
            post("user", ways),
            post("client", {"kick": self._kick}),
            post("workspace", {"end": self._end_workspace}),
        ]

    async def show(self, request: Request) -> Response:
        signed = await self._required(request)
        workspaces = await listed(self._workspaces)
        names = [workspace.name for workspace in workspaces]
        return self._pages.show(
            request,
            "admin",
            csrf=signed.csrf,
            gateways=await list_nodes(*self._store),
            clients=await self._clients(request.query_params.get("workspace", ""), names),
            accounts=await self._accounts.all(),
            workspaces=workspaces,
            blocked=self._revocations.book.shut_out(),
            day=day,
        )

    async def _clients(self, workspace: str, all_of_them: list[str]) -> Clients:
        names = [name for name in all_of_them if workspace in ("", name)]
        addresses = await addresses_of(*self._store, names)
        shown = await about_clients(*self._store, addresses[:OVERSEEN_CLIENTS])
        return Clients(shown, len(addresses), workspace)

    async def _required(self, request: Request) -> Signed:
        signed = await self._pages.required(request)
        if not may_oversee(signed.identity):
            raise PermissionDenied("Only an admin may see this: a user with the role admin.")
        return signed

    async def _change(
        self, request: Request, what: str, changes: Mapping[str, _Change]
    ) -> Response:
        """Do to a user, a client or a workspace what a form says."""
        signed = await self._required(request)
        form = await self._browsers.form(request, signed)
        name, change = form.get(what, "").strip(), changes.get(form.get("action", ""))
        if change is None:
            raise BadRequest(f"The action is one of {', '.join(changes)}.")
        await change(signed, name)
        return RedirectResponse(f"{self._browsers.root(request)}{ADMIN_PAGE}", 303)

    async def _end_user(self, signed: Signed, user: str) -> None:
        """End all that a user has been given so far."""
        now = time.time()
        await self._revocations.note(Revocation.of_user(user, now, now))

    async def _block_user(self, signed: Signed, user: str) -> None:
        """The same, and let them in no more."""
        if user == signed.identity.id:
            raise BadRequest("You cannot shut yourself out.")
        await self._revocations.note(Revocation.of_user(user, FOR_GOOD, time.time()))

    async def _unblock_user(self, signed: Signed, user: str) -> None:
        await self._revocations.lift(Kind.USER, user)

    async def _kick(self, signed: Signed, address: str) -> None:
        """End a client's connection; its token stays valid."""
        workspace, _, client = address.partition("/")
        if not workspace or not client or "/" in client:
            raise BadRequest("A client is WORKSPACE/CLIENT.")
        await self._revocations.note(Revocation.of_client(address, time.time()))

    async def _end_workspace(self, signed: Signed, workspace: str) -> None:
        """Take a workspace from all tokens so far that name it."""
        now = time.time()
        await self._revocations.note(Revocation.of_workspace(workspace, now, now))
