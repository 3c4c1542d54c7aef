"""A client's life on this node: attached, between two connections, gone (DESIGN 7)."""

import asyncio
import itertools
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgpack

from hypha_cluster.access import Identity, Workspace
from hypha_cluster.errors import ClientLeft, Conflict, RelayUnavailable, StillOnline
from hypha_cluster.protocol.envelope import pack
from hypha_cluster.relay.bus import Bus
from hypha_cluster.relay.connections import Connection, Socket
from hypha_cluster.relay.peer import Peer
from hypha_cluster.relay.router import Router
from hypha_cluster.store.registry import PATIENCE, Attachment, Claim, ClaimMode, Registry
from hypha_cluster.store.services import Services

_log = logging.getLogger(__name__)

# Pages come back when they next refresh their connection info (DESIGN 7).
PAGE_PATIENCE: Final = 25.0  # seconds
MIN_AGE: Final = 5.0  # seconds; a Python client closed sooner may spin for good (PROTOCOL 1.3)
QUIET: Final = 0.1  # seconds without a frame, after which a client is taken to be waiting
QUIET_PATIENCE: Final = 2.0  # seconds to wait for that
BUSY_PATIENCE: Final = 5.0  # seconds to wait for the end of what cannot be moved
LEAVING: Final = (1000, 1001)  # close codes by which a client says that it will not be back
# With any other code, releases up to 0.5.31 would open one more, and oust themselves for ever.
SUPERSEDED: Final = 1000
GOING_AWAY: Final = 1012  # makes every release of the client come back at once (PROTOCOL 1.4)


class Admission(NamedTuple):
    """A client that may attach. has_token: it proved to be the one that had the address."""

    identity: Identity
    workspace: Workspace
    client: str
    has_token: bool


@dataclass(frozen=True, slots=True)
class Terms:
    """What a connection is held to; sizes in bytes, times in seconds."""

    node: str
    max_message_size: int
    reconnect_grace: float


End = Callable[[Attachment], Awaitable[None]]


