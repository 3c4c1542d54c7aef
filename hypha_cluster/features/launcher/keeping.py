"""Apps of which some instances are always there: their configs say so, by `daemon` or a number."""

from hypha_cluster.features.launcher.scaling import is_kept_up
from hypha_cluster.features.launcher.starting import Start, wanted_of
from hypha_cluster.identity.access import Identity
from hypha_cluster.registry.apps import App, Apps
from hypha_cluster.registry.instance import Instance
from hypha_cluster.registry.instances import Instances
from hypha_cluster.registry.kept_apps import Keep, KeptApps


class Keeper:
    """Keeps such apps up from when they are installed or started, until somebody stops them."""

    def __init__(self, kept: KeptApps, apps: Apps, instances: Instances) -> None:
        self._kept = kept
        self._apps = apps
        self._instances = instances

    async def keep(self, app: App, launcher: Identity, when: Keep = Keep.ALWAYS) -> None:
        """Keep an app up from now on, if it is such a one; else no longer."""
        if is_kept_up(app.manifest):
            await self._kept.keep(wanted_of(app, launcher, Start(), client=""), when)
        else:
            await self._kept.release(app.id)

    async def release(self, stopped: App | Instance) -> None:
        """Keep an app up no longer, one of whose instances is to be stopped."""
        await self._kept.release(stopped.id if isinstance(stopped, App) else stopped.app_id)

    async def see_to(self) -> None:
        """Start what is missing; an app that is not there is kept up no longer.

        Somebody may have started it while somebody else uninstalled it.
        """
        for address in await self._kept.see_to():
            instance = await self._instances.find(address)
            if instance and await self._apps.find(instance.workspace, instance.app) is None:
                await self._kept.release(instance.app_id)
                await self._instances.forget(address)
