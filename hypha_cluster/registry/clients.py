"""Clients: who is attached where, who is suspended, who has left."""

import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from hypha_cluster.errors import Conflict, HubError, InvalidToken, Replaced, StillOnline
from hypha_cluster.identity.access import Identity, Workspace
from hypha_cluster.links.client import RedisClient, Reply, settled
from hypha_cluster.protocol.address import workspace_of
from hypha_cluster.protocol.limits import AWAY_AFTER, LEFT_MEMORY
from hypha_cluster.registry.departed import Departure, Departures, Remains
from hypha_cluster.registry.encoding import Infos, flatten, pairs
from hypha_cluster.registry.keys import HOLDER, Keys
from hypha_cluster.registry.public import PublicListing, as_listed
from hypha_cluster.registry.scripts import Script
from hypha_cluster.registry.suspensions import Suspension, Suspensions, Tenure
from hypha_cluster.registry.workspaces import to_hash


class Attachment(NamedTuple):
    """A client's hold on its address.

    holder: unique to one connection. program: common to those that one run of a program opens, one
    after the other.
    """

    address: str
    client: str
    workspace: Workspace
    identity: Identity
    holder: str
    node: str
    patience: float = AWAY_AFTER  # seconds that it may be suspended before it counts as away
    program: str = ""


class ClaimMode(StrEnum):
    """Whom an address may be taken from."""

    NEW = "new"  # nobody, or the same user's client that is suspended
    RESUME = "resume"  # the same program, even if its old connection still looks open
    TAKE = "take"  # the same user's client, even if its connection looks open: it does not answer
    ASSERT = "assert"  # the connection itself, whose record may have been lost


class Previous(NamedTuple):
    """The connection that had an address before."""

    holder: str
    node: str


class Unsettled(NamedTuple):
    """Services of a client about which the public listing may be wrong, with what it should say."""

    address: str
    infos: Infos


class Claim(NamedTuple):
    """What came of claiming an address.

    notes, unsettled, inherited: what `noted` has yet to wait for, or do. inherited: the earlier
    holder, if it was another user of the same family.
    """

    resumed: bool
    previous: Previous | None
    services: Infos
    notes: Sequence[Reply[Any]] = ()
    unsettled: Unsettled | None = None
    inherited: Tenure | None = None


