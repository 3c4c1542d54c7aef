"""Who may pass on functions of others: those of a workspace they may enter, and public ones."""

from collections.abc import Iterable
from typing import Protocol

from hypha_cluster.errors import NotFound, PermissionDenied
from hypha_cluster.identity.access import Identity
from hypha_cluster.protocol.address import ServiceQuery, client_of, workspace_of
from hypha_cluster.protocol.guard import shown
from hypha_cluster.protocol.references import Reference
from hypha_cluster.registry.services import BUILT_IN


class Entries(Protocol):
    """Knows who may enter which workspace."""

    async def may_enter_lately(self, identity: Identity, name: str) -> bool:
        """As it was a moment ago; WorkspaceNotFound."""


class Finder(Protocol):
    """Finds services, as somebody who may or may not enter their workspace."""

    async def find_lately(self, wanted: ServiceQuery, home: str, *, inside: bool) -> object:
        """As it was a moment ago; NotFound, or PermissionDenied."""


class Rights:
    """Looks up what a sender may pass on, as it was a moment ago."""

    def __init__(self, workspaces: Entries, directory: Finder) -> None:
        self._workspaces = workspaces
        self._directory = directory

    async def require(self, identity: Identity, references: Iterable[Reference]) -> None:
        """PermissionDenied for the first service that the sender may not pass on."""
        entered: dict[str, bool] = {}
        for reference in references:
            workspace = workspace_of(reference.address)
            if workspace not in entered:
                entered[workspace] = await self._may_enter(identity, workspace)
            if not entered[workspace] and not await self._is_public(reference):
                raise PermissionDenied(
                    f"Permission denied: service {shown(reference.service)} of "
                    f"{shown(reference.address)} is not public, so its functions cannot be "
                    f"passed on from outside its workspace."
                )

    async def _may_enter(self, identity: Identity, workspace: str) -> bool:
        try:
            return await self._workspaces.may_enter_lately(identity, workspace)
        except NotFound:
            return False

    async def _is_public(self, reference: Reference) -> bool:
        address, service = reference
        if service == BUILT_IN:  # each client has it, and not for others
            return False
        wanted = ServiceQuery(workspace_of(address), client_of(address), service)
        try:
            await self._directory.find_lately(wanted, "", inside=False)
        except (NotFound, PermissionDenied):
            return False
        return True
