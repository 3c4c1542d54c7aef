"""A client's life on this node: attached, between two connections, gone (DESIGN 7)."""

import asyncio
import contextlib
import itertools
import logging
import secrets
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgpack

from hypha_cluster.clients.handover import ANSWER, REQUEST, Handover, Request
from hypha_cluster.clients.mail import Mail
from hypha_cluster.clients.presence import LEFT, MISJUDGED, Presence
from hypha_cluster.errors import (
    ClientLeft,
    Conflict,
    HubError,
    Replaced,
    StillOnline,
)
from hypha_cluster.hub.answering import HubClient
from hypha_cluster.hub.calling import HubCalls
from hypha_cluster.identity.access import Identity, Workspace
from hypha_cluster.links.recovery import Recovery
from hypha_cluster.metrics import Counts
from hypha_cluster.protocol.address import workspace_of
from hypha_cluster.protocol.envelope import pack
from hypha_cluster.registry.clients import (
    PATIENCE,
    Attachment,
    Claim,
    ClaimMode,
    ClientRegistry,
    Previous,
)
from hypha_cluster.registry.mailboxes import Mailboxes
from hypha_cluster.registry.services import RecentlyFound, Services
from hypha_cluster.relay.connections import Connection, Connections, Socket
from hypha_cluster.relay.delivery import Delivery
from hypha_cluster.relay.ledger import Ledger
from hypha_cluster.relay.listener import Listener
from hypha_cluster.relay.publisher import Publisher
from hypha_cluster.supervision import Supervisor, Tasks

_log = logging.getLogger(__name__)

# Pages come back when they next refresh their connection info (DESIGN 7).
PAGE_PATIENCE: Final = 25.0  # seconds
HEARING: Final = 0.4  # seconds to read what a client has sent that is gone already
SETTLING: Final = 0.02  # seconds until a browser has told a page that its connection is over
LEAVING: Final = (1000, 1001)  # close codes by which a client says that it will not be back
# With any other code, releases up to 0.5.31 would open one more, and oust themselves for ever.
SUPERSEDED: Final = 1000
GOING_AWAY: Final = 1012  # makes every release of the client come back at once (PROTOCOL 1.4)


class Admission(NamedTuple):
    """A client that may attach. program: the one that had the address, as it has proved."""

    identity: Identity
    workspace: Workspace
    client: str
    program: str = ""


class Stores(NamedTuple):
    """What Redis keeps of clients."""

    registry: ClientRegistry
    services: Services
    recent: RecentlyFound
    mailboxes: Mailboxes


class Relay(NamedTuple):
    """What a client's life here has to do with the relay."""

    publisher: Publisher
    listener: Listener
    recovery: Recovery
    connections: Connections
    delivery: Delivery
    ledger: Ledger
    counts: Counts


@dataclass(frozen=True, slots=True)
class Terms:
    """What a connection is held to; sizes in bytes, times in seconds."""

    node: str
    max_message_size: int
    reconnect_grace: float


