"""Starts instances of apps, and waits until they are ready; each start leads to one instance."""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from hypha_cluster.errors import (
    BadRequest,
    CallTimeout,
    HubError,
    NotFound,
    Overloaded,
    PermissionDenied,
    RedisUnavailable,
)
from hypha_cluster.features.launcher.manifest import offers
from hypha_cluster.features.launcher.probes import LIVENESS, Probe, Probes
from hypha_cluster.features.launcher.scaling import scale_of
from hypha_cluster.features.launcher.shares import Shares
from hypha_cluster.hub.selection import MODES, Load, check_mode, choose
from hypha_cluster.hub.services import DEFAULT
from hypha_cluster.identity.access import Identity, Origin
from hypha_cluster.identity.names import check_client_id
from hypha_cluster.identity.tokens import APP, PAGE, generated_id
from hypha_cluster.metrics import Counts
from hypha_cluster.protocol.guard import shown
from hypha_cluster.protocol.limits import APP_START_TIME, APP_STARTS
from hypha_cluster.registry.apps import App, Apps
from hypha_cluster.registry.instance import ACTIVE, Instance, ProbeTimes, State, Wanted
from hypha_cluster.registry.instance_logs import InstanceLogs
from hypha_cluster.registry.instance_pages import InstancePages
from hypha_cluster.registry.instances import Instances
from hypha_cluster.registry.services import Provider
from hypha_cluster.registry.workspaces import Workspaces

PATIENCE: Final = 60.0  # seconds that a start may take, by default
_LOOKS: Final = (
    0.05,
    0.1,
    0.2,
    0.3,
)  # seconds between two looks at an instance; the last one stays
_CLOSING: Final = 10.0  # seconds that closing a page may take


class Start(NamedTuple):
    """How an app is to be started.

    shared: whether an instance that is there will do. mode: how one of several is chosen.
    """

    client: str | None = None
    timeout: float = PATIENCE  # seconds; 0 or less: as long as it takes
    wait_for: str = DEFAULT
    shared: bool = False
    mode: str = MODES[0]


class Known(NamedTuple):
    """What Redis knows of apps, of their instances, and of these instances' pages and logs."""

    apps: Apps
    instances: Instances
    pages: InstancePages
    logs: InstanceLogs


class Insight(NamedTuple):
    """What a gateway knows of how busy clients are, and where it counts starts."""

    load: Load
    counts: Counts


