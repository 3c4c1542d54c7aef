"""Functions of `server-apps` for what runs: launch, start, stop, list."""

from typing import Any

from hypha_cluster.errors import NotFound, PermissionDenied
from hypha_cluster.features.launcher.app_functions import AppFunctions
from hypha_cluster.features.launcher.arguments import (
    app_of,
    asked_workspace,
    check_client,
    check_named,
)
from hypha_cluster.features.launcher.keeping import Keeper
from hypha_cluster.features.launcher.manifest import url_of
from hypha_cluster.features.launcher.scaling import is_kept_up
from hypha_cluster.features.launcher.starting import Start, Starter, service_of, timeout_of
from hypha_cluster.hub.context import Context
from hypha_cluster.protocol.guard import shown
from hypha_cluster.registry.apps import Apps
from hypha_cluster.registry.instance import OVER, Instance, State
from hypha_cluster.registry.instances import Instances
from hypha_cluster.registry.kept_apps import Keep


class InstanceFunctions:
    """Starts and stops instances; functions: to install an app first."""

    def __init__(
        self,
        apps: Apps,
        instances: Instances,
        functions: AppFunctions,
        starter: Starter,
        keeper: Keeper,
    ) -> None:
        self._apps = apps
        self._instances = instances
        self._functions = functions
        self._starter = starter
        self._keeper = keeper

    async def launch(  # its arguments are the original's
        self,
        context: Context,
        source: Any,
        timeout: Any = 60,  # noqa: ASYNC109  # so the original calls it
        config: Any = None,
        attachments: Any = None,
        wait_for_service: Any = None,
    ) -> dict[str, Any]:
        """Install an app, and start it."""
        seconds, wait_for = timeout_of(timeout), service_of(wait_for_service)
        manifest = await self._functions.install(context, source, None, config, None, attachments)
        return await self.start(context, manifest["id"], None, seconds, 0, wait_for)

    async def start(  # its arguments are the original's
        self,
        context: Context,
        app_id: Any,
        client_id: Any = None,
        timeout: Any = 60,  # noqa: ASYNC109  # so the original calls it
        loop_count: Any = 0,
        wait_for_service: Any = None,
    ) -> dict[str, Any]:
        """Start an app, and wait until its page has exported an api, or offers a service."""
        if client_id is not None:
            check_client(client_id)
        app = await app_of(context, app_id, self._apps)
        shared = client_id is None and is_kept_up(app.manifest)  # it is there, or will be at once
        how = Start(client_id, timeout_of(timeout), service_of(wait_for_service), shared)
        await self._keeper.keep(app, context.identity, Keep.NEW)
        instance = await self._starter.start(app, context.identity, how)
        url = url_of(app.id, context.base_url)
        return {
            "local_url": url,
            "public_url": url,
            "id": instance.client,
            "workspace": instance.workspace,
            "app_id": app.id,
            "name": instance.service or app.name,
        }

    async def stop(
        self, context: Context, client_id: Any, raise_exception: Any = True, workspace: Any = None
    ) -> None:
        """Stop an instance, by the id of its client."""
        check_named(context)
        place = await asked_workspace(context, workspace)
        address = f"{place}/{check_client(client_id)}"
        if instance := await self._instances.find(address):
            await self._keeper.release(instance)
        if not await self._starter.stop(address) and raise_exception:
            raise NotFound(f"Server app instance not found: {client_id}")

    async def stop_all(self, context: Context, workspace: Any = None) -> int:
        """Stop all instances of a workspace; return how many there were."""
        check_named(context)
        place = await asked_workspace(context, workspace)
        running = [each for each in await self._instances.of_workspace(place) if _is_up(each)]
        for instance in running:
            await self._keeper.release(instance)
            await self._instances.end(instance.address)
        for instance in running:
            await self._starter.stop(instance.address)
        return len(running)

    async def list_running(
        self, context: Context, workspace: Any = None, over: Any = False
    ) -> list[dict[str, Any]]:
        """The instances of a workspace, with what each is doing; also those that are `over`."""
        check_named(context)
        place = await asked_workspace(context, workspace)
        found = await self._instances.of_workspace(place)
        return [_described(each, context.base_url) for each in found if over or _is_up(each)]

    # For `get_service` with `launch`.

    async def launch_for_query(self, context: Context, query: dict[str, Any]) -> tuple[str, str]:
        """The client and the service that a query means, whose app is started if it is not up."""
        workspace = query.get("workspace") or context.workspace
        if context.home != workspace:
            raise PermissionDenied(f"Permission denied for workspace {shown(workspace)}.")
        return await self._starter.launch(str(workspace), query, context.identity)


def _is_up(instance: Instance) -> bool:
    return instance.state not in OVER and instance.state is not State.STOPPING


def _described(instance: Instance, base_url: str) -> dict[str, Any]:
    url = url_of(instance.app_id, base_url)
    return {
        "id": instance.client,
        "name": instance.app_id,
        "workspace": instance.workspace,
        "local_url": url,
        "public_url": url,
        "status": "connected" if instance.state is State.RUNNING else "connecting",
        "watch": False,
        "app_id": instance.app_id,
        "app_name": instance.name,
        "state": str(instance.state),
        "reason": instance.reason,
        "restarts": instance.restarts,
        "runner": instance.runner,
        "since": instance.changed,
    }
