"""Finds services, and has their providers say what they offer: for RPC, HTTP and the features.

What the hub itself offers is found in the same way as what clients offer.
"""

import asyncio
import contextlib
from collections.abc import Container, Sequence
from typing import Any, Final, NamedTuple

import cachetools

from hypha_cluster.errors import ClientAway, ClientLeft, NotFound, ServiceNotFound
from hypha_cluster.hub.calling import HubCalls
from hypha_cluster.hub.selection import Load, Selection
from hypha_cluster.hub.services import HubServices, is_hub
from hypha_cluster.identity.access import PUBLIC
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.address import ServiceQuery, client_of, workspace_of
from hypha_cluster.protocol.envelope import pack
from hypha_cluster.protocol.limits import KNOWN_SERVICES
from hypha_cluster.registry.public import PublicListing, is_public
from hypha_cluster.registry.regained import Find, at_once
from hypha_cluster.registry.services import Provider, RecentServices, Services

Description = dict[str, Any]

LOOKING: Final = (
    2.0  # seconds between two looks, for whoever waits for a service: an event may be lost
)


class _Fetched(NamedTuple):
    """What a provider has said; stamp: of which registration; size: bytes as msgpack."""

    stamp: str | None
    service: Description
    size: int


class Registered(NamedTuple):
    """What clients have registered; lately: the same, as it was a moment ago.

    find_lost: finds it, too, when Redis has just lost it.
    """

    services: Services
    lately: RecentServices
    find_lost: Find = at_once


