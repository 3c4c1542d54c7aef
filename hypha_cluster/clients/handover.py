"""Nodes ask each other to give an address up, so that no frame is lost, doubled or overtaken.

A client may attach to a node while another node still has its old connection. The new node tells
the old one, which leaves the address, puts what came meanwhile at the front of the mailbox, and
answers. Only then does the new node join the address, and collect the mail.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple

from hypha_cluster.protocol.limits import HANDOVER
from hypha_cluster.relay.bus import Outcome, Publisher
from hypha_cluster.relay.connection import Stage
from hypha_cluster.relay.connections import Connections
from hypha_cluster.relay.events import ANSWER, REQUEST, write_event

_log = logging.getLogger(__name__)


class Request(NamedTuple):
    """`asker`, a node, has got the address that `holder`, a connection, had until now."""

    address: str
    holder: str
    asker: str


class Handover:
    """Asks and answers, for one node. requests: those of other nodes, to be answered.

    on_given_up: called with each address that another node has by now.
    """

    def __init__(
        self,
        node: str,
        publisher: Publisher,
        connections: Connections,
        on_given_up: Callable[[str], None] = lambda address: None,
    ) -> None:
        self.node = node
        self._on_given_up = on_given_up
        self._publisher = publisher
        self._connections = connections
        self._awaited: dict[str, asyncio.Future[None]] = {}
        self.requests: asyncio.Queue[Request] = asyncio.Queue()

    async def obtain(self, address: str, holder: str, node: str) -> None:
        """Have a node give an address up; return when it has, or is dead, or does not answer."""
        given = self._awaited[holder] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(HANDOVER):
                self._ask(address, holder, node)
                await given
        except TimeoutError:
            _log.warning("Node %s was asked for %s and does not answer.", node, address)
        finally:
            del self._awaited[holder]

    def _ask(self, address: str, holder: str, node: str) -> None:
        def on_not_taken(outcome: Outcome) -> None:  # there is no such node any more
            self.take_answer(holder)

        event = write_event(REQUEST, address, holder, self.node)
        self._publisher.publish_to_node(node, event, on_not_taken)

    def take_request(self, request: Request) -> None:
        """Another node has an address by now: the connection of its last holder here has to go."""
        connection = self._connections.held_by(request.holder)
        if connection is None:
            self.confirm(request)
        elif connection.stage is Stage.ARRIVING and not self._connections.has(connection):
            connection.enter(Stage.CLOSING)  # a newer connection overtook it before it was LIVE
            self.confirm(request)
        else:
            self.requests.put_nowait(request)

    def confirm(self, request: Request) -> None:
        """Say that an address was given up."""
        self._on_given_up(request.address)
        self._publisher.publish_to_node(request.asker, write_event(ANSWER, request.holder))

    def take_answer(self, holder: str) -> None:
        """Another node has given up what it was asked for."""
        given = self._awaited.get(holder)
        if given is not None and not given.done():
            given.set_result(None)
