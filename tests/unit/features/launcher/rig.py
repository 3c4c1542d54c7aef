"""What is behind `server-apps`, in a real Redis; pages and runners are what tests say they are."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from hypha_cluster.features.launcher.app_functions import AppFunctions
from hypha_cluster.features.launcher.installing import Installer, Place, Recipe
from hypha_cluster.features.launcher.instance_functions import InstanceFunctions
from hypha_cluster.features.launcher.keeping import Keeper
from hypha_cluster.features.launcher.log_functions import LogFunctions
from hypha_cluster.features.launcher.packages import Packages
from hypha_cluster.features.launcher.service import server_apps
from hypha_cluster.features.launcher.starting import Insight, Known, Starter
from hypha_cluster.hub.context import Context
from hypha_cluster.hub.services import HubService
from hypha_cluster.identity.access import Identity, Workspace, own_workspace
from hypha_cluster.links.client import RedisClient
from hypha_cluster.metrics import Counts
from hypha_cluster.registry.apps import App, Apps
from hypha_cluster.registry.instance import HELD, Instance, State
from hypha_cluster.registry.instance_logs import Cursor, InstanceLogs
from hypha_cluster.registry.instance_pages import InstancePages
from hypha_cluster.registry.instances import Instances
from hypha_cluster.registry.kept_apps import KeptApps
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.workspaces import Workspaces
from tests.app_rig import ANN, SEALS
from tests.gateways import SECOND

BOB: Final = Identity("bob", is_anonymous=False, email="b@x.org")
GUEST: Final = Identity("guest")
URL: Final = "https://hub.example"
WINDOW: Final = Recipe("api.export({});", {"name": "Adder", "type": "window"})


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that Redis alone tells."""
    async with asyncio.timeout(20 * SECOND):
        while not await reached():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class AlwaysReady:
    """Probes of apps that have none."""

    async def until_ready(self, app: App, address: str) -> None:
        """It is."""


class Site(NamedTuple):
    """The parts, as the launcher wires them."""

    redis: RedisClient
    keys: Keys
    apps: Apps
    instances: Instances
    pages: InstancePages
    logs: InstanceLogs
    kept: KeptApps
    workspaces: Workspaces
    installer: Installer
    starter: Starter
    keeper: Keeper

    @classmethod
    def of(cls, redis: RedisClient, keys: Keys) -> "Site":
        apps, instances = Apps(redis, keys), Instances(redis, keys)
        pages = InstancePages(redis, keys, SEALS, instances)
        logs, kept = InstanceLogs(redis, keys), KeptApps(redis, keys, SEALS)
        workspaces, probes = Workspaces(redis, keys), AlwaysReady()
        insight = Insight(lambda address: 0, Counts())
        known = Known(apps, instances, pages, logs)
        starter = Starter(known, workspaces, probes, insight)  # type: ignore[arg-type]  # see AlwaysReady
        installer = Installer(apps, "", Packages("", ""))
        keeper = Keeper(kept, apps, instances)
        return cls(redis, keys, *known, kept, workspaces, installer, starter, keeper)

    async def settle(self, user: Identity = ANN) -> Workspace:
        """Make the workspace of a user."""
        workspace = own_workspace(user)
        await self.workspaces.create(workspace)
        return workspace

    async def install(self, key: str = "adder", recipe: Recipe = WINDOW) -> App:
        return await self.installer.install(Place("ann", "ann", key), recipe)

    async def run(self, runner: str = "r", many: int = 9) -> list[Instance]:
        """Have a runner take what waits, and have its pages say that they are ready."""
        taken = await self.instances.see_to(runner, many)
        for address in taken:
            await self.instances.change(address, HELD, State.RUNNING, due=10)
        return [await self.instances.get(address) for address in taken]

    async def close_pages(self) -> None:
        """Have the pages that are to be closed be closed."""
        for instance in await self.instances.of_workspace("ann"):
            stopping = frozenset((State.STOPPING,))
            await self.instances.change(instance.address, stopping, State.STOPPED, due=99)

    def context(self, who: Identity = ANN, home: str | None = "ann", **more: Any) -> Context:
        nothing: Any = None
        is_client = home is not None and more.pop("by_websocket", True)
        connection: Any = object() if is_client else None
        return Context(
            "public", "ann/x", who, home, URL, self.workspaces, nothing, connection, **more
        )


class Followed:
    """Notes who follows what."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def more(self, address: str, cursor: Cursor, user: str, patience: float) -> list[Any]:
        self.asked.append((address, str(cursor), user, patience))
        return []

    def follow(self, *about: Any) -> Any:
        self.asked.append(about)
        return "a stream"


class Functions:
    """What clients call."""

    def __init__(self, site: Site) -> None:
        self.followed = Followed()
        following: Any = self.followed
        parts = (site.starter, site.keeper)
        self.apps = AppFunctions(site.apps, site.instances, site.installer, *parts)
        self.instances = InstanceFunctions(site.apps, site.instances, self.apps, *parts)
        self.logs = LogFunctions(site.instances, site.logs, following)

    def service(self) -> HubService:
        return server_apps(self.apps, self.instances, self.logs)
