"""Clients and their services: who is attached where, and what they offer."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis

from hypha_cluster.access import Identity, Workspace
from hypha_cluster.errors import ClientLeft, ClientNotFound, Conflict, StillOnline
from hypha_cluster.protocol.address import workspace_of
from hypha_cluster.store.connection import load_script, translated
from hypha_cluster.store.keys import Keys
from hypha_cluster.store.workspaces import to_hash

BUILT_IN: Final = "built-in"  # every client has it, so it is listed nowhere
_MANY: Final = 64  # providers to choose among

Infos = dict[str, str]  # service id → service info as JSON


class Provider(NamedTuple):
    """A client that offers a service, as the registry knows it."""

    address: str
    service: str
    info: dict[str, Any]
    online: bool

    @property
    def is_public(self) -> bool:
        return is_public(self.info)


class Attachment(NamedTuple):
    """A client's hold on its address: `owner` is unique to one connection."""

    address: str
    client: str
    workspace: Workspace
    identity: Identity
    owner: str
    node: str


class ClaimMode(StrEnum):
    """Whom an address may be taken from."""

    NEW = "new"  # nobody, or the same user's client that is between two connections
    RESUME = "resume"  # the same client, even if its old connection still looks open
    ASSERT = "assert"  # the connection itself, whose record may have been lost


class Claim(NamedTuple):
    """What came of claiming an address."""

    resumed: bool
    previous_owner: str
    services: Infos


class Departure(NamedTuple):
    """A client that has left for good."""

    address: str
    user: str
    node: str
    owner: str


def is_public(info: Mapping[str, Any]) -> bool:
    return bool(info.get("config", {}).get("visibility") == "public")


