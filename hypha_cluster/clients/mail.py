"""What waits for clients that are suspended, as this node collects and returns it."""

from collections.abc import Sequence

from hypha_cluster.errors import ClientNotFound, HubError, RedisUnavailable
from hypha_cluster.protocol.envelope import is_frame
from hypha_cluster.registry.mailboxes import CALL, Mailboxes, Marked
from hypha_cluster.relay.bus import Outcome
from hypha_cluster.relay.connections import Connections
from hypha_cluster.relay.delivery import Delivery
from hypha_cluster.relay.events import read_unseen


class Mail:
    """Keeps the order of frames between the bus, the mailbox, and the clients of this node."""

    def __init__(self, mailboxes: Mailboxes, connections: Connections, delivery: Delivery) -> None:
        self._mailboxes = mailboxes
        self._connections = connections
        self._delivery = delivery

    async def collect(self, address: str) -> list[bytes]:
        """What is in the mailbox of a client that has just been attached here."""
        return await self._mailboxes.take(address)

    async def collect_missed(self, address: str) -> list[bytes]:
        """What came for a client here while this node could not hear it."""
        connection = self._connections.get(address)
        if connection is None or not connection.takes_from_bus:
            return []  # a client that arrives collects its mail itself, here or elsewhere
        return await self._mailboxes.take(address)

    async def put_back(self, address: str, frames: Sequence[bytes]) -> None:
        """Put frames for a client that has gone before its later mail, or reject them."""
        marked = [self._delivery.marked(frame) for frame in frames]
        error: HubError = ClientNotFound.at(address)
        outcome = Outcome.NOBODY
        rejected: Sequence[Marked] = marked
        try:
            rejected = await self._mailboxes.put_back(address, marked)
        except RedisUnavailable as unavailable:
            error, outcome = unavailable, Outcome.UNAVAILABLE
        self._came_to_nothing(address, rejected, outcome, error)

    async def recover(self) -> None:
        """Put back mail that Redis handed out and that never arrived; to be called now and then."""
        for address, frames in await self._mailboxes.recover():
            error = ClientNotFound.at(address)
            self._came_to_nothing(address, frames, Outcome.NOBODY, error)

    def _came_to_nothing(
        self, address: str, frames: Sequence[Marked], outcome: Outcome, error: HubError
    ) -> None:
        lost = 0
        for each in frames:
            if each.mark == CALL:
                self._delivery.reject_mailed(address, each.frame, error)
            else:  # a call that a stream may have lost may have come too, and be under way
                lost += is_frame(each.frame) or read_unseen(each.frame) is not None
        if lost:
            self._delivery.rejects.lost(address, outcome, error, lost)

    async def give_up_calls(self) -> None:
        """Reject calls in the mailboxes of clients that are away; to be called now and then."""
        for address, calls in await self._mailboxes.give_up_calls():
            for frame in calls:
                self._delivery.reject_mailed(address, frame)
