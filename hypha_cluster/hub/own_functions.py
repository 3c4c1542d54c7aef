"""Calls functions of the hub's own services, for clients and for whoever asks over HTTP."""

import secrets
from typing import Any

from hypha_cluster.errors import ClientLeft, PermissionDenied
from hypha_cluster.hub.calls import Call, check_arguments
from hypha_cluster.hub.context import Context
from hypha_cluster.hub.directory import Directory
from hypha_cluster.hub.guests import check_guest
from hypha_cluster.hub.services import HubServices
from hypha_cluster.identity.access import PUBLIC, Identity
from hypha_cluster.registry.workspaces import Workspaces
from hypha_cluster.relay.connections import Connections


class OwnFunctions:
    """Tells a function who calls, and by what it finds other services."""

    def __init__(
        self,
        services: HubServices,
        directory: Directory,
        connections: Connections,
        workspaces: Workspaces,
    ) -> None:
        self._services = services
        self._directory = directory
        self._connections = connections
        self._workspaces = workspaces

    # Calls of clients.

    async def answer(self, call: Call) -> Any:
        """Do what an attached client asks for."""
        context = self._context_of(call)
        return await self.call(context, call.service, call.function, call.args, call.kwargs)

    def describe(self, call: Call) -> dict[str, Any]:
        """The service that a client's `get_service` asks for; a protected one for its workspace."""
        context, wanted = self._context_of(call), call.args[0] if call.args else None
        found = self._services.get(context.workspace, str(wanted))
        if found.visibility != "public" and context.home != context.workspace:
            raise PermissionDenied(f"Permission denied for service: {found.id}")
        return found.describe(context.workspace, context.base_url)

    def _context_of(self, call: Call) -> Context:
        connection = self._connections.get(call.caller.address)
        if connection is None:
            raise ClientLeft(f"{call.caller.address} is no longer attached here.")
        attachment = connection.attachment
        return Context(
            workspace=call.workspace,
            caller=connection.address,
            identity=attachment.identity,
            home=attachment.workspace.name,
            base_url=connection.base_url,
            workspaces=self._workspaces,
            directory=self._directory,
            connection=connection,
        )

    # Calls of anybody.

    def context_for(
        self,
        identity: Identity,
        workspace: str,
        *,
        inside: bool,
        base_url: str,
        source: str = "",
    ) -> Context:
        """The context of a call over HTTP. inside: whether its caller may enter the workspace."""
        home = workspace if inside else None
        caller = f"{home or PUBLIC}/http-{secrets.token_hex(6)}"
        return Context(
            workspace,
            caller,
            identity,
            home,
            base_url,
            self._workspaces,
            self._directory,
            source=source,
        )

    async def call(
        self,
        context: Context,
        service: str,
        function: str,
        args: list[Any],
        kwargs: dict[str, Any],
    ) -> Any:
        """Call a function; whatever is wrong with the call is a HubError."""
        found = self._services.get(context.workspace, service)
        work = found.function(function)
        check_guest(context.identity, found.id, found.own_name(function))
        if found.guards(function):
            await context.require()
        named = {key: value for key, value in kwargs.items() if key != "_rkwargs"}
        check_arguments(work, function, [context, *args], named)
        return await work(context, *args, **named)