class Registry:
    """Changes what is in Redis by scripts that touch nothing of a newer owner's."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._claim = load_script(redis, "claim")
        self._leave = load_script(redis, "leave")
        self._suspend = load_script(redis, "suspend")
        self._register = load_script(redis, "register")
        self._unlist = load_script(redis, "unlist")
        self._providers = load_script(redis, "providers")
        self._forget_user = load_script(redis, "forget_user")

    # The life of a client.

    @translated
    async def claim(self, attachment: Attachment, mode: ClaimMode) -> Claim:
        """Take an address; its workspace is made if it is not there.

        Raises Conflict when it is another user's, StillOnline when it is the same user's and
        neither mode says to take it.
        """
        keys, address = self._keys, attachment.address
        identity = json.dumps(attachment.identity.to_wire())
        workspace = attachment.workspace.name
        answer = await self._claim(
            keys=[
                keys.workspace(workspace),
                keys.clients(workspace),
                keys.client(address),
                keys.client_services(address),
                keys.services(workspace),
            ],
            args=[
                attachment.client,
                attachment.owner,
                attachment.node,
                attachment.identity.id,
                identity,
                now_ms(),
                mode,
                *_flatten(to_hash(attachment.workspace)),
            ],
        )
        outcome, previous = answer[0].decode(), answer[1].decode()
        _check_outcome(outcome, attachment)
        await self._note_attachment(attachment, identity, made=outcome == "made")
        return Claim(outcome == "resumed", previous, _pairs(answer[2:]))

    async def _note_attachment(self, attachment: Attachment, identity: str, *, made: bool) -> None:
        keys, address = self._keys, attachment.address
        async with self._redis.pipeline(transaction=False) as pipe:
            user: dict[Any, Any] = {"identity": identity, address: attachment.owner}
            pipe.hset(keys.user(attachment.identity.id), mapping=user)
            pipe.sadd(keys.node_clients(attachment.node), address)
            pipe.zrem(keys.suspended(), address)
            if made:
                pipe.sadd(keys.workspaces(), attachment.workspace.name)
            await pipe.execute()

    @translated
    async def leave(self, address: str, owner: str) -> Departure | None:
        """Remove a client for good; `owner` "" means: if its suspension has ended."""
        keys, workspace = self._keys, workspace_of(address)
        client = address[len(workspace) + 1 :]
        answer = await self._leave(
            keys=[
                keys.workspace(workspace),
                keys.clients(workspace),
                keys.client(address),
                keys.client_services(address),
                keys.services(workspace),
                keys.mail(address),
                keys.mail_size(address),
            ],
            args=[client, owner, now_ms(), keys.providers(workspace)],
        )
        if not answer:
            return None
        departure = Departure(address, answer[1].decode(), answer[2].decode(), owner)
        await self._note_departure(departure, gone=answer[0] == b"1")
        await self._unlist_all(address, _pairs(answer[3:]))
        return departure

    async def _note_departure(self, departure: Departure, *, gone: bool) -> None:
        keys = self._keys
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.srem(keys.node_clients(departure.node), departure.address)
            pipe.zrem(keys.suspended(), departure.address)
            if gone:
                pipe.srem(keys.workspaces(), workspace_of(departure.address))
            await pipe.execute()
        await self._forget_user(
            keys=[keys.user(departure.user)], args=[departure.address, departure.owner]
        )

    @translated
    async def suspend(self, address: str, *, owner: str = "", node: str = "", grace: float) -> bool:
        """Keep a client's place for `grace` seconds, if it is attached to `owner` or `node`."""
        until = now_ms() + int(grace * 1000)
        done = await self._suspend(keys=[self._keys.client(address)], args=[owner, node, until])
        if done:
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.zadd(self._keys.suspended(), {address: until})
                if node:
                    pipe.srem(self._keys.node_clients(node), address)
                await pipe.execute()
        return bool(done)

    @translated
    async def overdue(self) -> list[str]:
        """Some of the clients whose suspension has ended."""
        found: list[bytes] = await self._redis.zrangebyscore(  # type: ignore[assignment]
            self._keys.suspended(), "-inf", now_ms(), start=0, num=100
        )
        return [address.decode() for address in found]

    @translated
    async def drop_overdue(self, address: str) -> None:
        """The client came back meanwhile, or is gone."""
        await self._redis.zrem(self._keys.suspended(), address)

    @translated
    async def take_mail(self, address: str) -> list[bytes]:
        """Frames that waited for a client, in their order; once it has joined the bus again.

        They are put there by deliver.lua of the relay.
        """
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.lrange(self._keys.mail(address), 0, -1)
            pipe.delete(self._keys.mail(address), self._keys.mail_size(address))
            frames: list[bytes] = (await pipe.execute())[0]
        return frames

    # Services.

    @translated
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
                *_flatten(put),
            ],
        )
        if before is None:
            raise ClientLeft(f"Client {attachment.address} is attached elsewhere.")
        await self._list_all(attachment.address, put)
        await self._unlist_all(attachment.address, _pairs(before))

    async def _list_all(self, address: str, infos: Infos) -> None:
        public = {sid: info for sid, info in infos.items() if is_public(json.loads(info))}
        if not public:
            return
        async with self._redis.pipeline(transaction=False) as pipe:
            for service, info in public.items():
                pipe.hset(self._keys.public(service), f"{address}:{service}", info)
            pipe.sadd(self._keys.public_names(), *public)
            await pipe.execute()

    async def _unlist_all(self, address: str, infos: Infos) -> None:
        for service, info in infos.items():
            if not is_public(json.loads(info)):
                continue
            key = self._keys.public(service)
            left = await self._unlist(keys=[key], args=[f"{address}:{service}", info])
            if not left:
                await self._redis.srem(self._keys.public_names(), service)
                if await self._redis.exists(key):  # another one came between the two
                    await self._redis.sadd(self._keys.public_names(), service)

    @translated
    async def services(self, workspace: str) -> list[dict[str, Any]]:
        """Info of every service of a workspace, with its full id."""
        found = await self._redis.hgetall(self._keys.services(workspace))
        return [
            {**json.loads(info), "id": f"{workspace}/{_text(field)}"}
            for field, info in found.items()
        ]

    @translated
    async def public_services(self) -> list[dict[str, Any]]:
        """Info of every public service, whichever its workspace, with its full id."""
        names = await self._redis.smembers(self._keys.public_names())
        async with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(self._keys.public(_text(name)))
            listings: list[dict[bytes, bytes]] = await pipe.execute()
        return [
            {**json.loads(info), "id": _text(full_id)}
            for listing in listings
            for full_id, info in listing.items()
        ]

    @translated
    async def providers(self, workspace: str, service: str) -> list[Provider]:
        """Who offers a service of this name in a workspace."""
        keys = self._keys
        answer: Sequence[bytes] = await self._providers(
            keys=[keys.providers(workspace, service), keys.services(workspace)],
            args=[service, keys.client(f"{workspace}/"), _MANY],
        )
        rows = zip(answer[::3], answer[1::3], answer[2::3], strict=True)
        return [
            Provider(
                f"{workspace}/{client.decode()}", service, json.loads(info), state == b"online"
            )
            for client, state, info in rows
        ]

    @translated
    async def public_providers(self, service: str) -> list[Provider]:
        """Who offers a public service of this name, in any workspace."""
        listing = await self._redis.hgetall(self._keys.public(service))
        found = [(_text(full_id), json.loads(info)) for full_id, info in listing.items()][:_MANY]
        async with self._redis.pipeline(transaction=False) as pipe:
            for full_id, _ in found:
                pipe.hget(self._keys.client(full_id.rpartition(":")[0]), "state")
            states: list[bytes | None] = await pipe.execute()
        return [
            Provider(full_id.rpartition(":")[0], service, info, state == b"online")
            for (full_id, info), state in zip(found, states, strict=True)
            if state
        ]

    @translated
    async def provider(self, address: str, service: str) -> Provider | None:
        """One client's service, None when it offers none of this name."""
        workspace, _, client = address.partition("/")
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hget(self._keys.client(address), "state")
            pipe.hget(self._keys.services(workspace), f"{client}:{service}")
            state, info = await pipe.execute()
        if state is None:
            raise ClientNotFound(f"Client not found: {address}")
        if service == BUILT_IN:
            info = b'{"config": {"visibility": "public"}}'
        if info is None:
            return None
        return Provider(address, service, json.loads(info), state == b"online")

    # Clients.

    @translated
    async def clients(self, workspace: str) -> list[str]:
        members = await self._redis.smembers(self._keys.clients(workspace))
        return sorted(_text(client) for client in members)

    @translated
    async def user_clients(self, user: str) -> list[str]:
        """Addresses of all clients of a user."""
        fields = await self._redis.hkeys(self._keys.user(user))
        return sorted(_text(field) for field in fields if b"/" in _bytes(field))


def _check_outcome(outcome: str, attachment: Attachment) -> None:
    if outcome == "online":
        raise StillOnline(f"The client {attachment.client!r} is connected already.")
    if outcome == "taken":
        raise Conflict(
            f"A client {attachment.client!r} of somebody else is in workspace "
            f"{attachment.workspace.name!r} already; choose another client_id."
        )


def now_ms() -> int:
    return int(time.time() * 1000)


def _flatten(mapping: Mapping[str, str]) -> list[str]:
    return [item for pair in mapping.items() for item in pair]


def _pairs(items: Sequence[bytes]) -> Infos:
    return {
        key.decode(): value.decode() for key, value in zip(items[::2], items[1::2], strict=True)
    }


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _bytes(value: bytes | str) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
