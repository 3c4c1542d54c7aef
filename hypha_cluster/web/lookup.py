"""Who asks, where they may go, and what they find there: for WebSockets, and for all of HTTP."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from starlette.requests import HTTPConnection, Request

from hypha_cluster.clients.admission import Admission, Move
from hypha_cluster.errors import (
    BadRequest,
    InvalidToken,
    NotYetBack,
    PermissionDenied,
    WorkspaceNotFound,
)
from hypha_cluster.hub.guests import LOGIN
from hypha_cluster.hub.quotas import Quotas
from hypha_cluster.hub.visiting import Visitor, Visits
from hypha_cluster.identity.access import (
    PUBLIC,
    Action,
    Guests,
    Identity,
    Workspace,
    may,
    own_workspace,
)
from hypha_cluster.identity.names import check_client_id, check_workspace_name
from hypha_cluster.identity.revocation import RevocationBook
from hypha_cluster.identity.tokens import Reconnection, Tokens, generated_id
from hypha_cluster.protocol.address import parse_service_id
from hypha_cluster.protocol.limits import HOST
from hypha_cluster.registry.clients import ClientRegistry, has_left
from hypha_cluster.registry.instance_pages import InstancePages
from hypha_cluster.registry.instances import TICKET
from hypha_cluster.registry.services import Provider
from hypha_cluster.registry.workspaces import Workspaces
from hypha_cluster.relay.allowance import UNBOUNDED, Allowance
from hypha_cluster.web.headers import fields_of, header

_REVOKED: Final = "What its launcher came with has been revoked."


class Gatekeeper:
    """Says whom a token speaks for, and who may connect (protocol.md 1.1, 1.2).

    A refusal is a HubError whose text says why.
    """

    def __init__(
        self,
        tokens: Tokens,
        revoked: RevocationBook,
        workspaces: Workspaces,
        registry: ClientRegistry,
        pages: InstancePages,
        guests: Guests = Guests.ON,
    ) -> None:
        self._guests = guests
        self._pages = pages
        self._tokens = tokens
        self._revoked = revoked
        self._registry = registry
        self._workspaces = workspaces

    def recognize(self, query: Mapping[str, str]) -> Reconnection | None:
        """Who comes back, by a reconnection token; None without one (or ''), or InvalidToken."""
        token = query.get("reconnection_token")
        return self._tokens.verify_reconnection(token) if token else None

    async def admit(
        self, query: Mapping[str, str], reconnection: Reconnection | None = None
    ) -> Admission:
        """Read `client_id`, `workspace` and `token`; reconnection: what was recognized."""
        client = query.get("client_id", "")
        if not client:
            raise BadRequest("client_id is missing; this is the way in for imjoy-rpc clients.")
        check_client_id(client)
        if reconnection is not None:
            return await self._readmit(reconnection, client, query)
        token = token_of(query.get("token"))
        if token and token.startswith(TICKET):
            return await self._admit_app(token, client, query.get("workspace", ""))
        identity = await self.identify(token) if token else self.guest()
        name = query.get("workspace") or identity.id
        if not token and name == identity.id and self._workspaces.are_open:
            # Nobody can have made it: that is the name of somebody who is new.
            return Admission(identity, own_workspace(identity), client)
        check_workspace_name(name)
        return Admission(identity, await self._workspace(identity, name), client)

    async def identify(self, token: str | None) -> Identity:
        """Whom a token speaks for; without one, somebody new and anonymous."""
        if token:
            return self._revoked.admit(await self._tokens.verify(token))
        if self._guests is Guests.OFF:
            raise InvalidToken("This hub lets nobody in without a token; log in first.")
        return self.guest()

    async def _admit_app(self, token: str, client: str, name: str) -> Admission:
        """Admit the page of an app; it takes the address from an older page of its instance."""
        check_workspace_name(name)
        address = f"{name}/{client}"
        identity = await self._pages.admit(address, token)
        try:
            identity = self._revoked.admit(identity)
            workspace = await self._workspace(identity, name)
        except InvalidToken:
            await self._pages.bar(address, _REVOKED)
            raise
        except (PermissionDenied, WorkspaceNotFound) as error:
            await self._pages.bar(address, str(error))
            raise
        move = await self._pages.planned_move(address)
        return Admission(identity, workspace, client, takes=True, move=move and Move(*move))

    def guest(self) -> Identity:
        """Somebody new, who may at least log in."""
        return Identity(generated_id(), guest=self._guests)

    async def _readmit(
        self, reconnection: Reconnection, client: str, query: Mapping[str, str]
    ) -> Admission:
        identity, (name, owner, program) = reconnection
        identity = self._revoked.admit(identity)
        if identity.origin is None and identity.is_anonymous:
            identity = replace(identity, guest=self._guests)
        if owner != client:
            raise InvalidToken("The reconnection token belongs to another client_id.")
        if (query.get("workspace") or name) != name:
            raise InvalidToken("The reconnection token belongs to another workspace.")
        if await self._registry.has_left(f"{name}/{client}"):
            raise has_left()
        if not await self._pages.may_return(f"{name}/{client}", identity):
            raise has_left()
        try:
            workspace = await self._workspace(identity, name)
        except WorkspaceNotFound as error:
            # Redis has lost the workspace; another client in it will make it anew.
            raise NotYetBack(str(error)) from None
        return Admission(identity, workspace, client, program)

    async def _workspace(self, identity: Identity, name: str) -> Workspace:
        """The workspace, if the user may enter it; one's own is made when it is claimed."""
        workspace, maker = await self._workspaces.find_for(identity, name)
        if workspace is None:
            if name != identity.id:
                raise WorkspaceNotFound(f"Workspace not found: {name}")
            return own_workspace(identity)
        if may(Action.ENTER, identity, workspace, maker):
            return workspace
        if name == identity.id:
            raise PermissionDenied(f"The workspace {name} belongs to somebody else.")
        raise PermissionDenied(f"Permission denied for workspace {name}.")


