"""All that the workspace manager works with, on a real store; clients have no network between."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from hypha_cluster.hub.context import Context
from hypha_cluster.hub.directory import Directory, Registered
from hypha_cluster.hub.manager.services import ServiceFunctions
from hypha_cluster.hub.manager.workspaces import WorkspaceFunctions
from hypha_cluster.hub.services import HubService, HubServices
from hypha_cluster.identity.access import Identity, Workspace, own_workspace
from hypha_cluster.links.client import RedisClient
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.dialects.imjoy import IMJOY
from hypha_cluster.protocol.envelope import Frame
from hypha_cluster.registry.clients import Attachment, ClaimMode, ClientRegistry
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.public import PublicListing
from hypha_cluster.registry.services import RecentlyFound, RecentServices, Services
from hypha_cluster.registry.workspaces import Workspaces
from hypha_cluster.relay.connection import Connection, Share, Speech, Stage, Way
from tests.fakes import FakeSocket
from tests.unit.hub.peers import FakeClient, FakeHub
from tests.unit.hub.test_quotas import Rig as Limits

ANN = Identity("ann", is_anonymous=False, email="ann@lab.example")
BOB = Identity("bob", is_anonymous=False, email="bob@lab.example")
NOBODY = Identity("nobody", is_anonymous=True)

REGISTER = "services.built-in.register_service"
GET = "services.built-in.get_service"


class Program:
    """A client's program: it registers, and describes what it offers, as published ones do."""

    def __init__(self, client: FakeClient, connection: Connection) -> None:
        self.connection = connection
        self.offers: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, list[Any]]] = []
        self.answer: Callable[[str, list[Any]], Any] = self._answer
        self._client = client
        client.on_call = self._on_call

    def _on_call(self, call: Frame) -> None:
        method, args = call.envelope["method"], call.body["args"]
        self.asked.append((method, args))
        self._client.resolve(call, self.answer(method, args))

    def _answer(self, method: str, args: list[Any]) -> Any:
        if method == REGISTER:
            service = args[0]
            self.offers[service["id"]] = service
            return {**service, "id": f"{self.connection.attachment.client}:{service['id']}"}
        return self.offers.get(args[0]) if method == GET else None


class Manager:
    """The functions of one gateway's manager. terms: limits of a user."""

    def __init__(
        self, redis: RedisClient, keys: Keys, own: Sequence[HubService] = (), **terms: int
    ) -> None:
        self.redis, self.keys = redis, keys
        self.hub = FakeHub()
        self.workspaces = Workspaces(redis, keys)
        public, recent = PublicListing(redis, keys), RecentlyFound()
        self.registry = ClientRegistry(redis, keys, public)
        self.registered = Services(redis, keys, public, recent)
        lately = RecentServices(self.registered, recent)
        registered = Registered(self.registered, lately)
        self.directory = Directory(
            registered, public, HubServices(own), self.hub.calls, lambda address: 0
        )
        quotas = Limits(redis, keys, **terms).quotas
        self.services = ServiceFunctions(self.registered, self.hub.calls, quotas)
        self.functions = WorkspaceFunctions(self.workspaces, self.registry, quotas)
        self._numbers = itertools.count()

    async def attach(self, client: str = "me", identity: Identity = ANN) -> Program:
        """Let a client in, into its user's own workspace."""
        workspace, holder = own_workspace(identity), f"node#{next(self._numbers)}"
        address = f"{workspace.name}/{client}"
        attachment = Attachment(address, client, workspace, identity, holder, "node")
        claim = await self.registry.claim(attachment, ClaimMode.NEW)
        await self.registry.noted(claim)
        connection = Connection(
            attachment,
            FakeSocket(),
            speech=Speech(IMJOY, 1_000),
            way=Way("http://hub"),
            share=Share((f"user {identity.id}",)),
        )
        connection.enter(Stage.LIVE)
        return Program(self.hub.connect(address), connection)

    def context(self, program: Program | None = None, identity: Identity = ANN) -> Context:
        """What a function is told of a client, or of somebody who asks over HTTP."""
        connection = program.connection if program else None
        attachment = connection.attachment if connection else None
        return Context(
            identity.id,
            attachment.address if attachment else f"{identity.id}/http",
            attachment.identity if attachment else identity,
            attachment.workspace.name if attachment else None,
            "http://hub",
            self.workspaces,
            self.directory,
            connection,
        )

    async def make(self, workspace: Workspace) -> None:
        await self.workspaces.create(workspace)


def service(name: str, **more: Any) -> dict[str, Any]:
    """A service as a client registers it."""
    return {"id": name, "f": rpc.reference("me", f"services.{name}.f"), **more}
