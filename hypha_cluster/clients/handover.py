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
from hypha_cluster.relay.events import ANSWER, MOVED, REQUEST, write_event

_log = logging.getLogger(__name__)


class Request(NamedTuple):
    """`asker`, a node, has got the address that `holder`, a connection, had until now.

    patience: seconds in which the holder may still answer what it was asked.
    """

    address: str
    holder: str
    asker: str
    patience: float = 0.0


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
        self._awaited: dict[str, asyncio.Future[bool]] = {}
        self._asked: dict[str, Request] = {}  # by holder: those that are to be confirmed
        self.requests: asyncio.Queue[Request] = asyncio.Queue()

    async def obtain(self, address: str, holder: str, node: str, *, patience: float = 0.0) -> bool:
        """Have a node give an address up; return when it has, or is dead, or does not answer.

        Returns whether it has. patience: seconds in which the holder may answer what it was asked.
        """
        given: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._awaited[holder] = given
        try:
            async with asyncio.timeout(HANDOVER + patience):
                self._ask(Request(address, holder, self.node, patience), node)
                return await given
        except TimeoutError:
            _log.warning("Node %s was asked for %s and does not answer.", node, address)
            return False
        finally:
            del self._awaited[holder]

    def _ask(self, request: Request, node: str) -> None:
        def on_not_taken(outcome: Outcome) -> None:  # there is no such node any more
            self._settle(request.holder, is_given=False)

        about = (request.address, request.holder, request.asker)
        event = write_event(REQUEST, *about)
        if request.patience:
            event = write_event(MOVED, *about, str(int(request.patience * 1000)))
        self._publisher.publish_to_node(node, event, on_not_taken)

    def take_request(self, request: Request) -> None:
        """Another node has an address by now: the connection of its last holder here has to go."""
        connection = self._connections.held_by(request.holder)
        if connection is None and not request.patience:
            self.confirm(request)
        elif connection is None:
            self._see_to(request)  # whoever waits for its answers is to be told
        elif connection.stage is Stage.ARRIVING and not self._connections.has(connection):
            connection.enter(Stage.CLOSING)  # a newer connection overtook it before it was LIVE
            self.confirm(request)
        else:
            self._see_to(request)

    def _see_to(self, request: Request) -> None:
        self._asked[request.holder] = request
        self.requests.put_nowait(request)

    def gave_way(self, holder: str) -> None:
        """Nothing is left of a connection: say so to the node that has asked for it, if one has."""
        if (request := self._asked.pop(holder, None)) is not None:
            self.confirm(request)

    def forget(self, request: Request) -> None:
        """What another node has asked for could not be done, unless it was."""
        self._asked.pop(request.holder, None)

    def confirm(self, request: Request) -> None:
        """Say that an address was given up."""
        self._on_given_up(request.address)
        self._publisher.publish_to_node(request.asker, write_event(ANSWER, request.holder))

    def take_answer(self, holder: str) -> None:
        """Another node has given up what it was asked for."""
        self._settle(holder, is_given=True)

    def _settle(self, holder: str, *, is_given: bool) -> None:
        given = self._awaited.get(holder)
        if given is not None and not given.done():
            given.set_result(is_given)
