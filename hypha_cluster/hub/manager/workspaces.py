"""The manager's functions for workspaces: create, info, set, summary, clients (protocol.md 6)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from hypha_cluster import audit
from hypha_cluster.audit import Event
from hypha_cluster.errors import BadRequest, Conflict, NotFound, PermissionDenied
from hypha_cluster.hub.context import Context
from hypha_cluster.hub.manager.visibility import read_visibility
from hypha_cluster.hub.quotas import Quotas
from hypha_cluster.identity.access import Action, Identity, Workspace, may
from hypha_cluster.identity.names import check_workspace_name
from hypha_cluster.protocol.address import MANAGER, client_of
from hypha_cluster.protocol.guard import shown
from hypha_cluster.registry.clients import ClientRegistry
from hypha_cluster.registry.workspaces import Workspaces

_REQUIRED: Final = ("name", "owners", "visibility")
_APPLICATION: Final = ("name", "id", "tags", "type")


class WorkspaceFunctions:
    """What clients call to make workspaces and to look around in them."""

    def __init__(self, workspaces: Workspaces, registry: ClientRegistry, quotas: Quotas) -> None:
        self._quotas = quotas
        self._workspaces = workspaces
        self._registry = registry

    async def create_workspace(
        self, context: Context, config: Any, overwrite: bool = False
    ) -> dict[str, Any]:
        """Make a workspace, or change the settings of one that the caller owns."""
        identity = context.identity
        workspace = _read_config(_with_visibility(config, context), identity)
        own = await _own(workspace.applications, context, workspace.name)
        workspace = replace(workspace, applications=own)
        existing = await self._workspaces.find(workspace.name)
        if existing is None and await self._workspaces.known_user(workspace.name):
            raise PermissionDenied(f"{workspace.name} is the name of a user's own workspace.")
        if existing is None:
            subjects = context.connection.subjects if context.connection else ()
            await self._quotas.make_workspace(subjects)
            await self._workspaces.create(workspace)
            audit.note(Event.WORKSPACE_MADE, workspace=workspace.name, user=identity.id)
            return workspace.to_wire()
        if not overwrite:
            raise Conflict(f"Workspace {workspace.name} already exists.")

        maker = await self._workspaces.maker_of(identity)

        def overwritten(current: Workspace) -> Workspace:
            _require_owner(identity, maker, current, "overwrite")
            return workspace

        changed = await self._workspaces.change(workspace.name, overwritten)
        audit.note(Event.WORKSPACE_OVERWRITTEN, workspace=workspace.name, user=identity.id)
        return changed.to_wire()

    async def get_workspace_info(
        self, context: Context, workspace: str | None = None
    ) -> dict[str, Any]:
        """The settings of a workspace, and the manifests of the apps that are installed in it."""
        name = workspace or context.workspace
        found = await self._workspaces.require(context.identity, name, Action.LOOK)
        installed = await context.directory.applications(context, name)
        return replace(found, applications={**found.applications, **installed}).to_wire()

    async def set(self, context: Context, config: Any) -> None:
        """Change settings of this workspace, which is its owners' to do."""
        identity, settings = context.identity, _with_visibility(config, context)
        if isinstance(settings.get("applications"), dict):
            own = await _own(settings["applications"], context, context.workspace)
            settings = {**settings, "applications": own}
        maker = await self._workspaces.maker_of(identity)

        def with_config(current: Workspace) -> Workspace:
            _require_owner(identity, maker, current, "change")
            if settings.get("name", current.name) != current.name:
                raise BadRequest("The name of a workspace cannot be changed.")
            changed = Workspace.from_wire({**current.to_wire(), **settings})
            _check_persistence(changed, identity, current)
            if may(Action.CHANGE, identity, changed, maker):
                return changed
            # So that nobody locks themselves out.
            return replace(changed, owners=_with_owner(changed.owners, identity))

        await self._change(context, with_config)

    async def install_application(self, context: Context, rdf: Any) -> None:
        def with_application(current: Workspace) -> Workspace:
            missing = [key for key in _APPLICATION if not isinstance(rdf, dict) or key not in rdf]
            if missing:
                raise BadRequest(f"An application needs {', '.join(missing)}.")
            if not isinstance(rdf["id"], str):
                raise BadRequest(f"The id of an application is text, not {shown(rdf['id'])}.")
            return replace(current, applications={**current.applications, rdf["id"]: rdf})

        await self._change(context, with_application)

    async def uninstall_application(self, context: Context, rdf_id: str) -> None:
        def without_application(current: Workspace) -> Workspace:
            if not isinstance(rdf_id, str):
                raise BadRequest(f"The id of an application is text, not {shown(rdf_id)}.")
            if rdf_id not in current.applications:
                raise NotFound(f"No application {shown(rdf_id)} is installed in {current.name}.")
            left = {id_: rdf for id_, rdf in current.applications.items() if id_ != rdf_id}
            return replace(current, applications=left)

        await self._change(context, without_application)

    async def _change(self, context: Context, edit: Callable[[Workspace], Workspace]) -> None:
        await self._workspaces.require(context.identity, context.workspace, Action.INSTALL)
        await self._workspaces.change(context.workspace, edit)
        audit.note(Event.WORKSPACE_CHANGED, workspace=context.workspace, user=context.identity.id)

    async def get_summary(self, context: Context) -> dict[str, Any]:
        current = await self._workspaces.get(context.workspace)
        clients = await self.list_clients(context)
        services = await context.directory.visible(context.workspace, inside=True)
        return {
            "name": current.name,
            "description": current.description,
            "client_count": len(clients),
            "clients": clients,
            "service_count": len(services),
            "services": [
                {key: info[key] for key in ("id", "name", "type", "description", "config")}
                for info in services
            ],
        }

    async def list_clients(self, context: Context) -> list[str]:
        return [*await self._registry.clients(context.workspace), MANAGER]

    async def list_user_clients(self, context: Context) -> list[str]:
        addresses = await self._registry.user_clients(context.identity.id)
        return [client_of(address) for address in addresses]


