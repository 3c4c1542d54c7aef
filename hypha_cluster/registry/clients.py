"""Clients: who is attached where, who is between two connections, who has left."""

import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from hypha_cluster.errors import Conflict, Replaced, StillOnline
from hypha_cluster.identity.access import Identity, Workspace
from hypha_cluster.links.client import RedisClient, Reply, settled
from hypha_cluster.protocol.address import workspace_of
from hypha_cluster.registry.encoding import Infos, flatten, now_ms, pairs
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.public import PublicListing
from hypha_cluster.registry.scripts import Script
from hypha_cluster.registry.workspaces import to_hash

# How long a program may be between two connections, which it opens at once if it can.
PATIENCE: Final = 8.0  # seconds
LEFT_MEMORY: Final = 300.0  # seconds


class Attachment(NamedTuple):
    """A client's hold on its address.

    owner: unique to one connection. program: common to those that one run of a program opens, one
    after the other.
    """

    address: str
    client: str
    workspace: Workspace
    identity: Identity
    owner: str
    node: str
    patience: float = PATIENCE  # seconds that it may be away before calls to it are refused
    program: str = ""


class ClaimMode(StrEnum):
    """Whom an address may be taken from."""

    NEW = "new"  # nobody, or the same user's client that is between two connections
    RESUME = "resume"  # the same program, even if its old connection still looks open
    TAKE = "take"  # the same user's client, even if its connection looks open: it does not answer
    ASSERT = "assert"  # the connection itself, whose record may have been lost


class Previous(NamedTuple):
    """The connection that had an address before."""

    owner: str
    node: str


class Claim(NamedTuple):
    """What came of claiming an address. notes: what `noted` waits for."""

    resumed: bool
    previous: Previous | None
    services: Infos
    notes: Sequence[Reply[int]] = ()


class Departure(NamedTuple):
    """A client that has left for good."""

    address: str
    user: str
    node: str
    owner: str


