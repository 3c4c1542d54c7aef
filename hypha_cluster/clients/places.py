"""The places of clients on this node: who comes or goes there, and how an address is left."""

import asyncio
import weakref
from collections.abc import Sequence
from typing import NamedTuple

from hypha_cluster.clients.mail import Mail
from hypha_cluster.clients.presence import Presence
from hypha_cluster.hub.answering import HubClient
from hypha_cluster.hub.chunk_relay import ChunkRelay
from hypha_cluster.identity.tokens import is_page_of_app
from hypha_cluster.metrics import Counts
from hypha_cluster.relay.bus import Listener, Outcome
from hypha_cluster.relay.connection import Connection, Stage
from hypha_cluster.relay.connections import Connections
from hypha_cluster.relay.delivery import Delivery
from hypha_cluster.relay.events import write_calls
from hypha_cluster.relay.ledger import Ledger


class Relay(NamedTuple):
    """The parts of the relay that a client's life here needs."""

    listener: Listener
    connections: Connections
    delivery: Delivery
    ledger: Ledger
    counts: Counts
    chunk_relay: ChunkRelay


class Places:
    """Says who may come or go now; has frames for whoever goes wait in the mailbox."""

    def __init__(self, relay: Relay, hub: HubClient, presence: Presence, mail: Mail) -> None:
        self._listener, self._connections, self._delivery = relay[:3]
        self._ledger, self._counts, self._chunk_relay = relay[3:]
        self._hub = hub
        self._presence = presence
        self._mail = mail
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    def lock(self, address: str) -> asyncio.Lock:
        """Held while a connection of this client comes or goes: one does so at a time."""
        return self._locks.setdefault(address, asyncio.Lock())

    async def set_aside(self, connection: Connection) -> None:
        """Have frames for a client go to its mailbox, while what it sends is still routed.

        Does nothing when the connection is not LIVE any more.
        """
        async with self.lock(connection.address):
            if connection.stage is not Stage.LIVE:
                return
            connection.enter(Stage.SET_ASIDE)
            self._counts.set_aside += 1
            for frame in await self._listener.leave(connection.address):
                self._delivery.receive(connection.address, frame)
            await self._presence.suspend(connection.attachment)

    async def vacate(self, connection: Connection) -> None:
        """Leave the address; put the frames that still came at the front of its mailbox.

        Before them go what the client may not have got by its stream, and the list of the calls
        that it waits for, for the node where it will be: answers may be among those frames.
        """
        address = connection.address
        try:
            came_after = await self._listener.leave(address)
            from_bus, local = connection.take_waiting()
            self._hub.forget(connection.address)
            self._chunk_relay.forget(connection)
            if is_page_of_app(connection.attachment.identity):
                self._ledger.unfollow(address)
            if calls := self._ledger.forget(address):
                waiting = [(target, call.session, call.reject) for target, call in calls]
                from_bus.insert(0, write_calls(waiting))
            unseen = self._mailed(connection) if connection.socket.tail is not None else ()
            await self._mail.put_back(address, [*unseen, *from_bus, *local, *came_after])
        finally:
            self._connections.forget(connection)

    def _mailed(self, connection: Connection) -> Sequence[bytes]:
        """What the client may not have got, unless it has spent what it may put into mailboxes."""
        unseen, full = connection.take_unseen(), Outcome.MAILBOX_FULL
        if not unseen:
            return ()
        if (refusal := connection.mail.refusal()) is not None:
            self._delivery.rejects.lost(connection.address, full, refusal, len(unseen))
            return ()
        connection.mail.spend(sum(map(len, unseen)))
        return unseen