class ClientLife:
    """Attaches clients to this node, and detaches them."""

    def __init__(
        self,
        stores: Stores,
        relay: Relay,
        hub: HubClient,
        calls: HubCalls,
        terms: Terms,
        supervisor: Supervisor,
    ) -> None:
        self._connections, self._delivery, self._ledger = relay[3:6]
        self._listener, self._recovery, self._counts = relay.listener, relay.recovery, relay.counts
        self._registry, services, self._recent, mailboxes = stores
        self.mail = Mail(mailboxes, self._connections, self._delivery)
        grace = terms.reconnect_grace
        self.presence = Presence(self._registry, services, relay.publisher, self._counts, grace)
        self._hub = hub
        self._calls = calls
        self._terms = terms
        # A node that is started again under its name must not be taken for the one before.
        self._epoch = secrets.token_hex(4)
        self._serial = itertools.count(1)
        self._detaching = Tasks(supervisor)
        self._handing_over = Tasks(supervisor)
        self._handover = Handover(terms.node, relay.publisher)
        # Owners whose claims are on their way, those of them that are outdated, and who is leaving.
        self._arriving: set[str] = set()
        self._outrun: set[str] = set()
        self._leaving: set[str] = set()
        # One connection of a client comes or goes at a time.
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def attach(
        self,
        admission: Admission,
        socket: Socket,
        accept: Callable[[], Awaitable[None]],
        *,
        base_url: str,
        refresh_after: float,
    ) -> Connection:
        """Take the address, subscribe, accept; then deliver what waited, then go live.

        Raises Conflict when another client has the address, and what Redis's absence raises.
        """
        attachment = self._attachment(admission, PAGE_PATIENCE if refresh_after else PATIENCE)
        self._arriving.add(attachment.owner)
        try:
            claim = await self._claim(attachment, admission)
            connection = Connection(
                attachment,
                socket,
                claim.services,
                base_url=base_url,
                refresh_after=refresh_after,
                max_message_size=self._terms.max_message_size,
            )
            async with self._lock(attachment.address):
                await self._open(connection, claim, accept)
        finally:
            self._arriving.discard(attachment.owner)
            self._outrun.discard(attachment.owner)
        connection.is_amnesic = bool(admission.program) and not claim.resumed
        self._counts.attached += 1
        self._counts.resumed += claim.resumed
        _log.info("%s %s.", attachment.address, "is back" if claim.resumed else "is attached")
        return connection

    async def _open(
        self, connection: Connection, claim: Claim, accept: Callable[[], Awaitable[None]]
    ) -> None:
        if connection.attachment.owner in self._outrun:
            await accept()
            self._oust(connection)
            return
        self._arriving.discard(connection.attachment.owner)
        previous = self._connections.attach(connection)
        try:
            if previous is not None:
                self._oust(previous)
                await self._hear_out(previous)
            if claim.previous is not None:
                await self._obtain(connection.address, claim.previous)
            await self._listener.join(connection.address)
            await self._registry.noted(claim)
            await accept()
            await self._go_live(connection, is_back=claim.resumed)
        except BaseException:
            await self._end(connection, code=GOING_AWAY)
            raise

    async def _go_live(self, connection: Connection, *, is_back: bool) -> None:
        """Deliver the mail once all that was sent before is in it, or has come here."""
        address = connection.address
        if is_back:
            echoed = self._listener.echoed(address)
            mail, _ = await asyncio.gather(self.mail.collect(address), echoed)
        else:
            mail = await self.mail.collect(address)
        self._delivery.deliver(connection, mail)

    async def _obtain(self, address: str, previous: Previous) -> None:
        if previous.node != self._terms.node:
            await self._handover.obtain(address, previous.owner, previous.node)

    def _lock(self, address: str) -> asyncio.Lock:
        return self._locks.setdefault(address, asyncio.Lock())

    def _attachment(self, admission: Admission, patience: float) -> Attachment:
        workspace = admission.workspace
        return Attachment(
            address=f"{workspace.name}/{admission.client}",
            client=admission.client,
            workspace=workspace,
            identity=admission.identity,
            owner=f"{self._terms.node}#{self._epoch}.{next(self._serial)}",
            node=self._terms.node,
            program=admission.program or secrets.token_hex(8),
            patience=patience,
        )

    async def _claim(self, attachment: Attachment, admission: Admission) -> Claim:
        mode = ClaimMode.RESUME if admission.program else ClaimMode.NEW
        try:
            return await self._claim_unless_taken(attachment, mode)
        except Conflict:
            raise
        except BaseException:
            # It may have been done all the same, and nobody would undo it.
            self.presence.suspend_later(attachment)
            raise

    async def _claim_unless_taken(self, attachment: Attachment, mode: ClaimMode) -> Claim:
        try:
            return await self._registry.claim(attachment, mode)
        except Replaced:
            raise
        except Conflict as conflict:
            # Who has the address may be leaving just now, or be gone without that being noticed.
            if await self._calls.is_alive(attachment.address):
                raise
            is_own = isinstance(conflict, StillOnline)
            return await self._registry.claim(attachment, ClaimMode.TAKE if is_own else mode)

    def refused(self, error: HubError) -> None:
        """Somebody was not let in, or is put off."""
        self._counts.refusals[type(error).__name__] += 1

    def detach_soon(self, connection: Connection, code: int) -> None:
        """Detach a connection that nobody waits for."""
        self._detaching.spawn("detach", self.detach(connection, code), detail=connection.address)

    async def stop(self) -> None:
        """Wait until whatever is over is also detached."""
        await self._handing_over.stop()
        await self._detaching.settled()

    async def detach(self, connection: Connection, code: int) -> None:
        """A connection is over; the client left if it said so, else its place is kept."""
        connection.over.set()
        async with self._lock(connection.address):
            await self._end(connection, code)

    async def _end(self, connection: Connection, code: int) -> None:
        if not self._connections.detach(connection):
            return  # a newer connection of the same client has its place, here or elsewhere
        try:
            await self._vacate(connection)
        finally:  # whatever went wrong, nobody is to be said to be here who is not
            if code in LEAVING and not connection.is_sent_away:
                await self.presence.leave(connection.attachment)
            else:
                await self.presence.suspend(connection.attachment)

    async def _vacate(self, connection: Connection) -> None:
        """Hear the address no more; what still came goes before what has come to its mailbox.

        So do the calls that the client waits for, for the node where it will be.
        """
        address, owner = connection.address, connection.attachment.owner
        self._leaving.add(owner)
        try:
            arrived, held = connection.go_live()
            frames = [*arrived, *held, *await self._listener.leave(address)]
            self._hub.forget(address)
            if calls := self._ledger.forget(address):
                frames.append(pack([(target, call.session, call.reject) for target, call in calls]))
            await self.mail.put_back(address, frames)
        finally:
            self._leaving.discard(owner)

    async def expel(self, connection: Connection) -> None:
        """Have a client leave that may not be here, even if it does not answer the close."""
        async with self._lock(connection.address):
            connection.socket.close(SUPERSEDED, "not admitted any more")
            await self._end(connection, SUPERSEDED)
        await asyncio.sleep(HEARING)
        connection.socket.abort()

    async def run(self) -> None:
        """Give up addresses that other nodes have got, for as long as this node lives."""
        while True:
            request = await self._handover.requests.get()
            self._handing_over.spawn("hand over", self._hand_over(request), detail=request.address)

    def _take_request(self, request: Request) -> None:
        if self._has(request) is not None or request.owner in self._leaving:
            self._handover.requests.put_nowait(request)
            return
        if request.owner in self._arriving:
            self._outrun.add(request.owner)
        self._handover.confirm(request)

    def _has(self, request: Request) -> Connection | None:
        connection = self._connections.get(request.address)
        is_meant = connection is not None and connection.attachment.owner == request.owner
        return connection if is_meant else None

    async def _hand_over(self, request: Request) -> None:
        connection = self._has(request)
        if connection is not None and connection.is_sent_away:
            await self._hear_out(connection)
        async with self._lock(request.address):  # until it has gone that is just going
            if connection is not None:
                await self._yield(connection)
        if connection is not None:
            await self._hear_out(connection)
        self._handover.confirm(request)

    async def _hear_out(self, connection: Connection) -> None:
        """Wait for the end of a connection that was told to go: it may hold frames of the client's.

        The client sends the next ones by another connection, where they must not come before. A
        page that had both, and saw the end of the old one last, would not use the new one.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(connection.over.wait(), HEARING)
            if connection.refresh_after:
                await asyncio.sleep(SETTLING)

    async def _yield(self, connection: Connection) -> None:
        """Let another connection of the client have the address, in the order of its frames."""
        if self._connections.detach(connection):
            self._oust(connection)
            await self._vacate(connection)

    def on_event(self, payload: bytes) -> None:
        """Take what a node has announced, to all or to this one."""
        kind, *what = msgpack.unpackb(payload)
        if kind == LEFT:
            self._recent.forget(workspace_of(what[0]))
            self._target_left(*what)
        elif kind == MISJUDGED and what == [self._terms.node]:
            self._recovery.doubt()
        elif kind == REQUEST:
            self._take_request(Request(*what))
        elif kind == ANSWER:
            self._handover.on_answer(*what)

    def _target_left(self, address: str) -> None:
        error = ClientLeft(f"Client {address} left before it answered.")
        self._delivery.target_left(address, error)
        self._hub.target_left(address, error)

    async def reassert(self) -> None:
        """Say again who is attached here and what they offer: Redis may have lost it."""
        for connection in self._connections:
            if not connection.is_sent_away:
                await self._reassert(connection)

    async def _reassert(self, connection: Connection) -> None:
        try:
            await self.presence.assert_again(connection)
        except (Conflict, ClientLeft):
            async with self._lock(connection.address):
                await self._yield(connection)

    def _oust(self, connection: Connection) -> None:
        """The client is attached anew by now: end this connection, and clean up nothing."""
        _log.info(
            "%s is attached anew; its old connection ends.",
            connection.address,
            extra={"client": connection.address},
        )
        self._counts.ousted += 1
        connection.socket.close(SUPERSEDED, "attached elsewhere")

    async def set_aside(self, connection: Connection) -> None:
        """Have frames for a client go to its mailbox, though it is still here and is heard."""
        async with self._lock(connection.address):
            connection.is_sent_away = True
            self._counts.sent_away += 1
            for frame in await self._listener.leave(connection.address):
                connection.send(frame)
            await self.presence.suspend(connection.attachment)