class Lookup:
    """What all routes ask before they answer. public_base_url: empty: each request tells it."""

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        workspaces: Workspaces,
        visits: Visits,
        public_base_url: str,
        quotas: Quotas,
    ) -> None:
        self._quotas = quotas
        self._gatekeeper = gatekeeper
        self._workspaces = workspaces
        self._visits = visits
        self._public_base_url = public_base_url

    async def identify(self, request: Request) -> Identity:
        """Whom the token of a request speaks for; without one, somebody new and anonymous.

        A request is counted for its address before there is a route (CountRequests).
        """
        return (await self._identify(request))[0]

    async def _identify(self, request: Request) -> tuple[Identity, Sequence[str]]:
        """The same, and as whom they count."""
        sources = self._quotas.sources(request.scope)
        if sources:
            self._quotas.body(sources, _announced(request))
        identity = await self._gatekeeper.identify(token_of(header(request, b"authorization")))
        if identity.origin is None:
            return identity, sources
        subjects = self._quotas.subjects(identity)
        self._quotas.request(subjects, _announced(request))
        return identity, (*subjects, *sources)

    def count(self, connection: HTTPConnection, user: Identity | None) -> Allowance:
        """Count a request to an application; TooMany. user: for whom its token speaks, if any.

        Returns what whoever asks may yet put into mailboxes.
        """
        sources = self._quotas.sources(connection.scope)
        if connection.scope["type"] == "websocket":
            self._quotas.request(sources)
        if user is None or user.origin is None:
            return self._quotas.allowance(sources)
        subjects = self._quotas.subjects(user)
        self._quotas.request(subjects)
        return self._quotas.allowance((*subjects, *sources))

    async def enter(self, request: Request, workspace: str) -> Visitor:
        """Who asks, and whether they may enter the workspace; WorkspaceNotFound.

        Others see only what is public.
        """
        identity, subjects = await self._identify(request)
        inside = await self._workspaces.may_use_lately(identity, workspace)
        base_url = self._public_base_url or base_url_of(request)
        mail = self._quotas.allowance(subjects) if subjects else UNBOUNDED
        by_get = request.scope["method"] == "GET"
        return Visitor(identity, inside, base_url, by_get=by_get, mail=mail)

    def source(self, request: Request) -> str:
        """The address for which a request counts; empty if it does not count."""
        return next(iter(self._quotas.sources(request.scope)), "")

    def base_url(self, request: Request) -> str:
        """The URL by which whoever asks reaches the hub."""
        return self._public_base_url or base_url_of(request)

    async def find(
        self, request: Request, workspace: str, service: str, mode: str = "random"
    ) -> tuple[Visitor, Provider]:
        """Who asks, and the provider of a service, `name` or `client:name`, that they may use."""
        wanted = parse_service_id(service)
        is_login = workspace == PUBLIC and wanted.service == LOGIN
        if is_login and not _has_token(request):
            guest, base_url = self._gatekeeper.guest(), self.base_url(request)
            visitor = Visitor(guest, False, base_url, by_get=request.scope["method"] == "GET")
        else:
            visitor = await self.enter(request, workspace)
        if is_login:
            visitor = visitor._replace(source=self.source(request))
        return visitor, await self._visits.find(visitor, wanted, workspace, mode=mode)


def _announced(request: Request) -> int:
    """The bytes of a request's body, by its own header; one in chunks is bounded elsewhere."""
    if request.scope.get("method", "GET") == "GET":
        return 0
    size = header(request, b"content-length")
    return int(size) if size.isdecimal() else 0


def _has_token(request: Request) -> bool:
    return bool(header(request, b"authorization"))


def base_url_of(connection: HTTPConnection, base_path: str | None = None) -> str:
    """The URL by which a caller reaches the hub, as far as proxies tell; BadRequest if too long.

    base_path: where everything is; by default, where the route is.
    """
    scope = connection.scope
    fields = fields_of(scope)
    told = fields.get(b"x-forwarded-proto")
    scheme = told.decode("latin-1") if told else scope["scheme"]
    host = (fields.get(b"x-forwarded-host") or fields.get(b"host", b"")).decode("latin-1")
    if len(host) > HOST:
        raise BadRequest(f"The name of a host has at most {HOST} characters, not {len(host)}.")
    base_path = scope.get("root_path", "") if base_path is None else base_path
    return f"{'https' if scheme in ('wss', 'https') else 'http'}://{host}{base_path}"


def token_of(authorization: str | None) -> str | None:
    """The token of an Authorization header, `Bearer <token>` or bare."""
    if not authorization:
        return None
    words = authorization.split()
    if words and words[0].lower() == "bearer":
        words = words[1:]
    if len(words) != 1:
        raise InvalidToken("Authorization must be `Bearer <token>`, or the token alone.")
    return words[0]
