"""The feature: server apps, wired together (docs/apps.md)."""

import asyncio
from collections.abc import Sequence, Set
from typing import Final

from starlette.routing import BaseRoute

from hypha_cluster.features.feature import Feature, Grounds, Lookups
from hypha_cluster.features.launcher.app_functions import AppFunctions
from hypha_cluster.features.launcher.following import Following
from hypha_cluster.features.launcher.installing import Installer
from hypha_cluster.features.launcher.instance_functions import InstanceFunctions
from hypha_cluster.features.launcher.keeping import Keeper
from hypha_cluster.features.launcher.log_functions import LogFunctions
from hypha_cluster.features.launcher.packages import Packages
from hypha_cluster.features.launcher.pages import AppPages
from hypha_cluster.features.launcher.probes import Probes
from hypha_cluster.features.launcher.python_client import route
from hypha_cluster.features.launcher.service import server_apps
from hypha_cluster.features.launcher.starting import Insight, Known, Starter
from hypha_cluster.features.launcher.terms import LauncherSettings
from hypha_cluster.features.launcher.tidying import Tidying
from hypha_cluster.features.login.browser import Browsers
from hypha_cluster.features.pages.apps_page import AppsPage
from hypha_cluster.features.pages.looking import Lookers
from hypha_cluster.features.pages.pages import TEMPLATES
from hypha_cluster.hub.services import HubService
from hypha_cluster.registry.apps import Apps
from hypha_cluster.registry.instance_calls import InstanceCalls
from hypha_cluster.registry.instance_logs import InstanceLogs
from hypha_cluster.registry.instance_probes import InstanceProbes
from hypha_cluster.registry.kept_apps import KeptApps
from hypha_cluster.web.rendering import Pages

_LOOKING: Final = 1.0  # seconds between two looks
_SEEING_TO: Final = 2  # looks, after which lost runners are looked for
_ENDING: Final = 5  # looks, after which instances are ended that nobody is there for
_COUNTING: Final = 10  # looks, after which instances are counted for the metrics
_TIDYING: Final = 60  # looks, after which apps of workspaces that have gone are removed


class Launcher(Feature):
    """Installs apps, serves their files, and asks runners to run them."""

    name = "launcher"
    title = "Server apps"
    Settings = LauncherSettings

    def __init__(self, settings: LauncherSettings, grounds: Grounds) -> None:
        self._is_on = settings.enable_server_apps
        self._grounds = grounds
        self._instances = grounds.instances
        self._apps = apps = Apps(grounds.redis, grounds.keys)
        kept = KeptApps(grounds.redis, grounds.keys, grounds.tokens.page_seals)
        self._tidying = Tidying(
            apps, self._instances, grounds.workspaces, kept, grounds.redis, grounds.keys
        )
        logs = InstanceLogs(grounds.redis, grounds.keys)
        self._counts = counts = grounds.counts
        turns = InstanceProbes(grounds.redis, grounds.keys)
        self._probes = Probes(
            apps, self._instances, turns, grounds.calls, grounds.supervisor, counts
        )
        self._calls = InstanceCalls(grounds.redis, grounds.keys, grounds.node)
        self._watched: Set[str] = frozenset()
        starter = Starter(
            Known(apps, self._instances, grounds.instance_pages, logs),
            grounds.workspaces,
            self._probes,
            Insight(grounds.activity.waiting_for, counts),
        )
        packages = Packages(settings.app_packages, settings.app_package_index)
        installer = Installer(apps, grounds.base_path, packages)
        self._following = Following(logs, grounds)
        self._keeper = keeper = Keeper(kept, apps, self._instances)
        installed = AppFunctions(apps, self._instances, installer, starter, keeper)
        self._service = server_apps(
            installed,
            InstanceFunctions(apps, self._instances, installed, starter, keeper),
            LogFunctions(self._instances, logs, self._following),
        )

    def routes(self, lookups: Lookups) -> Sequence[BaseRoute]:
        if not self._is_on:
            return ()
        grounds = self._grounds
        browsers, lookup = Browsers.of(grounds), lookups.lookup
        pages = AppPages(
            self._apps,
            grounds.instance_pages,
            grounds.gatekeeper,
            lookup,
            grounds.workspaces,
            browsers,
        )
        page = AppsPage(Lookers(grounds), Pages(TEMPLATES, with_scripts=True))
        return [route(), *page.routes(), *pages.routes()]

    def services(self) -> Sequence[HubService]:
        return [self._service] if self._is_on else ()

    async def run(self) -> None:
        """Ask apps whether they are well, and see to instances whose runner is lost."""
        if not self._is_on:
            return
        try:
            async with self._following.listening():
                await self._look()
        finally:
            await self._probes.stop()

    async def drain(self) -> None:
        self._following.end()

    async def _look(self) -> None:
        looks = 0
        while True:
            await self._probes.look()
            await self._tend()
            if looks % _SEEING_TO == 0:
                await self._instances.see_to()
            if looks % _ENDING == 0:
                await self._tidying.end_left_instances()
            if looks % _TIDYING == 0:
                await self._tidying.remove_lost_apps()
            if looks % _COUNTING == 0:
                await self._count()
            looks += 1
            await asyncio.sleep(_LOOKING)

    async def _tend(self) -> None:
        """Tell Redis which instances are called, so that there are as many as that takes."""
        called = self._grounds.activity.watch(self._watched)
        self._watched = await self._calls.report(called)
        await self._keeper.see_to()

    async def _count(self) -> None:
        """Count the instances of the whole cluster, for the metrics."""
        tally, counts = await self._instances.count(), self._counts
        counts.app_instances, counts.app_entries = tally.states, tally.entered
        counts.app_slots = {"used": tally.used, "free": tally.free}
        counts.app_runners = tally.runners
