"""Who may call a service, or pass it on: all if it is public, else those of its workspace."""

import time
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from hypha_cluster.errors import ClientNotFound, NotFound, PermissionDenied, RedisUnavailable
from hypha_cluster.identity.access import Identity
from hypha_cluster.protocol.address import ServiceQuery, client_of, workspace_of
from hypha_cluster.protocol.guard import shown
from hypha_cluster.protocol.references import Reference
from hypha_cluster.registry.services import BUILT_IN, Provider
from hypha_cluster.relay.connections import Connections

_REST: Final = 1.0  # seconds without a look at Redis after it failed; else each frame would wait


class Entries(Protocol):
    """Knows who may enter which workspace."""

    async def may_use_lately(self, identity: Identity, name: str) -> bool:
        """Whether a user may use what is protected in a workspace, as of a moment ago.

        WorkspaceNotFound.
        """


class Finder(Protocol):
    """Finds services, as somebody who may or may not enter their workspace."""

    async def find_lately(self, wanted: ServiceQuery, home: str, *, inside: bool) -> object:
        """The provider of a service, as of a moment ago; NotFound, or PermissionDenied."""


class Known(Protocol):
    """Services that were looked up a moment ago."""

    def known(self, address: str, service: str) -> Provider | None:
        """One client's service, if it is among them."""


class Open:
    """Knows services that are public without asking Redis: those here, and those found lately."""

    def __init__(self, connections: Connections, lately: Known) -> None:
        self._connections = connections
        self._lately = lately

    def __call__(self, address: str, service: str) -> bool:
        connection = self._connections.get(address)
        if connection is not None and connection.is_open(service):
            return True
        provider = self._lately.known(address, service)
        return provider is not None and provider.is_public


class Rights:
    """Looks up what a sender may call and pass on, as it was a moment ago.

    is_open: whether a service of an address is known to be public.
    """

    def __init__(
        self,
        workspaces: Entries,
        directory: Finder,
        is_open: Callable[[str, str], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workspaces = workspaces
        self._directory = directory
        self.is_open = is_open
        self._clock = clock
        self._away_until = float("-inf")

    async def require(self, identity: Identity, references: Iterable[Reference]) -> None:
        """A HubError for the first service that the sender may not call, or pass on."""
        if self._clock() < self._away_until:
            raise _unavailable()
        try:
            await self._require(identity, references)
        except RedisUnavailable as error:
            self._away_until = self._clock() + _REST
            raise _unavailable() from error

    async def _require(self, identity: Identity, references: Iterable[Reference]) -> None:
        entered: dict[str, bool] = {}
        for reference in references:
            workspace = workspace_of(reference.address)
            if workspace not in entered:
                entered[workspace] = await self._may_enter(identity, workspace)
            if entered[workspace]:
                continue
            if reference.is_called:
                await self._require_public(reference)
            elif not await self._is_public(reference):
                raise PermissionDenied(
                    f"Permission denied: service {shown(reference.service)} of "
                    f"{shown(reference.address)} is not public, so its functions cannot be "
                    f"passed on from outside its workspace."
                )

    async def _require_public(self, reference: Reference) -> None:
        """HubError unless a service is public; a client that is not known refuses by itself."""
        try:
            await self._find(reference)
        except ClientNotFound:
            return

    async def _may_enter(self, identity: Identity, workspace: str) -> bool:
        try:
            return await self._workspaces.may_use_lately(identity, workspace)
        except NotFound:
            return False

    async def _is_public(self, reference: Reference) -> bool:
        if reference.service == BUILT_IN:  # each client has it, for its own workspace
            return False
        try:
            await self._find(reference)
        except (NotFound, PermissionDenied):
            return False
        return True

    async def _find(self, reference: Reference) -> None:
        """Find a service as a stranger would; NotFound, or PermissionDenied."""
        address = reference.address
        wanted = ServiceQuery(workspace_of(address), client_of(address), reference.service)
        await self._directory.find_lately(wanted, "", inside=False)


def _unavailable() -> RedisUnavailable:
    return RedisUnavailable("The relay is unavailable; what may pass could not be looked up.")
