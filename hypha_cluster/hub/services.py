"""The hub's own services: the one table that calls, lookups, listings and HTTP ask.

A function of such a service finds other services by the Context of its call. So the table is
complete before there is a Directory, which asks the table.

A service is offered by the manager of a workspace, as `<workspace>/workspace-manager:<id>`: either
in `public`, for everybody, or in each workspace, as the manager itself is.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Final

from hypha_cluster.errors import (
    BadRequest,
    FunctionNotFound,
    MethodNotAllowed,
    ServiceNotFound,
    StartupError,
)
from hypha_cluster.identity.access import PUBLIC
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.address import MANAGER
from hypha_cluster.registry.services import Provider

# Takes a Context, then what the caller has passed; returns a value as it travels.
Function = Callable[..., Awaitable[Any]]
# Takes a Context and a query; returns an address, and the id of a service there.
Launch = Callable[[Any, dict[str, Any]], Awaitable[tuple[str, str]]]
# Takes a Context and the name of a workspace; answers manifests by their ids.
Applications = Callable[[Any, str], Awaitable[dict[str, Any]]]

DEFAULT: Final = "default"
_OWN: Final = f"/{MANAGER}"
_KEYS: Final = frozenset(("id", "name", "description", "type", "config", "docs"))


@dataclass(frozen=True, eq=False)
class HubService:
    """One service of the hub's own, ready to be offered.

    functions: by name; their docstrings and parameters are what callers see.
    aliases: other names of functions.
    workspace: the one that it is offered in, None for each.
    visibility: `public` for everybody, `protected` for those who may enter the workspace.
    judging: functions of a protected one that anybody may call, since they check their callers.
    posted: functions that HTTP calls by POST alone: they end something, or are told a secret, which
    must not stand in an address.
    is_listed: whether listings show it.
    is_on_http: whether it may be called over HTTP.
    config: what clients see besides.
    launch: starts the app that a query of `get_service` with `launch` means.
    applications: what is installed in a workspace, by its id.
    """

    id: str
    name: str
    description: str
    functions: Mapping[str, Function]
    aliases: Mapping[str, str] = field(default_factory=dict)
    type: str = "generic"
    workspace: str | None = PUBLIC
    visibility: str = "public"
    judging: frozenset[str] = frozenset()
    posted: frozenset[str] = frozenset()
    is_listed: bool = True
    is_on_http: bool = True
    config: Mapping[str, Any] = field(default_factory=dict)
    launch: Launch | None = None
    applications: Applications | None = None

    def __post_init__(self) -> None:
        names = {*self.functions, *self.aliases}
        if taken := names & _KEYS:
            raise ValueError(f"{self.id}: {', '.join(sorted(taken))} cannot name a function")

    @cached_property
    def _references(self) -> dict[str, dict[str, Any]]:
        """A reference to each function, by all its names; the same in all workspaces."""
        names = {**{name: name for name in self.functions}, **self.aliases}
        return {name: self._reference(name, self.functions[own]) for name, own in names.items()}

    def _reference(self, name: str, function: Function) -> dict[str, Any]:
        reference = rpc.reference("", f"services.{self.id}.{name}")
        signature = signature_of(name, function)
        return reference | {"_rsig": signature, "_rdoc": inspect.getdoc(function)}

    def own_name(self, name: str) -> str:
        """The name that an alias stands for."""
        return self.aliases.get(name, name)

    def function(self, name: str) -> Function:
        """A function by one of its names; FunctionNotFound."""
        function = self.functions.get(self.own_name(name))
        if function is None:
            raise FunctionNotFound(f"The hub has no function {self.id}.{name}.")
        return function

    def guards(self, name: str) -> bool:
        """Whether a function is for those who may enter the workspace."""
        return self.visibility != "public" and self.own_name(name) not in self.judging

    def check_get(self, name: str) -> None:
        """MethodNotAllowed for a function that only a POST calls over HTTP."""
        if self.own_name(name) in self.posted:
            raise MethodNotAllowed(
                f"{self.id}.{name} is called by POST, with its arguments in the body: what is in "
                "an address is written down on its way."
            )

    def info(self, workspace: str) -> dict[str, Any]:
        """What a listing says of it (protocol.md 6.1)."""
        return {
            "id": f"{workspace}/{MANAGER}:{self.id}",
            "name": self.name,
            "description": self.description,
            "type": self.type,
            "docs": {},
            "config": {
                "visibility": self.visibility,
                "require_context": False,
                "workspace": workspace,
                "flags": [],
                **self.config,
            },
        }

    @lru_cache(maxsize=256)  # noqa: B019 - services live as long as the hub
    def describe(self, workspace: str, base_url: str) -> dict[str, Any]:
        """The service dict that a caller gets, with references to its functions.

        It is kept, since every client asks for the manager's when it connects; so nobody may
        change it. Workspaces whose names have not been checked do not get here.
        """
        address = f"{workspace}/{MANAGER}"
        info = self.info(workspace) | {"id": self.id}
        del info["docs"]
        info["config"] |= {"public_base_url": base_url, "local_base_url": base_url}
        references = self._references.items()
        return info | {name: {**known, "_rtarget": address} for name, known in references}


class HubServices:
    """The table of the hub's own services; what is in it is there from the start."""

    def __init__(self, services: Iterable[HubService] = ()) -> None:
        """StartupError when two have the same id."""
        self._services: dict[str, HubService] = {}
        for service in services:
            if service.id in self._services:
                raise StartupError(f"two features offer a service {service.id!r} of the hub's")
            self._services[service.id] = service

    def find(self, workspace: str, service: str) -> HubService | None:
        """The service of this id that is offered in a workspace."""
        found = self._services.get(service)
        return found if found is not None and found.workspace in (None, workspace) else None

    def get(self, workspace: str, service: str) -> HubService:
        """The same, or ServiceNotFound."""
        found = self.find(workspace, service)
        if found is None:
            raise ServiceNotFound(f"Service not found: {workspace}/{MANAGER}:{service}")
        return found

    def launcher(self) -> Launch:
        """The function that starts the app of a query unless it is up; BadRequest if none can."""
        for service in self._services.values():
            if service.launch is not None:
                return service.launch
        raise BadRequest("This hub cannot launch applications; ask for a running service.")

    async def applications(self, context: Any, workspace: str) -> dict[str, Any]:
        """The manifests of all that services have installed in a workspace, by their ids."""
        found: dict[str, Any] = {}
        for service in self._services.values():
            if service.applications is not None:
                found |= await service.applications(context, workspace)
        return found

    def listed(self, workspace: str) -> Iterator[dict[str, Any]]:
        """Infos of what listings of a workspace show."""
        for service in self._services.values():
            if service.is_listed and service.workspace in (None, workspace):
                yield service.info(workspace)

    def provider(self, workspace: str, service: str) -> Provider:
        """A service as if a client offered it: always online, at the manager's address."""
        info = self.get(workspace, service).info(workspace)
        return Provider(f"{workspace}/{MANAGER}", service, info, online=True)

    def named(self, workspace: str, service: str) -> Provider | None:
        """The same for a lookup by name alone, which finds only what listings show."""
        found = self.find(workspace, service)
        return self.provider(workspace, service) if found and found.is_listed else None


def is_hub(address: str) -> bool:
    """Whether an address is a manager's, in whichever workspace."""
    return address.endswith(_OWN)


def signature_of(name: str, function: Function) -> str:
    """The signature of a function, as every published client can read it (protocol.md 3.2)."""
    parameters = list(inspect.signature(function).parameters.values())[1:]  # behind the context
    return f"{name}({', '.join(map(_parameter, parameters))})"


def _parameter(parameter: inspect.Parameter) -> str:
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        return f"*{parameter.name}"
    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        return f"**{parameter.name}"
    if parameter.default is inspect.Parameter.empty:
        return parameter.name
    return f"{parameter.name}={parameter.default!r}"