class Clients:
    """Attaches clients to this node, and detaches them."""

    def __init__(
        self,
        registry: Registry,
        services: Services,
        bus: Bus,
        router: Router,
        peer: Peer,
        terms: Terms,
    ) -> None:
        self._counts = router.counts
        self._registry = registry
        self._services = services
        self._bus = bus
        self._connections = router.connections
        self._router = router
        self._peer = peer
        self._terms = terms
        # A node that is started again under its name must not be taken for the one before.
        self._epoch = secrets.token_hex(4)
        self._serial = itertools.count(1)
        self._unfinished: list[tuple[Attachment, End]] = []
        self._detaching: set[asyncio.Task[None]] = set()
        # Set when Redis may have lost, or got wrong, who is attached here.
        self.forgotten = asyncio.Event()

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
        try:
            claim = await self._claim(attachment, admission)
        except RelayUnavailable:
            # It may have been done all the same, and nobody would undo it.
            self._unfinished.append((attachment, self._suspend))
            raise
        connection = Connection(
            attachment,
            socket,
            claim.services,
            base_url=base_url,
            refresh_after=refresh_after,
            max_message_size=self._terms.max_message_size,
        )
        if claim.previous_owner:
            self._announce("ousted", attachment.address, claim.previous_owner)
        previous = self._connections.attach(connection)
        if previous is not None:
            self._oust(previous)
        try:
            await self._bus.join(attachment.address)
            await accept()
            connection.release(await self._registry.take_mail(attachment.address))
        except BaseException:
            await self.detach(connection, code=GOING_AWAY)
            raise
        connection.is_amnesic = admission.has_token and not claim.resumed
        self._counts.attached += 1
        self._counts.resumed += claim.resumed
        _log.info("%s %s.", attachment.address, "is back" if claim.resumed else "is attached")
        return connection

    def _attachment(self, admission: Admission, patience: float) -> Attachment:
        workspace = admission.workspace
        return Attachment(
            address=f"{workspace.name}/{admission.client}",
            client=admission.client,
            workspace=workspace,
            identity=admission.identity,
            owner=f"{self._terms.node}#{self._epoch}.{next(self._serial)}",
            node=self._terms.node,
            patience=patience,
        )

    async def _claim(self, attachment: Attachment, admission: Admission) -> Claim:
        mode = ClaimMode.RESUME if admission.has_token else ClaimMode.NEW
        try:
            return await self._registry.claim(attachment, mode)
        except StillOnline:
            # A client without a token may come back before its old connection was found broken.
            if await self._peer.is_alive(attachment.address):
                raise
            return await self._registry.claim(attachment, ClaimMode.RESUME)

    def detach_soon(self, connection: Connection, code: int) -> None:
        """Detach a connection that nobody waits for."""
        task = asyncio.get_running_loop().create_task(self.detach(connection, code))
        self._detaching.add(task)
        task.add_done_callback(self._detaching.discard)

    async def stop(self) -> None:
        """Wait until whatever is over is also detached."""
        await asyncio.gather(*self._detaching, return_exceptions=True)

    async def detach(self, connection: Connection, code: int) -> None:
        """A connection is over; the client left if it said so, else its place is kept."""
        if not self._connections.detach(connection):
            return  # a newer connection of the same client has its place, here
        self._router.forget(connection)
        if not connection.is_sent_away:
            await self._bus.leave(connection.address)
        if connection.is_ousted:
            return  # … or on another node
        if code in LEAVING and not connection.is_sent_away:
            await self._finish(connection.attachment, self._leave)
        else:
            await self._finish(connection.attachment, self._suspend)

    async def _finish(self, attachment: Attachment, end: End) -> None:
        """Tell Redis how a connection ended, if need be when it is back."""
        try:
            await end(attachment)
        except RelayUnavailable as error:
            _log.warning("The end of %s is not told yet: %s", attachment.address, error)
            self._unfinished.append((attachment, end))

    async def finish(self) -> None:
        """Tell Redis what it could not be told before; to be called now and then."""
        unfinished, self._unfinished = self._unfinished, []
        for attachment, end in unfinished:
            await self._finish(attachment, end)

    async def _suspend(self, attachment: Attachment) -> None:
        done = await self._registry.suspend(
            attachment.address, owner=attachment.owner, grace=self._terms.reconnect_grace
        )
        self._counts.suspended += done
        if done:
            _log.info(
                "%s is between two connections.",
                attachment.address,
                extra={"client": attachment.address},
            )

    async def _leave(self, attachment: Attachment) -> None:
        if await self._registry.leave(attachment.address, attachment.owner):
            self._counts.left += 1
            _log.info("%s has left.", attachment.address, extra={"client": attachment.address})
            self.announce_departure(attachment.address)

    async def give_up_calls(self) -> None:
        """Reject calls that wait for clients which stay away; to be called now and then."""
        for address, calls in await self._registry.give_up_calls():
            for frame in calls:
                self._router.give_up(address, frame)

    def announce_misjudgement(self, node: str) -> None:
        """Tell a node that was taken to be dead to say again who is attached to it."""
        self._announce("misjudged", node)

    def announce_departure(self, address: str) -> None:
        """Tell all nodes that a client is gone for good: calls to it end now."""
        self._announce("left", address)

    def _announce(self, kind: str, *what: str) -> None:
        self._bus.announce(pack([kind, *what]))

    def on_event(self, payload: bytes) -> None:
        """Take what a node has announced."""
        kind, address, *rest = msgpack.unpackb(payload)
        if kind == "left":
            self._router.target_left(address)
        elif kind == "misjudged" and address == self._terms.node:
            self.forgotten.set()
        elif kind == "ousted":
            connection = self._connections.get(address)
            if connection is not None and connection.attachment.owner == rest[0]:
                self._oust(connection)

    async def reassert(self) -> None:
        """Say again who is attached here and what they offer: Redis may have lost it."""
        for connection in self._connections:
            if not (connection.is_sent_away or connection.is_ousted):
                await self._reassert(connection)

    async def _reassert(self, connection: Connection) -> None:
        attachment = connection.attachment
        try:
            await self._registry.claim(attachment, ClaimMode.ASSERT)
            await self._services.register(attachment, connection.services)
        except (Conflict, ClientLeft):
            self._oust(connection)

    async def collect_mail(self, address: str) -> list[bytes]:
        """What came for a client here while this node could not hear it."""
        connection = self._connections.get(address)
        if connection is None or connection.held is not None:
            return []  # it collects its mail itself when it is attached
        return await self._registry.take_mail(address)

    def _oust(self, connection: Connection) -> None:
        """The client is attached elsewhere by now: end this connection, and clean up nothing."""
        _log.info(
            "%s is attached anew; its old connection ends.",
            connection.address,
            extra={"client": connection.address},
        )
        connection.is_ousted = True
        self._counts.ousted += 1
        connection.socket.close(SUPERSEDED, "attached elsewhere")

    async def send_away(self, connection: Connection) -> None:
        """Have a client connect to another node, without losing a frame to or from it.

        First frames for it go to its mailbox (starve); when it has been quiet for a moment, which
        it is once it has answered what it had and waits for replies itself, it is told to go.
        """
        await self._wait_until(connection, lambda: self._is_idle(connection), BUSY_PATIENCE)
        if not self._is_here(connection):
            return
        connection.is_sent_away = True
        self._counts.sent_away += 1
        await self._bus.leave(connection.address)
        await self._finish(connection.attachment, self._suspend)  # so that others are preferred
        await self._wait_until(connection, lambda: connection.quiet_for() > QUIET, QUIET_PATIENCE)
        connection.socket.close(GOING_AWAY, "going away")

    def _is_idle(self, connection: Connection) -> bool:
        """Old enough to be closed, and not in the middle of what only this node can end."""
        if connection.age() < MIN_AGE or len(connection.chunks):
            return False
        return not self._peer.is_serving(connection.address)

    async def _wait_until(
        self, connection: Connection, reached: Callable[[], bool], patience: float
    ) -> None:
        deadline = time.monotonic() + patience + max(0.0, MIN_AGE - connection.age())
        # Looked at now and then, so that nothing on the path of a frame has to signal it.
        while not reached() and self._is_here(connection):
            if time.monotonic() > deadline:
                return
            await asyncio.sleep(QUIET / 4)

    def _is_here(self, connection: Connection) -> bool:
        return self._connections.get(connection.address) is connection
