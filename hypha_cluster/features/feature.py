"""What a feature is, and which there are: those of this package, and extensions.

An extension is a class that a distribution names in the entry point group
`hypha_cluster.features`; what is built in comes by the same door.
"""

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Final

from starlette.routing import BaseRoute

from hypha_cluster.errors import StartupError
from hypha_cluster.hub.calling import HubCalls
from hypha_cluster.hub.directory import Directory
from hypha_cluster.hub.services import HubService
from hypha_cluster.hub.visiting import Visits
from hypha_cluster.identity.access import PUBLIC
from hypha_cluster.identity.tokens import Tokens
from hypha_cluster.links.client import RedisClient
from hypha_cluster.links.servers import Servers
from hypha_cluster.metrics import Counts
from hypha_cluster.registry.instance_pages import InstancePages
from hypha_cluster.registry.instances import Instances
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.revocations import Revocations
from hypha_cluster.registry.workspaces import Workspaces
from hypha_cluster.relay.activity import Activity
from hypha_cluster.supervision import Supervisor, Tasks
from hypha_cluster.web.bodies import Room
from hypha_cluster.web.lookup import Gatekeeper, Lookup

GROUP: Final = "hypha_cluster.features"


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a feature may build on: the parts of the node that it runs in.

    base_path: the path under which everything is served too; empty, or begins with a slash.
    public_base_url: the address by which users reach the hub; empty if each request tells it.
    base_url: the address that the operator is told to open. issuer: that of access tokens which are
    accepted beside the hub's own; empty: none. claims: how the names of the hub's claims begin.
    inner_url: where this gateway answers on this machine before its port is open, for features that
    `needs_inner`; empty if there are none. max_message_size: bytes of a request body that is taken
    whole. room: for all large bodies together.
    """

    node: str
    base_path: str
    public_base_url: str
    base_url: str
    inner_url: str
    issuer: str
    claims: str
    max_message_size: int
    calls: HubCalls
    activity: Activity
    gatekeeper: Gatekeeper
    room: Room
    tokens: Tokens
    workspaces: Workspaces
    revocations: Revocations
    servers: Servers
    redis: RedisClient
    keys: Keys
    instances: Instances
    instance_pages: InstancePages
    supervisor: Supervisor
    counts: Counts


@dataclass(frozen=True, slots=True)
class Lookups:
    """Where routes of a feature find services: of clients, of the hub, and of all features."""

    directory: Directory
    visits: Visits
    lookup: Lookup


@dataclass(frozen=True, slots=True)
class NoSettings:
    """The settings of a feature that has none."""


class Feature:
    """Something that the hub does besides passing frames on; a subclass says what.

    name: of its job in logs and metrics. Settings: a frozen dataclass of `setting(…)` fields, from
    which flags, environment variables and rows in the docs are made. title: their heading in help
    and docs.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    Settings: ClassVar[type[Any]] = NoSettings

    def __init__(self, settings: Any, grounds: Grounds) -> None:
        """Make what the methods below return; nothing runs before the node is up."""

    def routes(self, lookups: Lookups) -> Sequence[BaseRoute]:
        """Ways in over HTTP and WebSocket, behind those of the hub itself."""
        return ()

    def first_routes(self) -> Sequence[BaseRoute]:
        """Ways in before those of the hub itself, for names that an operator has chosen."""
        return ()

    def services(self) -> Sequence[HubService]:
        """Services of the hub's own that clients and HTTP find.

        They are asked for once, before there are lookups: a function finds other services by its
        Context.
        """
        return ()

    @classmethod
    def needs_inner(cls, settings: Any) -> bool:
        """Whether programs of this feature have to reach the gateway before its port is open."""
        return False

    async def prepare(self) -> None:
        """Do what has to be done before the port opens; StartupError ends the start."""

    async def opened(self) -> None:
        """Do once, when the port is open, what is to be done then: tell the operator, say."""

    async def run(self) -> None:
        """A job for as long as the node is up; it starts again when it fails."""

    async def drain(self) -> None:
        """Leave to other nodes what this one does for all, before its clients are drained."""


def extensions(points: Iterable[EntryPoint] | None = None) -> list[type[Feature]]:
    """The features of other distributions that are installed; StartupError names a broken one."""
    found = entry_points(group=GROUP) if points is None else points
    return [_load(point) for point in sorted(found, key=lambda point: point.name)]


def _load(point: EntryPoint) -> type[Feature]:
    where = f"the extension {point.name} ({point.value})"
    try:
        feature = point.load()
    except (ImportError, AttributeError) as error:
        raise StartupError(f"{where} cannot be loaded: {error}") from None
    if not (isinstance(feature, type) and issubclass(feature, Feature)):
        raise StartupError(f"{where} is no subclass of hypha_cluster.features.feature.Feature")
    made = getattr(feature.Settings, "__dataclass_params__", None)
    if made is None or not made.frozen:
        raise StartupError(f"{where}: its Settings are no frozen dataclass")
    return feature


def _first_name(route: BaseRoute) -> str:
    """The first name of its path; a name in braces stands for any."""
    return str(getattr(route, "path", "")).strip("/").partition("/")[0]


class Features:
    """The features that one node has switched on."""

    def __init__(self, features: Iterable[Feature], supervisor: Supervisor) -> None:
        self._features = list(features)
        self._jobs = Tasks(supervisor)

    def routes(self, lookups: Lookups) -> list[BaseRoute]:
        return [route for feature in self._features for route in feature.routes(lookups)]

    def first_routes(self, behind: Iterable[BaseRoute]) -> list[BaseRoute]:
        """Those that come before the hub's own, `behind`; StartupError when they would hide one."""
        first = [route for feature in self._features for route in feature.first_routes()]
        taken = {PUBLIC, *map(_first_name, behind)}
        for route in first:
            if (name := _first_name(route)) in taken:
                raise StartupError(f"/{name} is the hub's own; choose another path")
        return first

    def services(self) -> list[HubService]:
        return [service for feature in self._features for service in feature.services()]

    async def prepare(self) -> None:
        """Prepare each feature before the port opens, one after the other."""
        for feature in self._features:
            await feature.prepare()

    def opened(self) -> None:
        """Tell each feature that the port is open; nobody waits for what it does then."""
        for feature in self._features:
            self._jobs.spawn("opened", feature.opened(), detail=feature.name)

    async def drain(self) -> None:
        for feature in self._features:
            await feature.drain()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the jobs of all features meanwhile."""
        for feature in self._features:
            self._jobs.keep(feature.name, feature.run)
        try:
            yield
        finally:
            await self._jobs.stop()
