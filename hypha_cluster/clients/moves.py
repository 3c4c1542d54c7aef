"""The page of an app in the place of another one, whose runner stops: a planned move.

The page before gets no more calls, and answers those that it has; then the next one has its place.
"""

import asyncio
import time
from typing import Final

from hypha_cluster.clients.handover import Handover, Request
from hypha_cluster.clients.places import Places
from hypha_cluster.clients.presence import Presence
from hypha_cluster.identity.tokens import is_page_of_app
from hypha_cluster.registry.clients import Previous
from hypha_cluster.relay.connection import Clock, Connection
from hypha_cluster.relay.connections import Connections
from hypha_cluster.relay.ledger import Ledger

_ANSWERING: Final = 0.02  # seconds between two looks whether a page has answered


class PlannedMoves:
    """Waits until pages have answered, on both nodes of a move."""

    def __init__(
        self,
        places: Places,
        connections: Connections,
        ledger: Ledger,
        presence: Presence,
        handover: Handover,
        clock: Clock = time.monotonic,
    ) -> None:
        self._places = places
        self._connections = connections
        self._ledger = ledger
        self._presence = presence
        self._handover = handover
        self._clock = clock

    def follow(self, connection: Connection, *, is_new: bool) -> None:
        """Note what the page of an app has to answer. is_new: none of that is of the one before."""
        if is_new:
            self._ledger.unfollow(connection.address)
        if is_page_of_app(connection.attachment.identity):
            self._ledger.follow(connection.address)

    async def wait_for_answers(
        self, address: str, previous: Previous | None, patience: float
    ) -> None:
        """Wait until the page before has answered what it was asked; here, or at another node.

        What comes meanwhile waits in the mailbox, for the next one. If it does not answer all of it
        in time, whoever waits for an answer is told that there will be none.
        """
        if previous is None:
            return
        node, here = previous.node, self._connections.get(address)
        if here is not None or node == self._handover.node:
            has_answered = here is not None and await self._has_answered(here, patience)
        else:  # which tells them by itself, unless it is lost
            holder = previous.holder
            has_answered = await self._handover.obtain(address, holder, node, patience=patience)
            if not has_answered:  # perhaps it did not hear that; it is to hear no calls, either
                await self._handover.obtain(address, holder, node)
        if not has_answered:
            self._presence.announce_replacement(address)

    async def let_answer(self, connection: Connection | None, request: Request) -> None:
        """The same for the page before, which was here: its next one comes in at another node."""
        if connection is None or not await self._has_answered(connection, request.patience):
            self._presence.announce_replacement(request.address)

    async def _has_answered(self, connection: Connection, patience: float) -> bool:
        """Have a client get nothing more; say whether it answers in time what it has got."""
        await self._places.set_aside(connection)
        end = self._clock() + patience
        while self._ledger.owes(connection.address):
            if self._clock() > end:
                return False
            await asyncio.sleep(_ANSWERING)
        return not connection.is_ending  # with whose end it is forgotten what it owes
