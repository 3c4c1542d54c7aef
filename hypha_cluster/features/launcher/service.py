"""The hub's service `server-apps`: what clients call to install apps and to run them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any, Final, NamedTuple

from hypha_cluster.errors import BadRequest, Conflict, NotFound, PermissionDenied
from hypha_cluster.features.launcher.following import Following, written
from hypha_cluster.features.launcher.identifiers import check_key, split_app_id
from hypha_cluster.features.launcher.installing import Installer, Place, Recipe
from hypha_cluster.features.launcher.keeping import Keeper
from hypha_cluster.features.launcher.manifest import listed, url_of, with_urls
from hypha_cluster.features.launcher.plugins import check_source, parse_plugin
from hypha_cluster.features.launcher.scaling import is_kept_up
from hypha_cluster.features.launcher.starting import Start, Starter, service_of, timeout_of
from hypha_cluster.hub.context import Context
from hypha_cluster.hub.services import HubService
from hypha_cluster.identity.access import own_workspace
from hypha_cluster.identity.names import check_client_id
from hypha_cluster.protocol.guard import shown
from hypha_cluster.protocol.limits import APP_LOG
from hypha_cluster.registry.apps import App, Apps
from hypha_cluster.registry.instance_logs import KINDS, Cursor, InstanceLogs
from hypha_cluster.registry.instances import OVER, Instance, Instances, State

SERVICE = "server-apps"
_LONGEST_WAIT: Final = 25.0  # seconds, so that nobody on the way gives up before


class Logbooks(NamedTuple):
    """What instances have logged, and those who follow it."""

    kept: InstanceLogs
    following: Following


class ServerApps:
    """Functions and arguments are those of the original; what it lacks comes behind them."""

    def __init__(
        self,
        apps: Apps,
        instances: Instances,
        logs: Logbooks,
        installer: Installer,
        starter: Starter,
        keeper: Keeper,
    ) -> None:
        self._keeper = keeper
        self._apps = apps
        self._instances = instances
        self._logs, self._following = logs
        self._installer = installer
        self._starter = starter

    def service(self) -> HubService:
        return HubService(
            id=SERVICE,
            name="Server Apps",
            description="Installs apps, and runs them in browsers on the server.",
            type=SERVICE,
            functions={
                "install": self.install,
                "uninstall": self.uninstall,
                "launch": self.launch,
                "start": self.start,
                "stop": self.stop,
                "list_apps": self.list_apps,
                "list_running": self.list_running,
                "get_log": self.get_log,
                "edit": self.edit,
                "list_versions": self.list_versions,
                "rollback": self.rollback,
                "stop_all": self.stop_all,
                "logs": self.logs,
                "history": self.history,
                "follow": self.follow,
                "get_source": self.get_source,
                "parse": self.parse,
            },
            config={"require_context": True},
            launch=self.launch_for_query,
        )

    # Apps.

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
        _check_named(context)
        key = "" if app_id is None else check_key(app_id)
        place = Place(await _workspace_of(context, workspace), context.identity.id, key)
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
        app = await self._app(context, app_id)
        changes = {
            "source": source,
            "config": config,
            "template": template,
            "attachments": attachments,
        }
        async with self._installer.turn(context.identity.family):
            edited = await self._installer.edit(app, context.identity.id, changes)
        await self._keeper.keep(edited, context.identity)
        return with_urls(edited, context.base_url)

    async def list_versions(self, context: Context, app_id: Any) -> list[dict[str, Any]]:
        """The versions of an app that are kept, the newest first: `version`, `made_at`, ….

        `made_at` is Unix time. The first is what runs from the next start on.
        """
        versions = await self._apps.versions(await self._app(context, app_id))
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
        app = await self._app(context, app_id)
        number = app.version - 1 if version is None else version
        if isinstance(number, bool) or not isinstance(number, int):
            raise BadRequest(f"'version' of an app is a number, not {shown(version)}.")
        old = await self._apps.version(app, number)
        restored = await self._apps.restore(old, context.identity.id)
        await self._keeper.keep(restored, context.identity)
        return with_urls(restored, context.base_url)

    async def uninstall(self, context: Context, app_id: Any) -> None:
        """Stop an app, and remove it with all its files."""
        app = await self._app(context, app_id)
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
        return await self._apps.recipe(await self._app(context, app_id))

    async def list_apps(self, context: Context, workspace: Any = None) -> list[dict[str, Any]]:
        """The manifests of all apps of a workspace that the caller may enter."""
        place = await _workspace_of(context, workspace)
        apps = await self._apps.of_workspace(place)
        return [listed(app, context.base_url) for app in apps]

    async def parse(self, context: Context, source: Any) -> dict[str, Any]:
        """What an ImJoy plugin file says of its plugin; nothing is installed."""
        _check_named(context)
        return await asyncio.to_thread(parse_plugin, check_source(source))

    # Instances.

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
        manifest = await self.install(context, source, None, config, None, attachments)
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
            _check_client(client_id)
        app = await self._app(context, app_id)
        shared = client_id is None and is_kept_up(app.manifest)  # it is there, or will be at once
        how = Start(client_id, timeout_of(timeout), service_of(wait_for_service), shared)
        await self._keeper.keep(app, context.identity)
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
        _check_named(context)
        place = await _workspace_of(context, workspace)
        address = f"{place}/{_check_client(client_id)}"
        if instance := await self._instances.find(address):
            await self._keeper.release(instance)
        if not await self._starter.stop(address) and raise_exception:
            raise NotFound(f"Server app instance not found: {client_id}")

    async def stop_all(self, context: Context, workspace: Any = None) -> int:
        """Stop all instances of a workspace; return how many there were."""
        _check_named(context)
        place = await _workspace_of(context, workspace)
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
        _check_named(context)
        place = await _workspace_of(context, workspace)
        found = await self._instances.of_workspace(place)
        return [_described(each, context.base_url) for each in found if over or _is_up(each)]

    async def get_log(
        self,
        context: Context,
        client_id: Any,
        type: Any = None,
        offset: Any = 0,
        limit: Any = None,
        workspace: Any = None,
    ) -> Any:
        """What a page has logged: of one type a list of texts, else a dict of all types."""
        address = await self._logged(context, client_id, workspace)
        start, many = _natural("offset", offset), _natural("limit", limit, APP_LOG)
        if type is not None:
            entries = await self._logs.read(address, str(type), start, many)
            return [entry.text for entry in entries]
        found = await self._logs.all(address)
        return {kind: [entry.text for entry in entries] for kind, entries in found.items()}

    async def logs(  # noqa: PLR0913  # the last two are for who follows
        self,
        context: Context,
        client_id: Any,
        offset: Any = 0,
        limit: Any = None,
        workspace: Any = None,
        after: Any = None,
        wait: Any = 0,
    ) -> dict[str, Any]:
        """The same of all types by time: `{items, total, offset, limit}`, with times and types.

        To follow it, ask for what comes `after` a cursor, "" at first: `{items, cursor}`, as soon
        as there is some, and when `wait` seconds have passed in any case.
        """
        address = await self._logged(context, client_id, workspace)
        if after is not None:
            user = context.identity.family
            return await self._more(address, _cursor(after), user, _patience(wait))
        start, many = _natural("offset", offset), _natural("limit", limit, APP_LOG)
        found = await self._logs.all(address)
        entries = sorted(each for kind in KINDS for each in found.get(kind, ()))
        items = [
            {"time": entry.at, "type": entry.kind, "text": entry.text}
            for entry in entries[start : start + many]
        ]
        return {"items": items, "total": len(entries), "offset": start, "limit": many}

    async def history(
        self, context: Context, client_id: Any, workspace: Any = None
    ) -> list[dict[str, Any]]:
        """What has become of an instance, from its start on: `{time, from, to, epoch, …}`.

        `epoch` counts its pages, one after the other; `runner` opened the page.
        """
        address = await self._logged(context, client_id, workspace)
        return [
            {
                "time": step.at,
                "from": step.before,
                "to": step.after,
                "epoch": step.epoch,
                "runner": step.runner,
                "reason": step.reason,
            }
            for step in await self._instances.history(address)
        ]

    async def _more(
        self, address: str, cursor: Cursor, user: str, patience: float
    ) -> dict[str, Any]:
        found = await self._following.more(address, cursor, user, patience)
        end = found[-1][1] if found else cursor
        return {"items": [written(*each) for each in found], "cursor": str(end)}

    async def follow(
        self, context: Context, client_id: Any, after: Any = "", workspace: Any = None
    ) -> AsyncGenerator[dict[str, Any]]:
        """What an instance has logged, and logs until it is over, as a stream; over HTTP only.

        Items of the type `state` say what it is doing. Whoever is cut off comes back `after` the
        cursor of the last item that they have got, to any gateway.
        """
        if context.connection is not None:
            raise BadRequest("A stream is for HTTP; ask for logs(client_id, after=…, wait=…).")
        address = await self._logged(context, client_id, workspace)
        return self._following.follow(address, _cursor(after), context.identity.family)

    async def _logged(self, context: Context, client_id: Any, workspace: Any) -> str:
        _check_named(context)
        place = await _workspace_of(context, workspace)
        address = f"{place}/{_check_client(client_id)}"
        await self._instances.get(address)
        return address

    async def _app(self, context: Context, app_id: Any) -> App:
        """An app of the caller's workspace."""
        _check_named(context)
        workspace, key = split_app_id(app_id)
        if context.connection is None:
            await context.require(workspace)
        elif workspace != context.home:
            raise PermissionDenied("Workspace mismatch between app_id and workspace.")
        return await self._apps.get(workspace, key)

    # For `get_service` with `launch`.

    async def launch_for_query(self, context: Context, query: dict[str, Any]) -> tuple[str, str]:
        """The client and the service that a query means, whose app is started if it is not up."""
        workspace = query.get("workspace") or context.workspace
        if context.home != workspace:
            raise PermissionDenied(f"Permission denied for workspace {shown(workspace)}.")
        return await self._starter.launch(str(workspace), query, context.identity)


def _check_named(context: Context) -> None:
    if context.identity.is_anonymous:
        raise PermissionDenied("User must be authenticated")


async def _workspace_of(context: Context, given: Any) -> str:
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


def _check_client(client_id: Any) -> str:
    if not isinstance(client_id, str):
        raise BadRequest(f"'client_id' is text, not {shown(client_id)}.")
    check_client_id(client_id)
    return client_id


def _natural(name: str, value: Any, default: int = 0) -> int:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadRequest(f"{name!r} is a number of entries, not {shown(value)}.")
    return min(value, APP_LOG)


def _cursor(value: Any) -> Cursor:
    if not isinstance(value, str):
        raise BadRequest(f"'after' is the cursor of an entry, not {shown(value)}.")
    return Cursor.of(value)


def _patience(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise BadRequest(f"'wait' is a number of seconds, not {shown(value)}.")
    return min(float(value), _LONGEST_WAIT)


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
        "since": instance.changed,
    }
