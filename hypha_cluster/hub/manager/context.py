"""What a function of the manager is told besides its arguments."""

from dataclasses import dataclass

from hypha_cluster.errors import PermissionDenied
from hypha_cluster.identity.access import Identity
from hypha_cluster.registry.workspaces import Workspaces
from hypha_cluster.relay.connections import Connection


@dataclass(frozen=True, slots=True)
class Context:
    """Who calls, and the workspace whose manager they call."""

    workspace: str
    connection: Connection
    workspaces: Workspaces

    @property
    def identity(self) -> Identity:
        return self.connection.attachment.identity

    @property
    def is_at_home(self) -> bool:
        """Whether the caller is a client of this workspace; then it was admitted already."""
        return self.connection.attachment.workspace.name == self.workspace

    def require_home(self) -> None:
        if not self.is_at_home:
            raise PermissionDenied(
                f"Permission denied for workspace {self.workspace}: connect to it to do this."
            )

    async def require(self, workspace: str | None = None) -> None:
        """PermissionDenied unless the caller may act in a workspace, by default this one."""
        name = workspace or self.workspace
        if name != self.connection.attachment.workspace.name:
            await self.workspaces.require(self.identity, name)

    async def may_enter(self, workspace: str) -> bool:
        if workspace == self.connection.attachment.workspace.name:
            return True
        return await self.workspaces.may_enter(self.identity, await self.workspaces.get(workspace))
