"""Calls on behalf of visitors, who are not attached but ask over HTTP."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Container
from typing import Any, Final, NamedTuple

from hypha_cluster.errors import BadFrame, FunctionNotFound, RemoteError, ServiceNotFound
from hypha_cluster.hub.calling import HubCalls
from hypha_cluster.hub.calls import Behalf
from hypha_cluster.hub.directory import Description, Directory, walk
from hypha_cluster.hub.own_functions import OwnFunctions
from hypha_cluster.hub.services import HubServices, is_hub
from hypha_cluster.hub.sessions import CallSession
from hypha_cluster.hub.streams import follow
from hypha_cluster.identity.access import PUBLIC, Identity
from hypha_cluster.protocol import guard, rpc
from hypha_cluster.protocol.address import (
    MANAGER,
    ServiceQuery,
    absolute,
    client_of,
    workspace_of,
)
from hypha_cluster.protocol.guard import shown
from hypha_cluster.registry.services import BUILT_IN, Provider
from hypha_cluster.relay.activity import Activity
from hypha_cluster.relay.allowance import UNBOUNDED, Allowance

_NAMED: Final = 8  # functions that an error names


class Visitor(NamedTuple):
    """Who asks over HTTP, and whether they may enter the workspace of the service.

    base_url: the URL by which they reach the hub. source: the network address for which they count;
    empty if it does not count. by_get: whether the request is a GET, with all arguments in its URL.
    mail: what they may yet put into mailboxes, by calls of clients that are suspended.
    """

    identity: Identity
    inside: bool
    base_url: str
    source: str = ""
    by_get: bool = False
    mail: Allowance = UNBOUNDED


class Visits:
    """Reads and calls what providers offer, clients and the hub itself alike."""

    def __init__(
        self,
        directory: Directory,
        own: HubServices,
        functions: OwnFunctions,
        calls: HubCalls,
        activity: Activity,
    ) -> None:
        self._directory = directory
        self._own = own
        self._functions = functions
        self._calls = calls
        self._activity = activity

    async def find(
        self,
        visitor: Visitor,
        wanted: ServiceQuery,
        workspace: str,
        *,
        mode: str = "random",
        without: Container[str] = (),
    ) -> Provider:
        """The provider of a service of one workspace; ServiceNotFound.

        without: addresses of clients that are left out.
        """
        if wanted.client == MANAGER:
            self._check_own(workspace, wanted.service)
        wanted = wanted._replace(workspace=workspace)
        provider = await self._directory.find_lately(
            wanted, workspace, inside=visitor.inside, mode=mode, without=without
        )
        if provider is None:
            raise ServiceNotFound(f"Service not found: {workspace}/{wanted.service}")
        return provider

    def _check_own(self, workspace: str, service: str) -> None:
        if not self._own.get(workspace, service).is_on_http:
            raise ServiceNotFound(
                f"{MANAGER}:{service} is not offered over HTTP; connect by WebSocket."
            )

    async def is_online(self, provider: Provider) -> bool:
        """Whether a provider is connected, as far as the registry knows; ClientNotFound."""
        client = client_of(provider.address)
        wanted = ServiceQuery(workspace_of(provider.address), client, provider.service)
        found = await self._directory.find_lately(wanted, wanted.workspace or "", inside=True)
        return found is not None and found.online

    async def describe(self, visitor: Visitor, provider: Provider) -> Description:
        """The service dict of a provider, as it is now."""
        if provider.service == BUILT_IN:
            return _built_in(provider)
        return await self._directory.fetch(provider, visitor.base_url)

    async def member(self, visitor: Visitor, provider: Provider, path: str) -> Any:
        """What is at a dotted path of a service: a function's reference, or a value."""
        service: Description = {}
        for afresh in (False, True):  # the service may have been registered again, with other ones
            service = await self.known(visitor, provider, afresh=afresh)
            try:
                return walk(service, path.split("."))
            except KeyError:
                continue
        name = f"{provider.address}:{provider.service}"
        raise FunctionNotFound(f"Service {name} has no {shown(path)}{_instead(service)}.")

    async def known(
        self, visitor: Visitor, provider: Provider, *, afresh: bool = False
    ) -> Description:
        """The service dict, as fetched last; afresh: fetch it now. Nobody may change it."""
        if provider.service == BUILT_IN:
            return _built_in(provider)
        return await self._directory.fetch_cached(provider, visitor.base_url, afresh=afresh)

    async def call(
        self,
        visitor: Visitor,
        provider: Provider,
        function: dict[str, Any],
        args: list[Any],
        kwargs: dict[str, Any],
    ) -> Any:
        """Call a function by the reference that `member` has found; return its encoded result."""
        method = self.method(provider, function)
        if is_hub(provider.address):
            return await self._call_own(visitor, provider, method, args, kwargs)
        behalf = _behalf(visitor, provider)
        with self._activity.visiting(provider.address):
            return await self._calls.call(
                provider.address, method, args, kwargs, behalf=behalf, patient=True
            )

    def method(self, provider: Provider, function: Any) -> str:
        """The method of a provider's function; FunctionNotFound for a function of somebody else."""
        if not rpc.is_reference(function):
            where = f"{provider.address}:{provider.service}"
            raise FunctionNotFound(f"Service {where} has no such function.")
        method: str = function["_rmethod"]
        is_own = method.startswith(guard.BUILT_IN) and method != guard.PING
        if is_own or function["_rtarget"] != provider.address:
            raise FunctionNotFound(f"{shown(method)} is a function elsewhere.")
        return method

    def follow(
        self, visitor: Visitor, provider: Provider, stream: dict[str, Any]
    ) -> AsyncGenerator[Any]:
        """The items of a stream that a function of the provider's has returned."""
        target, behalf = provider.address, _behalf(visitor, provider)

        async def call(function: dict[str, Any], args: list[Any]) -> Any:
            method = _callback(provider, function)
            with self._activity.visiting(target):
                return await self._calls.call(target, method, args, behalf=behalf, patient=True)

        def tell(function: dict[str, Any]) -> None:
            with contextlib.suppress(RemoteError):
                self._calls.tell(target, _callback(provider, function), behalf)

        return follow(stream, call, tell)

    @contextlib.asynccontextmanager
    async def session(self, visitor: Visitor, provider: Provider) -> AsyncIterator[CallSession]:
        """Open a session with a provider, which may call back the functions that it is passed."""
        opened = self._calls.session(provider.address, behalf=_behalf(visitor, provider))
        with self._activity.visiting(provider.address):
            async with opened as session:
                yield session

    async def _call_own(
        self,
        visitor: Visitor,
        provider: Provider,
        method: str,
        args: list[Any],
        kwargs: dict[str, Any],
    ) -> Any:
        workspace = workspace_of(provider.address)
        context = self._functions.context_for(
            visitor.identity,
            workspace,
            inside=visitor.inside,
            base_url=visitor.base_url,
            source=visitor.source,
        )
        function = method.rpartition(".")[2]
        if visitor.by_get:
            self._own.get(workspace, provider.service).check_get(function)
        return await self._functions.call(context, provider.service, function, args, kwargs)


