"""Holds back a client's frames while the registry is asked whether functions in one may travel."""

from collections.abc import Callable, Set
from typing import Protocol

from hypha_cluster.errors import HubError
from hypha_cluster.identity.access import Identity
from hypha_cluster.protocol.references import Reference
from hypha_cluster.relay.connection import Connection
from hypha_cluster.supervision import Supervisor, Tasks

Settle = Callable[[HubError | None], None]
Route = Callable[[Connection, bytes], None]


class Rights(Protocol):
    """Knows who may call, and pass on, which functions of others."""

    def is_open(self, address: str, service: str) -> bool:
        """Whether a service is known at once to be public."""

    async def require(self, identity: Identity, references: Set[Reference]) -> None:
        """Return if somebody may call and pass on all of these; else raise a HubError."""


class RightsQueue:
    """Keeps the order of a client's frames when one of them has to wait for the registry."""

    def __init__(self, rights: Rights, supervisor: Supervisor) -> None:
        self._rights = rights
        self.is_open = rights.is_open
        self._tasks = Tasks(supervisor)

    async def stop(self) -> None:
        await self._tasks.stop()

    def hold_back(
        self, connection: Connection, references: Set[Reference], settle: Settle, route: Route
    ) -> None:
        """Call `settle` with the verdict on a frame; until then, those behind it wait.

        They go on to `route` afterwards, in their order.
        """
        connection.hold_back()
        work = self._ask(connection, references, settle, route)
        self._tasks.spawn("ask about functions", work, detail=connection.address)

    async def _ask(
        self, connection: Connection, references: Set[Reference], settle: Settle, route: Route
    ) -> None:
        try:
            await self._rights.require(connection.attachment.identity, references)
        except HubError as error:
            settle(error)
        else:
            settle(None)
        finally:
            try:
                for raw in connection.let_go():  # one of these may have to wait, too
                    route(connection, raw)
            finally:
                if connection.waiting_to_route is None:
                    connection.routed.set()
