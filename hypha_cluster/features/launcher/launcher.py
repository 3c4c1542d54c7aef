"""The feature: server apps, wired together (docs/apps.md)."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from starlette.routing import BaseRoute

from hypha_cluster.features.feature import Feature, Grounds, Lookups
from hypha_cluster.features.launcher.installing import Installer
from hypha_cluster.features.launcher.pages import AppPages
from hypha_cluster.features.launcher.probes import Probes
from hypha_cluster.features.launcher.python_client import route
from hypha_cluster.features.launcher.service import ServerApps
from hypha_cluster.features.launcher.starting import Starter
from hypha_cluster.features.launcher.terms import LauncherSettings
from hypha_cluster.features.webapps.entrance import Cookies
from hypha_cluster.hub.services import HubService
from hypha_cluster.registry.apps import Apps
from hypha_cluster.registry.instance_logs import InstanceLogs

_log = logging.getLogger(__name__)

_LOOKING: Final = 1.0  # seconds between two looks
_SEEING_TO: Final = 2  # looks, after which lost runners are looked for
_TIDYING: Final = 60  # looks, after which apps of workspaces that have gone are removed


class Launcher(Feature):
    """Installs apps, serves their files, and asks runners to run them."""

    name = "launcher"
    Settings = LauncherSettings

    def __init__(self, settings: LauncherSettings, grounds: Grounds) -> None:
        self._is_on = settings.enable_server_apps
        self._workspaces = grounds.workspaces
        self._instances = grounds.instances
        self._apps = Apps(grounds.redis, grounds.keys)
        logs = InstanceLogs(grounds.redis, grounds.keys)
        self._probes = Probes(self._apps, self._instances, grounds.calls, grounds.supervisor)
        starter = Starter(self._apps, self._instances, logs, grounds.workspaces, self._probes)
        installer = Installer(self._apps, grounds.base_path)
        self._pages = AppPages(self._apps, grounds.gatekeeper, grounds.workspaces, Cookies(grounds))
        self._service = ServerApps(self._apps, self._instances, logs, installer, starter)

    def routes(self, lookups: Lookups) -> Sequence[BaseRoute]:
        return [route(), *self._pages.routes()] if self._is_on else ()

    def services(self) -> Sequence[HubService]:
        return [self._service.service()] if self._is_on else ()

    async def run(self) -> None:
        """Ask apps whether they are well, and see to instances whose runner is lost."""
        looks, missing = 0, set[str]()
        try:
            while self._is_on:
                await self._probes.look()
                if looks % _SEEING_TO == 0:
                    await self._instances.see_to()
                if looks % _TIDYING == 0:
                    missing = await self._tidy(missing)
                looks += 1
                await asyncio.sleep(_LOOKING)
        finally:
            await self._probes.stop()

    async def _tidy(self, missing: set[str]) -> set[str]:
        """Remove apps whose workspaces were missing last time, too; answer which are missing."""
        gone = set()
        for workspace in await self._apps.workspaces():
            if await self._workspaces.find(workspace) is not None:
                continue
            if workspace in missing:
                _log.info("The apps of workspace %s are removed with it.", workspace)
                await self._apps.forget(workspace)
                for instance in await self._instances.of_workspace(workspace):
                    await self._instances.forget(instance.address)
            else:
                gone.add(workspace)
        return gone
