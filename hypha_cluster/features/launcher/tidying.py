"""Removes what nobody needs any more: apps of lost workspaces, instances that users have left."""

import logging

from hypha_cluster.links.client import RedisClient
from hypha_cluster.protocol.address import workspace_of
from hypha_cluster.registry.apps import Apps
from hypha_cluster.registry.instance import OVER
from hypha_cluster.registry.instances import Instances
from hypha_cluster.registry.kept_apps import KeptApps
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.workspaces import Workspaces

_log = logging.getLogger(__name__)


class Tidying:
    """Looks for what nobody needs any more; every gateway does so, and finds the same."""

    def __init__(
        self,
        apps: Apps,
        instances: Instances,
        workspaces: Workspaces,
        kept: KeptApps,
        redis: RedisClient,
        keys: Keys,
    ) -> None:
        self._kept = kept
        self._apps = apps
        self._instances = instances
        self._workspaces = workspaces
        self._redis = redis
        self._keys = keys
        self._missing = set[str]()

    async def remove_lost_apps(self) -> None:
        """Remove the apps of workspaces that were missing last time, too."""
        gone = set()
        for workspace in await self._apps.workspaces():
            if await self._workspaces.find(workspace) is not None:
                continue
            if workspace in self._missing:
                _log.info("The apps of workspace %s are removed with it.", workspace)
                for app in await self._apps.of_workspace(workspace):
                    await self._kept.release(app.id)
                await self._apps.forget(workspace)
                for instance in await self._instances.of_workspace(workspace):
                    await self._instances.forget(instance.address)
            else:
                gone.add(workspace)
        self._missing = gone

    async def end_left_instances(self) -> None:
        """End what runs in a workspace that goes with its last client, when only pages are left."""
        for name in {workspace_of(each) for each in await self._instances.addresses()}:
            workspace = await self._workspaces.find(name)
            if workspace is None or workspace.persistent:
                continue
            known = await self._instances.of_workspace(name)
            # What is over is no page: a program may have its address by now.
            pages = {each.client for each in known if each.state not in OVER}
            clients = await self._redis.smembers(self._keys.clients(name))
            if pages and {client.decode() for client in clients} <= pages:
                await self._end(name, pages)

    async def _end(self, workspace: str, pages: set[str]) -> None:
        for app in await self._apps.of_workspace(workspace):
            await self._kept.release(app.id)
        for page in pages:
            if (await self._instances.end(f"{workspace}/{page}")).is_done:
                _log.info("%s/%s is stopped, for nobody else is left there.", workspace, page)
