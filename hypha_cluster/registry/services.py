"""What clients offer: the services of a workspace, and the public ones of all workspaces."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol

from hypha_cluster.errors import ClientLeft, ClientNotFound
from hypha_cluster.links.client import RedisClient, Reply, settled
from hypha_cluster.protocol.address import workspace_of
from hypha_cluster.protocol.limits import CANDIDATES
from hypha_cluster.registry.clients import Attachment
from hypha_cluster.registry.encoding import Infos
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.public import NOT_LISTED, PublicListing, as_listed, is_public
from hypha_cluster.registry.read_cache import ReadCache
from hypha_cluster.registry.scripts import Script

BUILT_IN: Final = "built-in"  # every client has it, so it is listed nowhere


class Provider(NamedTuple):
    """A client that offers a service, as the registry knows it."""

    address: str
    service: str
    info: dict[str, Any]
    online: bool

    @property
    def is_public(self) -> bool:
        return is_public(self.info)


class Finder(Protocol):
    """Finds services."""

    def providers(self, workspace: str, service: str) -> Awaitable[list[Provider]]:
        """Who offers a service of this name in a workspace."""

    def public_providers(self, service: str) -> Awaitable[list[Provider]]:
        """Who offers a public service of this name, in any workspace."""

    def provider(self, address: str, service: str) -> Awaitable[Provider | None]:
        """One client's service, None when it offers none of this name."""


_ANYWHERE: Final = ""  # stands for all workspaces


class RecentlyFound:
    """What was found a moment ago, by workspace, unless this node knows that it has changed.

    many: the providers of a service. single: what one client offers. announce: tells the other
    nodes that services of a workspace have changed.
    """

    def __init__(self, announce: Callable[[str], None] = lambda workspace: None) -> None:
        self.many = ReadCache[list[Provider]]()
        self.single = ReadCache[Provider | None]()
        self._announce = announce
        self._watching: dict[str, set[asyncio.Event]] = {}

    def forget(self, workspace: str) -> None:
        """Services of a workspace have come or gone."""
        self.single.forget(workspace)
        self.many.forget(workspace)
        self.many.forget(_ANYWHERE)
        for event in self._watching.get(workspace, ()):
            event.set()

    def changed(self, workspace: str) -> None:
        """The same, when this node has changed them: the others are told."""
        self.forget(workspace)
        self._announce(workspace)

    @contextlib.contextmanager
    def watching(self, workspace: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever services of a workspace come or go, on any node."""
        event, events = asyncio.Event(), self._watching.setdefault(workspace, set())
        events.add(event)
        try:
            yield event
        finally:
            events.discard(event)
            if not events:
                self._watching.pop(workspace, None)


class Services:
    """Puts services into the registry, and finds them."""

    def __init__(
        self, redis: RedisClient, keys: Keys, public: PublicListing, recent: "RecentlyFound"
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._public = public
        self._recent = recent
        self._register = Script(redis, "register")
        self._providers = Script(redis, "providers")

    async def register(
        self, attachment: Attachment, put: Infos, remove: Iterable[str] = ()
    ) -> None:
        """Change what a client offers; ClientLeft if it is no longer attached here."""
        keys, removed, address = self._keys, list(remove), attachment.address
        listed = {service: as_listed(info) for service, info in put.items()}
        unsettled = await self._register(
            keys=[
                keys.client(address),
                keys.client_services(address),
                keys.services(attachment.workspace.name),
                keys.client_public(address),
                keys.unsettled(address),
            ],
            args=[
                attachment.client,
                attachment.holder,
                keys.providers(attachment.workspace.name),
                len(removed),
                *removed,
                *(word for each in put for word in (each, int(bool(listed[each])), put[each])),
            ],
        )
        if unsettled is None:
            raise ClientLeft(f"Client {address} is attached elsewhere.")
        if unsettled:
            services = map(bytes.decode, unsettled)
            await self._public.settle(
                address, {each: listed.get(each, NOT_LISTED) for each in services}
            )
        self._recent.changed(attachment.workspace.name)

    async def of_workspace(self, workspace: str) -> list[dict[str, Any]]:
        """Info of every service of a workspace, with its full id."""
        found = await self._redis.hgetall(self._keys.services(workspace))
        return [
            {**json.loads(info), "id": f"{workspace}/{field.decode()}"}
            for field, info in found.items()
        ]

    async def providers(self, workspace: str, service: str) -> list[Provider]:
        """Who offers a service of this name in a workspace."""
        keys = self._keys
        answer: Sequence[bytes] = await self._providers(
            keys=[keys.providers(workspace, service), keys.services(workspace)],
            args=[service, keys.client(f"{workspace}/"), CANDIDATES],
        )
        rows = zip(answer[::3], answer[1::3], answer[2::3], strict=True)
        return [
            Provider(
                f"{workspace}/{client.decode()}", service, json.loads(info), state == b"online"
            )
            for client, state, info in rows
        ]

    async def public_providers(self, service: str) -> list[Provider]:
        """Who offers a public service of this name, in any workspace."""
        addresses = [each.rpartition(":")[0] for each in await self._public.named(service)]
        asked = [(address, *self._ask(address, service)) for address in addresses[:CANDIDATES]]
        return [
            Provider(address, service, json.loads(info), state == b"online")
            for address, state_reply, info_reply in asked
            if (state := await state_reply)
            and (info := await info_reply)
            and as_listed(info.decode())  # what the workspace says counts, not the listing
        ]

    async def provider(self, address: str, service: str) -> Provider | None:
        """One client's service, None when it offers none of this name."""
        state, info = await settled(self._ask(address, service))
        if state is None:
            raise ClientNotFound.at(address)
        if service == BUILT_IN:
            info = b'{"config": {"visibility": "public"}}'
        if info is None:
            return None
        return Provider(address, service, json.loads(info), state == b"online")

    def _ask(self, address: str, service: str) -> tuple[Reply[bytes | None], Reply[bytes | None]]:
        """The state of a client, and what its workspace knows of a service of its."""
        workspace, _, client = address.partition("/")
        return (
            self._redis.hget(self._keys.client(address), "state"),
            self._redis.hget(self._keys.services(workspace), f"{client}:{service}"),
        )


class RecentServices:
    """Finds services as they were a moment ago: not longer than a ReadCache keeps it."""

    def __init__(self, services: Services, recent: RecentlyFound) -> None:
        self._services = services
        self._many, self._single = recent.many, recent.single
        self.watching = recent.watching

    async def providers(self, workspace: str, service: str) -> list[Provider]:
        return await self._many.get(
            workspace, service, lambda: self._services.providers(workspace, service)
        )

    async def public_providers(self, service: str) -> list[Provider]:
        return await self._many.get(
            _ANYWHERE, service, lambda: self._services.public_providers(service)
        )

    def known(self, address: str, service: str) -> Provider | None:
        """One client's service, if it was looked up a moment ago."""
        return self._single.peek(workspace_of(address), f"{address}:{service}")

    async def provider(self, address: str, service: str) -> Provider | None:
        return await self._single.get(
            workspace_of(address),
            f"{address}:{service}",
            lambda: self._services.provider(address, service),
        )
