"""What clients offer: the services of a workspace, and the public ones of all workspaces."""

import json
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from hypha_cluster.errors import ClientLeft, ClientNotFound
from hypha_cluster.links.client import RedisClient, settled
from hypha_cluster.protocol.address import workspace_of
from hypha_cluster.registry.clients import Attachment
from hypha_cluster.registry.encoding import Infos, flatten, pairs
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.public import PublicListing, is_public
from hypha_cluster.registry.read_cache import ReadCache
from hypha_cluster.registry.scripts import Script

BUILT_IN: Final = "built-in"  # every client has it, so it is listed nowhere
MANY: Final = 64  # providers to choose among


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
    """What was found a moment ago, by workspace; what this node knows to have changed is left out.

    many: the providers of a service. single: what one client offers.
    """

    def __init__(self) -> None:
        self.many = ReadCache[list[Provider]]()
        self.single = ReadCache[Provider | None]()

    def forget(self, workspace: str) -> None:
        """Services of a workspace have come or gone."""
        for cache in (self.many, self.single):
            cache.forget(workspace)
            cache.forget(_ANYWHERE)


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
        keys, removed = self._keys, list(remove)
        before = await self._register(
            keys=[
                keys.client(attachment.address),
                keys.client_services(attachment.address),
                keys.services(attachment.workspace.name),
            ],
            args=[
                attachment.client,
                attachment.owner,
                keys.providers(attachment.workspace.name),
                len(removed),
                *removed,
                *flatten(put),
            ],
        )
        if before is None:
            raise ClientLeft(f"Client {attachment.address} is attached elsewhere.")
        await self._public.add(attachment.address, put)
        replaced = {sid: info for sid, info in pairs(before).items() if put.get(sid) != info}
        await self._public.remove(attachment.address, replaced)
        self._recent.forget(attachment.workspace.name)

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
            args=[service, keys.client(f"{workspace}/"), MANY],
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
        found = (await self._public.named(service))[:MANY]
        holders = [self._keys.client(full_id.rpartition(":")[0]) for full_id, _ in found]
        states = await settled([self._redis.hget(holder, "state") for holder in holders])
        return [
            Provider(full_id.rpartition(":")[0], service, info, state == b"online")
            for (full_id, info), state in zip(found, states, strict=True)
            if state
        ]

    async def provider(self, address: str, service: str) -> Provider | None:
        """One client's service, None when it offers none of this name."""
        workspace, _, client = address.partition("/")
        asked = (
            self._redis.hget(self._keys.client(address), "state"),
            self._redis.hget(self._keys.services(workspace), f"{client}:{service}"),
        )
        state, info = await settled(asked)
        if state is None:
            raise ClientNotFound.at(address)
        if service == BUILT_IN:
            info = b'{"config": {"visibility": "public"}}'
        if info is None:
            return None
        return Provider(address, service, json.loads(info), state == b"online")


class RecentServices:
    """Finds services as they were a moment ago: not longer than a ReadCache keeps it."""

    def __init__(self, services: Services, recent: RecentlyFound) -> None:
        self._services = services
        self._many, self._single = recent.many, recent.single

    async def providers(self, workspace: str, service: str) -> list[Provider]:
        return await self._many.get(
            workspace, service, lambda: self._services.providers(workspace, service)
        )

    async def public_providers(self, service: str) -> list[Provider]:
        return await self._many.get(
            _ANYWHERE, service, lambda: self._services.public_providers(service)
        )

    async def provider(self, address: str, service: str) -> Provider | None:
        return await self._single.get(
            workspace_of(address),
            f"{address}:{service}",
            lambda: self._services.provider(address, service),
        )
