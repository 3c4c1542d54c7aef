"""Which services a query matches, and which of several providers is used (protocol.md 6.2, 6.3)."""

import random
from collections.abc import Callable, Container, Sequence
from functools import partial
from typing import Any, Final

from hypha_cluster.errors import BadRequest, NotFound, PermissionDenied, ServiceNotFound
from hypha_cluster.hub.services import HubServices, is_hub
from hypha_cluster.identity.access import PUBLIC
from hypha_cluster.protocol.address import ServiceQuery, parse_service_id, workspace_of
from hypha_cluster.protocol.guard import shown
from hypha_cluster.registry.regained import Find, at_once
from hypha_cluster.registry.services import Finder, Provider

Load = Callable[[str], int]  # address → calls that wait for the client

MODES: Final = ("random", "first", "last", "least_busy")


def parse_query(query: object) -> ServiceQuery | None:
    """Read a query of get_service; None when it names no service."""
    fields = {"id": query} if isinstance(query, str) else query
    if not isinstance(fields, dict):
        raise BadRequest(f"A query is a service id or a dict with one, not {shown(query)}.")
    text = fields.get("id", fields.get("service_id"))
    if text is None or text == "*":
        return None
    if not isinstance(text, str) or not text:
        raise BadRequest(
            f"A service id is text such as 'name' or 'client:name', not {shown(text)}."
        )
    wanted = parse_service_id(text)
    if "*" in (wanted.client or "") + wanted.service:
        raise BadRequest(
            f"{shown(text)} has a wildcard inside a name; only '*:name' is understood."
        )
    workspace = fields.get("workspace")
    if wanted.workspace is None and workspace not in (None, "*"):
        wanted = wanted._replace(workspace=str(workspace))
    return wanted


def check_mode(mode: object) -> str:
    if not isinstance(mode, str) or mode not in MODES:
        raise BadRequest(f"A mode is one of {', '.join(MODES)}, not {shown(mode)}.")
    return mode


def choose(
    providers: Sequence[Provider], mode: str = "random", load: Load = lambda address: 0
) -> Provider | None:
    """One of several providers; suspended ones come last."""
    candidates = [provider for provider in providers if provider.online] or list(providers)
    if not candidates:
        return None
    if mode == "least_busy":
        least = min(load(provider.address) for provider in candidates)
        candidates = [provider for provider in candidates if load(provider.address) == least]
    if len(candidates) == 1:  # as mostly
        return candidates[0]
    if mode in ("random", "least_busy"):
        return random.choice(candidates)
    ordered = sorted(candidates, key=lambda provider: provider.address)
    return ordered[0 if mode == "first" else -1]


class Selection:
    """Finds a provider for a query, as somebody who may or may not enter its workspace.

    load: how many calls from this node wait for a client. find_lost: finds what Redis has lost.
    """

    def __init__(
        self, services: Finder, own: HubServices, load: Load, find_lost: Find = at_once
    ) -> None:
        self._services = services
        self._own = own
        self._load = load
        self._find_lost = find_lost

    async def find(
        self,
        wanted: ServiceQuery,
        home: str,
        *,
        inside: bool,
        mode: str = "random",
        without: Container[str] = (),
    ) -> Provider | None:
        """The provider that is wanted; None when nobody offers a service of that name.

        home: the workspace that a bare name is looked up in first. inside: whether the caller may
        use what is protected in the workspace asked for. without: addresses of clients that are
        known to have left.
        """
        check_mode(mode)
        try:
            if found := await self._look(wanted, home, inside, mode, without):
                return found
        except NotFound:
            pass  # unless it was lost, and is found below
        return await self._find_lost(partial(self._look, wanted, home, inside, mode, without))

    async def _look(
        self, wanted: ServiceQuery, home: str, inside: bool, mode: str, without: Container[str]
    ) -> Provider | None:
        workspace = wanted.workspace or home
        if wanted.client is not None:
            return await self._direct(f"{workspace}/{wanted.client}", wanted.service, inside)
        own = self._own.named(workspace, wanted.service)  # the hub alone offers its services
        providers = [own] if own else await self._services.providers(workspace, wanted.service)
        visible = [provider for provider in providers if inside or provider.is_public]
        if providers and not visible:
            raise denied(wanted.service)
        if not visible and wanted.workspace is None:
            own = self._own.named(PUBLIC, wanted.service)
            visible = [own] if own else await self._services.public_providers(wanted.service)
        there = [provider for provider in visible if provider.address not in without]
        return choose(there, mode, self._load)

    async def _direct(self, address: str, service: str, inside: bool) -> Provider:
        if is_hub(address):
            provider: Provider | None = self._own.provider(workspace_of(address), service)
        else:
            provider = await self._services.provider(address, service)
        if provider is None:
            raise ServiceNotFound(f"Service not found: {address}:{service}")
        if not (inside or provider.is_public):
            raise denied(service)
        return provider


def denied(service: str) -> PermissionDenied:
    return PermissionDenied(f"Permission denied for service: {service}")


def matches(info: dict[str, Any], query: dict[str, Any], home: str | None) -> bool:
    """Whether a service has what a query of list_services asks for.

    home: the workspace whose services may be named without it.
    """
    for key, value in query.items():
        if key == "id":
            relative = info["id"].partition("/")[2]
            if value != info["id"] and not (workspace_of(info["id"]) == home and value == relative):
                return False
        elif info.get(key) != value:
            return False
    return True


def searched(query: object, home: str) -> tuple[list[str], dict[str, Any]]:
    """The workspaces that a query of list_services covers, and what else it asks for."""
    if query is None:
        return [home], {}
    if isinstance(query, str):
        return _spread(query, home), {}
    if not isinstance(query, dict):
        raise BadRequest(
            f"A query is a workspace or a dict of what to look for, not {shown(query)}."
        )
    rest = {key: value for key, value in query.items() if key != "workspace"}
    workspace = query.get("workspace")
    return _spread(home if workspace is None else workspace, home), rest


def _spread(workspace: object, home: str) -> list[str]:
    if not isinstance(workspace, str):
        raise BadRequest(f"'workspace' of a query is text, not {shown(workspace)}.")
    return [home, PUBLIC] if workspace == "*" else [workspace]