def _behalf(visitor: Visitor, provider: Provider) -> Behalf:
    source = workspace_of(provider.address) if visitor.inside else PUBLIC
    return Behalf(visitor.identity, source, visitor.mail)


def _callback(provider: Provider, function: dict[str, Any]) -> str:
    """The method of a callback of the provider that came with a result; RemoteError for others."""
    target, method = function.get("_rtarget"), function.get("_rmethod")
    if isinstance(target, str) and isinstance(method, str) and not method.startswith("services."):
        try:
            guard.check_path(method)
        except BadFrame as error:
            raise RemoteError(str(error)) from None
        if absolute(target, workspace_of(provider.address)) == provider.address:
            return method
    raise RemoteError("A function of a stream leads elsewhere than to its provider.")


def _built_in(provider: Provider) -> Description:
    """The built-in service that a visitor sees: the part that is for all, without its caches.

    Over HTTP, nothing would check what comes for those.
    """
    service = rpc.built_in_for_all(provider.address)
    return {**service, "id": f"{provider.address}:{BUILT_IN}"}


def _instead(service: Description) -> str:
    """What else may have been meant, for whoever has misspelt it."""
    names = sorted(name for name, member in service.items() if rpc.is_reference(member))
    more = ", …" if len(names) > _NAMED else ""
    return f"; it has {', '.join(map(shown, names[:_NAMED]))}{more}" if names else ""
