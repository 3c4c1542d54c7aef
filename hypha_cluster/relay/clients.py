"""A client's life on this node: attached, between two connections, gone (DESIGN 7)."""

import itertools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgpack

from hypha_cluster.access import Identity, Workspace
from hypha_cluster.protocol.envelope import pack
from hypha_cluster.relay.bus import Bus
from hypha_cluster.relay.connections import Connection, Connections, Socket
from hypha_cluster.relay.mailbox import Mailbox
from hypha_cluster.relay.router import Router
from hypha_cluster.store.registry import Attachment, Registry

_log = logging.getLogger(__name__)

LEAVING: Final = (1000, 1001)  # close codes by which a client says that it will not be back
GOING_AWAY: Final = 1012  # makes every release of the client come back at once (PROTOCOL 1.4)


class Admission(NamedTuple):
    """A client that may attach. workspace: to be made if it is not there, None: it must be."""

    identity: Identity
    workspace: str
    client: str
    new_workspace: Workspace | None
    resume: bool


@dataclass(frozen=True, slots=True)
class Terms:
    """What a connection is held to; sizes in bytes, times in seconds."""

    node: str
    max_message_size: int
    reconnect_grace: float


class Clients:
    """Attaches clients to this node, and detaches them."""

    def __init__(
        self,
        registry: Registry,
        bus: Bus,
        connections: Connections,
        router: Router,
        mailbox: Mailbox,
        terms: Terms,
    ) -> None:
        self._registry = registry
        self._bus = bus
        self._connections = connections
        self._router = router
        self._mailbox = mailbox
        self._terms = terms
        self._serial = itertools.count(1)

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
        address = f"{admission.workspace}/{admission.client}"
        attachment = Attachment(
            address=address,
            client=admission.client,
            workspace=admission.workspace,
            identity=admission.identity,
            owner=f"{self._terms.node}#{next(self._serial)}",
            node=self._terms.node,
        )
        claim = await self._registry.claim(
            attachment, admission.new_workspace, resume=admission.resume
        )
        connection = Connection(
            attachment,
            socket,
            claim.services,
            base_url=base_url,
            refresh_after=refresh_after,
            max_message_size=self._terms.max_message_size,
        )
        if claim.previous_owner:
            self._announce("ousted", address, claim.previous_owner)
        previous = self._connections.attach(connection)
        if previous is not None:
            self._oust(previous)
        try:
            await self._bus.join(address)
            await accept()
            connection.release(await self._mailbox.take(address))
        except BaseException:
            await self.detach(connection, code=GOING_AWAY)
            raise
        return connection

    async def detach(self, connection: Connection, code: int) -> None:
        """A connection is over; the client left if it said so, else its place is kept."""
        self._router.forget(connection)
        if not self._connections.detach(connection):
            return  # a newer connection of the same client has its place, here
        address, owner = connection.address, connection.attachment.owner
        self._bus.leave(address)
        if connection.is_ousted:
            return  # … or on another node
        if code in LEAVING and not connection.is_sent_away:
            await self._leave(address, owner)
        else:
            grace = self._terms.reconnect_grace
            await self._registry.suspend(address, owner=owner, grace=grace)

    async def _leave(self, address: str, owner: str) -> None:
        if await self._registry.leave(address, owner):
            self.announce_departure(address)

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
        elif kind == "ousted":
            connection = self._connections.get(address)
            if connection is not None and connection.attachment.owner == rest[0]:
                self._oust(connection)

    def on_restored(self) -> None:
        """Redis is back, and this node has joined all its addresses again."""

    def _oust(self, connection: Connection) -> None:
        """The client is attached elsewhere by now: end this connection, and clean up nothing."""
        _log.info("%s is attached anew; its old connection ends.", connection.address)
        connection.is_ousted = True
        connection.socket.close(GOING_AWAY, "attached elsewhere")

    def send_away(self, connection: Connection) -> None:
        """Ask a client to connect to another node; its place is kept."""
        connection.is_sent_away = True
        connection.socket.close(GOING_AWAY, "going away")