def _with_visibility(config: object, context: Context) -> dict[str, Any]:
    """The settings that a client sends, with the visibility as the hub keeps it."""
    if not isinstance(config, dict):
        raise BadRequest(f"The settings of a workspace are a dict, not {shown(config)}.")
    if "visibility" not in config:
        return config
    address = context.caller
    visibility = read_visibility(config["visibility"], "a workspace", address)
    return {**config, "visibility": visibility}


async def _own(applications: dict[str, Any], context: Context, workspace: str) -> dict[str, Any]:
    """Those of the settings themselves: `get_workspace_info` lists apps that are kept elsewhere."""
    if not applications:
        return applications
    installed = await context.directory.applications(context, workspace)
    return {key: value for key, value in applications.items() if key not in installed}


def _read_config(config: dict[str, Any], identity: Identity) -> Workspace:
    missing = [key for key in _REQUIRED if key not in config]
    if missing:
        raise BadRequest(f"A workspace needs {', '.join(missing)}.")
    workspace = Workspace.from_wire(config)
    check_workspace_name(workspace.name)
    _check_persistence(workspace, identity, None)
    return replace(workspace, owners=_with_owner(workspace.owners, identity))


def _require_owner(
    identity: Identity, maker: Identity | None, workspace: Workspace, action: str
) -> None:
    if not may(Action.CHANGE, identity, workspace, maker):
        raise PermissionDenied(
            f"Permission denied for workspace {workspace.name}: only an owner may {action} it."
        )


def _check_persistence(workspace: Workspace, identity: Identity, before: Workspace | None) -> None:
    newly = workspace.persistent and not (before and before.persistent)
    if newly and identity.is_anonymous:
        raise PermissionDenied("Only a user with an e-mail address can keep a workspace for good.")


def _with_owner(owners: list[str], identity: Identity) -> list[str]:
    name = identity.email or identity.id
    cleaned = [str(owner).strip() for owner in owners if str(owner).strip()]
    return cleaned if name in cleaned else [*cleaned, name]
