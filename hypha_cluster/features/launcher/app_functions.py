"""Functions of `server-apps` for what is installed: install, edit, versions, uninstall."""

import asyncio
from typing import Any

from hypha_cluster.errors import BadRequest
from hypha_cluster.features.launcher.arguments import app_of, asked_workspace, check_named
from hypha_cluster.features.launcher.identifiers import check_key
from hypha_cluster.features.launcher.installing import Installer, Place, Recipe
from hypha_cluster.features.launcher.keeping import Keeper
from hypha_cluster.features.launcher.manifest import listed, with_urls
from hypha_cluster.features.launcher.plugins import check_source, parse_plugin
from hypha_cluster.features.launcher.starting import Starter
from hypha_cluster.hub.context import Context
from hypha_cluster.protocol.guard import shown
from hypha_cluster.registry.apps import Apps
from hypha_cluster.registry.instances import Instances
from hypha_cluster.registry.kept_apps import Keep


class AppFunctions:
    """Installs, changes and removes apps; those that are kept up are started, too."""

    def __init__(
        self,
        apps: Apps,
        instances: Instances,
        installer: Installer,
        starter: Starter,
        keeper: Keeper,
    ) -> None:
        self._apps = apps
        self._instances = instances
        self._installer = installer
        self._starter = starter
        self._keeper = keeper

    async def install(  # noqa: PLR0913  # its arguments are the original's
        self,
        context: Context,
        source: Any = None,
        source_hash: Any = None,
        config: Any = None,
        template: Any = None,
        attachments: Any = None,
        workspace: Any = None,
        app_id: Any = None,
        overwrite: Any = False,
    ) -> dict[str, Any]:
        """Install an app, and answer its manifest; `app_id` is a readable id of your own.

        With `overwrite` it may be that of an app, of which this becomes the newest version.
        """
        check_named(context)
        key = "" if app_id is None else check_key(app_id)
        place = Place(await asked_workspace(context, workspace), context.identity.id, key)
        recipe = Recipe(source, config, template, attachments)
        async with self._installer.turn(context.identity.family):
            app = await self._installer.install(
                place, recipe, source_hash=source_hash, overwrite=bool(overwrite)
            )
        await self._keeper.keep(app, context.identity)
        return with_urls(app, context.base_url)

    async def edit(  # as those of install
        self,
        context: Context,
        app_id: Any,
        source: Any = None,
        config: Any = None,
        template: Any = None,
        attachments: Any = None,
    ) -> dict[str, Any]:
        """Change what an app is made of; its id stays. What runs goes on until it is started."""
        app = await app_of(context, app_id, self._apps)
        changes = {
            "source": source,
            "config": config,
            "template": template,
            "attachments": attachments,
        }
        async with self._installer.turn(context.identity.family):
            edited = await self._installer.edit(app, context.identity.id, changes)
        await self._keeper.keep(edited, context.identity, Keep.KEPT)
        return with_urls(edited, context.base_url)

    async def list_versions(self, context: Context, app_id: Any) -> list[dict[str, Any]]:
        """The versions of an app that are kept, the newest first: `version`, `made_at`, ….

        `made_at` is Unix time. The first is what runs from the next start on.
        """
        versions = await self._apps.versions(await app_of(context, app_id, self._apps))
        return [
            {
                "version": each.app.version,
                "made_at": each.made_at,
                "owner": each.app.owner,
                "name": each.app.name,
                "files": sorted(each.app.files),
                "bytes": each.app.size,
            }
            for each in versions
        ]

    async def rollback(self, context: Context, app_id: Any, version: Any = None) -> dict[str, Any]:
        """Make an app what it was in an earlier version, by default the one before; as `edit`."""
        app = await app_of(context, app_id, self._apps)
        number = app.version - 1 if version is None else version
        if isinstance(number, bool) or not isinstance(number, int):
            raise BadRequest(f"'version' of an app is a number, not {shown(version)}.")
        old = await self._apps.version(app, number)
        restored = await self._apps.restore(old, context.identity.id)
        await self._keeper.keep(restored, context.identity, Keep.KEPT)
        return with_urls(restored, context.base_url)

    async def uninstall(self, context: Context, app_id: Any) -> None:
        """Stop an app, and remove it with all its files."""
        app = await app_of(context, app_id, self._apps)
        await self._keeper.release(app)
        instances = await self._instances.of_workspace(app.workspace)
        mine = [each.address for each in instances if each.app == app.key]
        for address in mine:
            await self._instances.forget(address)
        for address in mine:
            await self._starter.until_closed(address)
        await self._apps.uninstall(app.workspace, app.key)

    async def get_source(self, context: Context, app_id: Any) -> dict[str, Any]:
        """What an app is made of, as `edit` takes it: `{source, config, template}`."""
        return await self._apps.recipe(await app_of(context, app_id, self._apps))

    async def list_apps(self, context: Context, workspace: Any = None) -> list[dict[str, Any]]:
        """The manifests of all apps of a workspace that the caller may enter."""
        place = await asked_workspace(context, workspace)
        apps = await self._apps.of_workspace(place)
        return [listed(app, context.base_url) for app in apps]

    async def applications(self, context: Context, workspace: str) -> dict[str, Any]:
        """The manifests of a workspace by their ids, as `get_workspace_info` answers them."""
        apps = await self._apps.of_workspace(workspace)
        return {app.id: listed(app, context.base_url) for app in apps}

    async def parse(self, context: Context, source: Any) -> dict[str, Any]:
        """What an ImJoy plugin file says of its plugin; nothing is installed."""
        check_named(context)
        return await asyncio.to_thread(parse_plugin, check_source(source))