class Directory:
    """The services of all workspaces, as somebody may see them.

    load: how many calls from this node wait for a client.
    """

    def __init__(
        self,
        registered: Registered,
        public: PublicListing,
        own: HubServices,
        calls: HubCalls,
        load: Load,
    ) -> None:
        self._services, lately, find_lost = registered
        self._public = public
        self._own = own
        self._calls = calls
        self._now = Selection(self._services, own, load, find_lost)
        self._lately = Selection(lately, own, load, find_lost)
        self._watching = lately.watching
        # By address and service id.
        self._fetched: cachetools.LRUCache[tuple[str, str], _Fetched]
        self._fetched = cachetools.LRUCache(KNOWN_SERVICES, getsizeof=lambda kept: kept.size)

    # Which provider.

    async def find(
        self, wanted: ServiceQuery, home: str, *, inside: bool, mode: str = "random"
    ) -> Provider | None:
        """The provider that is wanted; None when nobody offers a service of that name.

        home: the workspace that a bare name is looked up in first. inside: whether the caller may
        use what is protected in the workspace asked for.
        """
        return await self._now.find(wanted, home, inside=inside, mode=mode)

    async def find_lately(
        self,
        wanted: ServiceQuery,
        home: str,
        *,
        inside: bool,
        mode: str = "random",
        without: Container[str] = (),
    ) -> Provider | None:
        """The same, as it was a moment ago: at most as old as what a ReadCache keeps.

        without: addresses of clients that are known to have left.
        """
        return await self._lately.find(wanted, home, inside=inside, mode=mode, without=without)

    async def wait_for(
        self, wanted: ServiceQuery, home: str, *, inside: bool, seconds: float
    ) -> Provider | None:
        """The same, but wait until somebody who is connected offers it; None if nobody does."""
        with self._watching(wanted.workspace or home) as change:
            try:
                async with asyncio.timeout(seconds):
                    while not (provider := await self._there(wanted, home, inside=inside)):
                        await _first(change, LOOKING)
                    return provider
            except TimeoutError:
                return None

    async def _there(self, wanted: ServiceQuery, home: str, *, inside: bool) -> Provider | None:
        try:
            provider = await self._now.find(wanted, home, inside=inside)
        except NotFound:
            return None
        return provider if provider is not None and provider.online else None

    async def get(
        self, wanted: ServiceQuery, home: str, *, inside: bool, mode: str, base_url: str
    ) -> Description | None:
        """A service as its provider describes it, None when nobody offers one of that name.

        A provider that leaves while it is asked does not count, unless it is wanted by its id.
        ClientAway when only suspended providers are left, and none comes back in time.
        """
        gone: set[str] = set()
        away: ClientAway | None = None
        while provider := await self._now.find(
            wanted, home, inside=inside, mode=mode, without=gone
        ):
            try:
                return await self.fetch(provider, base_url)
            except (ClientLeft, NotFound) as error:
                if wanted.client is not None:
                    raise
                gone.add(provider.address)
                away = error if isinstance(error, ClientAway) else away
        if away is not None:
            raise away
        return None

    async def launched(self, context: Any, query: dict[str, Any], base_url: str) -> Description:
        """The service of an app that a query names; the app is started unless it is up.

        context: the Context of the caller, which the launcher gets.
        """
        address, service = await self._own.launcher()(context, query)
        wanted = ServiceQuery(workspace_of(address), client_of(address), service)
        provider = await self._now.find(wanted, "", inside=True)
        if provider is None:
            raise ServiceNotFound(f"Service not found: {address}:{service}")
        return await self.fetch(provider, base_url)

    # What there is.

    async def applications(self, context: Any, workspace: str) -> dict[str, Any]:
        """The manifests of what is installed in a workspace, by their ids; context: a Context."""
        return await self._own.applications(context, workspace)

    async def visible(self, workspace: str, *, inside: bool) -> list[dict[str, Any]]:
        """Infos of all services of a workspace, or only of its public ones."""
        infos = [*self._own.listed(workspace), *await self._services.of_workspace(workspace)]
        return [_listed(info) for info in infos if inside or is_public(info)]

    async def public(self) -> list[dict[str, Any]]:
        """Infos of all public services, whichever their workspace."""
        infos = [*self._own.listed(PUBLIC), *await self._public.all()]
        return [_listed(info, docs=False) for info in infos if is_public(info)]

    # What a provider says.

    async def fetch(self, provider: Provider, base_url: str = "") -> Description:
        """The service dict of a provider, fit to be passed on to anybody who may use it.

        base_url: the URL by which the caller reaches the hub; the hub's own services mention it.
        """
        workspace, service_id = workspace_of(provider.address), provider.service
        if is_hub(provider.address):
            service = self._own.get(workspace, service_id).describe(workspace, base_url)
            return {**service, "id": f"{provider.address}:{service_id}"}
        service = await self._calls.call(
            provider.address, "services.built-in.get_service", [service_id]
        )
        if not isinstance(service, dict):
            raise ServiceNotFound(f"Service not found: {provider.address}:{service_id}")
        relayed: Description = rpc.relayed(service, workspace)
        relayed["id"] = f"{provider.address}:{service_id}"
        config = relayed.get("config")
        relayed["config"] = {**(config if isinstance(config, dict) else {}), "workspace": workspace}
        return relayed

    async def fetch_cached(
        self, provider: Provider, base_url: str = "", *, afresh: bool = False
    ) -> Description:
        """The same, as it was fetched last. afresh: fetch it now. The caller must not change it."""
        if is_hub(provider.address):
            return await self.fetch(provider, base_url)
        key, stamp = (provider.address, provider.service), provider.info.get("stamp")
        cached = self._fetched.get(key)
        if cached is not None and cached.stamp == stamp and not afresh:
            return cached.service
        service = await self.fetch(provider)
        fetched = _Fetched(stamp, service, len(pack(service)))
        if fetched.size <= self._fetched.maxsize:
            self._fetched[key] = fetched
        return service


async def _first(change: asyncio.Event, seconds: float) -> None:
    """Wait for a change, but not longer than some seconds."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(change.wait(), seconds)
    change.clear()


def walk(service: Description, path: Sequence[str]) -> Any:
    """What stands at a path of a service; KeyError."""
    value: Any = service
    for key in path:
        if not isinstance(value, dict) or rpc.is_reference(value):
            raise KeyError(key)
        value = value[key]
    return value


def _listed(info: dict[str, Any], *, docs: bool = True) -> dict[str, Any]:
    """Info as a listing shows it (protocol.md 6.1)."""
    keys = ("id", "name", "type", "description", *(("docs",) if docs else ()))
    config = info["config"]
    return {
        **{key: info[key] for key in keys},
        "config": {
            "visibility": config["visibility"],
            "require_context": config.get("require_context", False),
            "workspace": config["workspace"],
            "flags": config.get("flags", []),
        },
    }