class ClientRegistry:
    """Changes the records of clients, by scripts that touch nothing of a newer holder's.

    on_departure: called with the address of each client that this node finds to have left for good.
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
        self.suspensions = Suspensions(redis, keys)
        self._departures = Departures(redis, keys, public, self.suspensions, on_departure)
        self._claim = Script(redis, "claim")
        self._leave = Script(redis, "leave")

    # The life of a client.

    async def claim(self, attachment: Attachment, mode: ClaimMode) -> Claim:
        """Take an address; make its workspace if it is not there. Await `noted` afterwards.

        A place that is kept for a user may be taken by others of the family: by a program that
        comes again with a new token, say. Raises Conflict when the address is another user's,
        StillOnline when it is the same user's and the mode does not take it, Replaced when a newer
        program has taken it, InvalidToken when the client has left. After RedisUnavailable the
        address may be taken all the same: then the caller has to suspend the client.
        """
        tenure, is_single = Tenure(attachment.address, attachment.holder), self._redis.is_single
        if not is_single:
            # The reaper has to know of the claim before it is made: a node may die at any moment.
            await self._redis.sadd(self._keys.node_clients(attachment.node), str(tenure))
        identity = json.dumps(attachment.identity.to_wire())
        answer = await self._ask_for(attachment, identity, mode)
        outcome = answer[0].decode()
        if outcome not in ("claimed", "resumed"):
            if not is_single:
                self.suspensions.forget(tenure)
            raise _refusal(outcome, attachment)
        holder, node, user = (answer[index].decode() for index in (1, 2, 5))
        many = answer[6]
        services = pairs(answer[7 + many :])
        unsettled = [service.decode() for service in answer[7 : 7 + many]]
        return Claim(
            outcome == "resumed",
            Previous(holder, node) if holder else None,
            services,
            self._note(attachment, identity, holder, (int(answer[3]), int(answer[4]))),
            _unsettled(attachment.address, unsettled, services),
            Tenure(attachment.address, holder)
            if user not in ("", attachment.identity.id)
            else None,
        )

    def _ask_for(self, attachment: Attachment, identity: str, mode: ClaimMode) -> Reply[list[Any]]:
        keys, address, workspace = self._keys, attachment.address, attachment.workspace.name
        return self._claim(
            keys=[
                keys.workspace(workspace),
                keys.clients(workspace),
                keys.client(address),
                keys.client_services(address),
                keys.services(workspace),
                keys.left(address),
                keys.unsettled(address),
                keys.departed(address),
                *(self._elsewhere(attachment) if self._redis.is_single else ()),
            ],
            args=[
                attachment.client,
                attachment.holder,
                attachment.node,
                attachment.identity.id,
                identity,
                mode,
                int(attachment.patience * 1000),
                attachment.program,
                attachment.identity.family,
                workspace,
                *flatten(to_hash(attachment.workspace)),
            ],
        )

    def _elsewhere(self, attachment: Attachment) -> tuple[str, str, str]:
        """Keys of other slots in which a claim is noted."""
        keys = self._keys
        user = keys.user(attachment.identity.id)
        return keys.node_clients(attachment.node), user, keys.workspaces()

    def _note(
        self, attachment: Attachment, identity: str, before: str, times: tuple[int, int]
    ) -> Sequence[Reply[Any]]:
        """Note a claim in other slots, and forget there what was before.

        before: the earlier holder. times: when the suspension was to end, and when the client was
        to count as away, in ms.
        """
        keys, redis, address = self._keys, self._redis, attachment.address
        end, away = times
        notes: list[Reply[Any]] = []
        if not redis.is_single:
            user = {"identity": identity, address: attachment.holder}
            notes.append(redis.hset(keys.user(attachment.identity.id), user))
            notes.append(redis.sadd(keys.workspaces(), attachment.workspace.name))
        if before not in ("", attachment.holder):
            notes.append(self.suspensions.forget(Tenure(address, before)))
        if end:
            notes += self.suspensions.over(address, end=end, away=away)
        return notes

    async def noted(self, claim: Claim) -> None:
        """Wait until a claim is noted in all slots, and finish what the earlier holder left."""
        await settled(claim.notes)
        if claim.unsettled is not None:
            await self._public.settle(*claim.unsettled)
        if claim.inherited is not None:
            await self.leave(*claim.inherited)  # only forgets the other user: the place is taken

    async def leave(self, address: str, holder: str) -> Departure | None:
        """Remove a client for good, if it still has the connection `holder`.

        Finishes its departure, and any that was begun earlier and not finished.
        """
        remains = await self._remove(address, holder)
        departure = next((each for each in remains.departures if each.holder == holder), None)
        if departure is None:
            await self.suspensions.forget(Tenure(address, holder))
        return departure

    async def expire(self, address: str, time: int) -> Departure | None:
        """Remove a client for good, if its suspension has ended.

        time: its entry in the list of suspended clients, in ms.
        """
        remains = await self._remove(address, "")
        if remains.end:  # the server of its workspace says that it is too early
            await self.suspensions.ended.put({address: remains.end})
        else:
            await self.suspensions.ended.done({address: time})
        return next(iter(remains.departures), None)

    async def _remove(self, address: str, holder: str) -> Remains:
        keys, workspace = self._keys, workspace_of(address)
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
                keys.client_public(address),
                keys.unsettled(address),
                keys.departed(address),
            ],
            args=[
                address[len(workspace) + 1 :],
                holder,
                keys.providers(workspace),
                int(LEFT_MEMORY * 1000),
            ],
        )
        remains = Remains.read(address, answer)
        await self._departures.finish(remains)
        return remains

    async def suspend(self, address: str, *, holder: str, grace: float) -> bool:
        """Keep a client's place for `grace` seconds, if it still has the connection `holder`.

        Say whether it was not suspended before.
        """
        tenure = Tenure(address, holder)
        (outcome,) = await self.suspensions.begin([tenure], grace=grace)
        if outcome is Suspension.ELSEWHERE:
            await self.suspensions.forget(tenure)
        return outcome is Suspension.DONE

    async def has_left(self, address: str) -> bool:
        """Whether a client said a moment ago that it leaves.

        A function of the client that is still running opens a connection for its next heartbeat,
        with the reconnection token; that must not count as a return.
        """
        return await self._redis.exists(self._keys.left(address))

    async def program_of(self, address: str) -> str:
        """The program that has an address; empty when nobody has it."""
        program = await self._redis.hget(self._keys.client(address), "program")
        return program.decode() if program else ""

    # Listings.

    async def holders(self, addresses: Sequence[str]) -> list[str | None]:
        """The connection that each client has, None for whoever is not known."""
        replies = [self._redis.hget(self._keys.client(each), HOLDER) for each in addresses]
        holders = await settled(replies)
        return [holder.decode() if holder is not None else None for holder in holders]

    async def clients(self, workspace: str) -> list[str]:
        members = await self._redis.smembers(self._keys.clients(workspace))
        return sorted(client.decode() for client in members)

    async def user_clients(self, user: str) -> list[str]:
        """Addresses of all clients of a user."""
        fields = [field.decode() for field in await self._redis.hkeys(self._keys.user(user))]
        return sorted(field for field in fields if "/" in field)


def has_left() -> InvalidToken:
    """The error for a reconnection token of a client that has said that it leaves."""
    return InvalidToken("This client has left; connect anew.")


def _unsettled(address: str, services: Sequence[str], infos: Infos) -> Unsettled | None:
    if not services:
        return None
    found = {service: infos.get(service, "{}") for service in services}
    return Unsettled(address, {service: as_listed(info) for service, info in found.items()})


def _refusal(outcome: str, attachment: Attachment) -> HubError:
    if outcome == "left":
        return has_left()
    if outcome == "online":
        return StillOnline(f"The client {attachment.client!r} is connected already.")
    if outcome == "replaced":
        return Replaced(
            f"Another program has connected as {attachment.client!r} since, and replaced this one; "
            "to run both, give each a client_id of its own."
        )
    return Conflict(
        f"A client {attachment.client!r} of somebody else is in workspace "
        f"{attachment.workspace.name!r} already; choose another client_id."
    )