class Starter:
    """Asks for instances, and hears what comes of it."""

    def __init__(
        self,
        known: Known,
        workspaces: Workspaces,
        probes: Probes,
        insight: Insight,
    ) -> None:
        self._probes = probes
        self._load, self._counts = insight
        self._apps, self._instances, self._pages, self._logs = known
        self._workspaces = workspaces
        self._waiting = Shares()

    async def start(self, app: App, launcher: Identity, how: Start) -> Instance:
        """Return an instance that is ready; HubError with the reason if it does not get ready."""
        client = generated_id() if how.client is None else how.client
        check_client_id(client)
        if not launcher.is_child and not launcher.is_anonymous:
            await self._workspaces.know(launcher)  # else the page, as its child, could not come in
        wanted = wanted_of(app, launcher, how, client)
        choose = partial(self._choose, how.mode)
        with self._room(launcher.family):
            began = time.monotonic()
            address, is_new = await self._pages.ask(wanted, shared=how.shared, choose=choose)
            with self._counted(began) if is_new else contextlib.nullcontext():
                return await self._until_ready(app, address, how, is_new=is_new)

    @contextlib.contextmanager
    def _counted(self, began: float) -> Iterator[None]:
        """Count a start, and how it ends."""
        outcome = "failed"
        try:
            yield
            outcome = "running"
            self._counts.app_start_times.observe(time.monotonic() - began)
        finally:
            self._counts.app_starts[outcome] += 1

    async def _until_ready(self, app: App, address: str, how: Start, *, is_new: bool) -> Instance:
        try:
            async with asyncio.timeout(how.timeout if how.timeout > 0 else APP_START_TIME):
                instance = await self._ready(address)
                await self._probes.until_ready(app, address)
                return instance
        except TimeoutError:
            reason = await self._why_late(address)
            if is_new:
                await self._instances.end(address, because=reason)
            raise CallTimeout(f"Failed to start app: {reason}") from None

    def _choose(self, mode: str, addresses: Sequence[str]) -> str:
        providers = [Provider(each, DEFAULT, {}, online=True) for each in addresses]
        found = choose(providers, mode, self._load)
        return found.address if found else addresses[0]

    @contextlib.contextmanager
    def _room(self, user: str) -> Iterator[None]:
        if not self._waiting.has_room(user, APP_STARTS):
            raise Overloaded(
                "Too many starts of apps are waited for, here or by you; try again in a moment."
            )
        with self._waiting.taken(user):
            yield

    async def _ready(self, address: str) -> Instance:
        looks = iter(_LOOKS)
        while True:
            try:
                instance = await self._instances.find(address)
            except RedisUnavailable:  # the app starts all the same, so go on waiting
                await asyncio.sleep(_LOOKS[-1])
                continue
            if instance is not None and instance.state is State.RUNNING:
                return instance
            if instance is None or instance.state not in ACTIVE:
                why = instance.reason if instance else ""
                raise HubError(f"Failed to start app: {why or 'it was stopped.'}")
            await asyncio.sleep(next(looks, _LOOKS[-1]))

    async def _why_late(self, address: str) -> str:
        instance = await self._instances.find(address)
        if instance is not None and instance.state is State.PENDING:
            if not await self._instances.runners():
                return "Timeout: there is no runner; start one with `hypha-cluster runner`."
            return "Timeout: all runners are busy."
        if instance is not None and instance.state is State.RUNNING:
            return "Timeout: its readiness probe does not say yes."
        if error := await self._logs.last(address, "error"):
            return f"Timeout; the last error in its log is: {error}"
        return "Timeout: the page has not exported its api."

    async def stop(self, address: str) -> bool:
        """Stop an instance, and wait until its page is closed; False when there is none."""
        ended = await self._instances.end(address)
        if ended.state is None or (not ended.is_done and ended.state is not State.STOPPING):
            return False
        await self.until_closed(address)
        return True

    async def until_closed(self, address: str) -> None:
        """Wait until the page of an ending instance is closed; until then, lookups may find it."""
        looks, end = iter(_LOOKS), time.monotonic() + _CLOSING
        while time.monotonic() < end:
            instance = await self._instances.find(address)
            if instance is None or instance.state is not State.STOPPING:
                return
            await asyncio.sleep(next(looks, _LOOKS[-1]))

    async def launch(
        self, workspace: str, query: dict[str, Any], launcher: Identity
    ) -> tuple[str, str]:
        """The address and the service of a query with `launch`; the app is started if need be."""
        name, service = query.get("client_name"), query.get("id", query.get("service_id"))
        service_id = str(service or DEFAULT).rpartition(":")[2]
        app = await self._meant(workspace, name, service_id)
        start = Start(
            wait_for=service_id, shared=True, mode=check_mode(query.get("mode", MODES[0]))
        )
        if not await self._runs(app) and launcher.is_anonymous and not launcher.is_child:
            raise PermissionDenied("User must be authenticated")
        return (await self.start(app, launcher, start)).address, service_id

    async def _runs(self, app: App) -> bool:
        instances = await self._instances.of_workspace(app.workspace)
        return any(each.app == app.key and each.state in ACTIVE for each in instances)

    async def _meant(self, workspace: str, name: object, service: str) -> App:
        apps = await self._apps.of_workspace(workspace)
        if name is not None:
            found = [app for app in apps if app.name == name]
        else:
            found = [app for app in apps if offers(app.manifest, service)]
        if not found:
            what = f"called {shown(name)}" if name is not None else f"that offers {shown(service)}"
            raise NotFound(f"Application not found: no app {what} is installed in {workspace}.")
        return max(found, key=lambda app: (app.version, app.key))


def wanted_of(app: App, launcher: Identity, how: Start, client: str) -> Wanted:
    """What is asked for where an app is started."""
    return Wanted(
        app.workspace,
        client,
        app.key,
        app.name,
        page_user(launcher, app.workspace),
        how.wait_for,
        how.timeout,
        _probed(app),
        scale_of(app.manifest),
        app.version,
    )


def page_user(launcher: Identity, workspace: str) -> Identity:
    """The user of an app's page: a child of its launcher, in one workspace, without a role.

    It counts as made with the launcher's token, and ends when that is revoked. If the launcher is a
    child itself, the page cannot come in after the child's token has expired. A user who starts an
    app on a page of the hub may log out: the app goes on until all tokens of the user are ended.
    """
    origin = launcher.origin
    is_on_page = origin is not None and origin.token.startswith(PAGE) and not launcher.is_child
    makers = (*origin.makers, origin.token) if origin and not is_on_page else ()
    return Identity(
        id=generated_id(),
        parent=launcher.parent if launcher.is_child else launcher.id,
        scopes=(workspace,),
        expires_at=launcher.expires_at if launcher.is_child else None,
        origin=Origin(APP + generated_id(), time.time(), makers),
    )


def _probed(app: App) -> ProbeTimes | None:
    probe = Probe.of(app.probes, LIVENESS)
    return ProbeTimes(probe.period, probe.delay, probe.patience) if probe else None


def timeout_of(value: object) -> float:
    """The argument `timeout`, in seconds; BadRequest."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise BadRequest(f"'timeout' is a number of seconds, not {shown(value)}.")
    return min(float(value), APP_START_TIME)


def service_of(value: object) -> str:
    """The argument `wait_for_service`: the id of a service, by default the default one."""
    if value in (None, True, False):
        return DEFAULT
    if not isinstance(value, str):
        raise BadRequest(f"'wait_for_service' is the id of a service, not {shown(value)}.")
    return value.rpartition(":")[2]
