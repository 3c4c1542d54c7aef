"""What the functions of `server-apps` are asked for: who asks, about which workspace or app."""

import contextlib
from typing import Any

from hypha_cluster.errors import BadRequest, Conflict, PermissionDenied
from hypha_cluster.features.launcher.identifiers import split_app_id
from hypha_cluster.hub.context import Context
from hypha_cluster.identity.access import own_workspace
from hypha_cluster.identity.names import check_client_id
from hypha_cluster.protocol.guard import shown
from hypha_cluster.registry.apps import App, Apps


def check_named(context: Context) -> None:
    """PermissionDenied for anonymous users."""
    if context.identity.is_anonymous:
        raise PermissionDenied("User must be authenticated")


async def asked_workspace(context: Context, given: Any) -> str:
    """The workspace that is meant: by default the caller's, which it is connected to."""
    if given is None and context.connection is not None and context.home is not None:
        return context.home
    name = context.identity.id if given is None else str(given)  # over HTTP: the user's own
    if name == context.identity.id:
        await _have_own(context)
    await context.require(name)
    return name


async def _have_own(context: Context) -> None:
    """Make the caller's own workspace, if they have never connected."""
    user = context.identity
    if user.is_anonymous or user.is_child or await context.workspaces.find(user.id) is not None:
        return
    with contextlib.suppress(Conflict):  # somebody else was faster
        await context.workspaces.create(own_workspace(user))


def check_client(client_id: Any) -> str:
    if not isinstance(client_id, str):
        raise BadRequest(f"'client_id' is text, not {shown(client_id)}.")
    check_client_id(client_id)
    return client_id


async def app_of(context: Context, app_id: Any, apps: Apps) -> App:
    """An app of the caller's workspace; NotFound, PermissionDenied."""
    check_named(context)
    workspace, key = split_app_id(app_id)
    if context.connection is None:
        await context.require(workspace)
    elif workspace != context.home:
        raise PermissionDenied("Workspace mismatch between app_id and workspace.")
    return await apps.get(workspace, key)
