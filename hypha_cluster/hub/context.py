"""What a function of the hub's own services is told besides its arguments."""

from typing import NamedTuple

from hypha_cluster.errors import PermissionDenied
from hypha_cluster.hub.directory import Directory
from hypha_cluster.identity.access import Identity
from hypha_cluster.registry.workspaces import Workspaces
from hypha_cluster.relay.connection import Connection


class Context(NamedTuple):
    """Who calls, from where, and the workspace in which the service was called.

    caller: an address; over HTTP one that is made up for the request. home: the workspace that the
    caller was admitted to, None for a stranger over HTTP. base_url: the URL by which the caller
    came. directory: finds other services. connection: the caller's, None over HTTP. source: the
    network address for which the caller counts; empty if it does not count.
    """

    workspace: str
    caller: str
    identity: Identity
    home: str | None
    base_url: str
    workspaces: Workspaces
    directory: Directory
    connection: Connection | None = None
    source: str = ""

    def attached(self) -> Connection:
        """The caller's connection; PermissionDenied unless it is a client of this workspace."""
        if self.connection is None or self.home != self.workspace:
            raise PermissionDenied(
                f"Permission denied for workspace {self.workspace}: connect to it to do this."
            )
        return self.connection

    async def require(self, workspace: str | None = None) -> None:
        """PermissionDenied unless the caller may act in a workspace, by default this one."""
        name = workspace or self.workspace
        if name != self.home:
            await self.workspaces.require(self.identity, name)

    async def may_enter(self, workspace: str) -> bool:
        if workspace == self.home:
            return True
        return await self.workspaces.may_enter(self.identity, await self.workspaces.get(workspace))