class ClientRegistry:
    """Changes what is in Redis by scripts that touch nothing of a newer owner's.

    on_departure is called with the address of each client that this node finds to have left for
    good.
    """

    def __init__(
        self,
        redis: RedisClient,
        keys: Keys,
        public: PublicListing,
        on_departure: Callable[[str], None] = lambda address: None,
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._public = public
        self._on_departure = on_departure
        self._claim = Script(redis, "claim")
        self._leave = Script(redis, "leave")
        self._suspend = Script(redis, "suspend")
        self._forget_user = Script(redis, "forget_user")

    # The life of a client.

    async def claim(self, attachment: Attachment, mode: ClaimMode) -> Claim:
        """Take an address; its workspace is made if it is not there. It counts once it is `noted`.

        Raises Conflict when it is another user's, StillOnline when it is the same user's and no
        mode says to take it, Replaced when a newer program has taken it.
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
                keys.left(address),
            ],
            args=[
                attachment.client,
                attachment.owner,
                attachment.node,
                attachment.identity.id,
                identity,
                now_ms(),
                mode,
                int(attachment.patience * 1000),
                attachment.program,
                *flatten(to_hash(attachment.workspace)),
            ],
        )
        outcome, owner, node = (part.decode() for part in answer[:3])
        _check_outcome(outcome, attachment)
        notes = self._note_attachment(attachment, identity, node, outcome)
        previous = Previous(owner, node) if owner else None
        return Claim(outcome == "resumed", previous, pairs(answer[3:]), notes)

    async def noted(self, claim: Claim) -> None:
        """Wait until a claim is known wherever it has to be."""
        await settled(claim.notes)

    def _note_attachment(
        self, attachment: Attachment, identity: str, old_node: str, outcome: str
    ) -> Sequence[Reply[int]]:
        keys, redis, address = self._keys, self._redis, attachment.address
        notes = []
        if old_node not in ("", attachment.node):
            notes.append(redis.srem(keys.node_clients(old_node), address))
        user = {"identity": identity, address: attachment.owner}
        notes.append(redis.hset(keys.user(attachment.identity.id), user))
        notes.append(redis.sadd(keys.node_clients(attachment.node), address))
        if outcome == "resumed":
            notes.append(redis.zrem(keys.suspended(), address))
            notes.append(redis.zrem(keys.away(), address))
        if outcome == "made":
            notes.append(redis.sadd(keys.workspaces(), attachment.workspace.name))
        return notes

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
                keys.left(address),
            ],
            args=[
                client,
                owner,
                now_ms(),
                keys.providers(workspace),
                int(LEFT_MEMORY * 1000),
            ],
        )
        if not answer:
            return None
        departure = Departure(address, *(part.decode() for part in answer[1:4]))
        self._on_departure(address)
        await self._note_departure(departure, gone=answer[0] == b"1", by_itself=bool(owner))
        await self._public.remove(address, pairs(answer[4:]))
        return departure

    async def _note_departure(self, departure: Departure, *, gone: bool, by_itself: bool) -> None:
        keys, redis = self._keys, self._redis
        notes = [redis.srem(keys.node_clients(departure.node), departure.address)]
        if not by_itself:
            notes.append(redis.zrem(keys.suspended(), departure.address))
            notes.append(redis.zrem(keys.away(), departure.address))
        if gone:
            notes.append(redis.srem(keys.workspaces(), workspace_of(departure.address)))
        owned = [departure.address, departure.owner]
        notes.append(self._forget_user(keys=[keys.user(departure.user)], args=owned))
        await settled(notes)

    async def suspend(self, address: str, *, owner: str = "", node: str = "", grace: float) -> bool:
        """Keep a client's place for `grace` seconds, if it is attached to `owner` or `node`."""
        until = now_ms() + int(grace * 1000)
        answer = await self._suspend(keys=[self._keys.client(address)], args=[owner, node, until])
        if not answer:
            return False
        # Also when it was done before: who did it may have died before this.
        notes = [
            self._redis.zadd(self._keys.suspended(), {address: answer[1]}),
            self._redis.zadd(self._keys.away(), {address: answer[2]}),
        ]
        if node:
            notes.append(self._redis.srem(self._keys.node_clients(node), address))
        await settled(notes)
        return bool(answer[0])

    async def has_left(self, address: str) -> bool:
        """Whether a client said a moment ago that it leaves.

        A function of its that is still at work opens a connection for its next heartbeat, with
        the reconnection token; it is not to be taken for a client that comes back.
        """
        return await self._redis.exists(self._keys.left(address))

    async def overdue(self) -> list[str]:
        """Some of the clients whose suspension has ended."""
        found = await self._redis.zrangebyscore(self._keys.suspended(), now_ms(), 100)
        return [address.decode() for address in found]

    async def drop_overdue(self, address: str) -> None:
        """The client came back meanwhile, or is gone."""
        await self._redis.zrem(self._keys.suspended(), address)

    # Listings.

    async def owners(self, addresses: Sequence[str]) -> list[str | None]:
        """The connection that each client has, None for who is not known."""
        replies = [self._redis.hget(self._keys.client(each), "owner") for each in addresses]
        owners = await settled(replies)
        return [owner.decode() if owner is not None else None for owner in owners]

    async def clients(self, workspace: str) -> list[str]:
        members = await self._redis.smembers(self._keys.clients(workspace))
        return sorted(client.decode() for client in members)

    async def user_clients(self, user: str) -> list[str]:
        """Addresses of all clients of a user."""
        fields = [field.decode() for field in await self._redis.hkeys(self._keys.user(user))]
        return sorted(field for field in fields if "/" in field)


def _check_outcome(outcome: str, attachment: Attachment) -> None:
    if outcome == "online":
        raise StillOnline(f"The client {attachment.client!r} is connected already.")
    if outcome == "replaced":
        raise Replaced(
            f"Another program has connected as {attachment.client!r} since, and replaced this one; "
            "to run both, give each a client_id of its own."
        )
    if outcome == "taken":
        raise Conflict(
            f"A client {attachment.client!r} of somebody else is in workspace "
            f"{attachment.workspace.name!r} already; choose another client_id."
        )
