"""Nodes ask each other to give an address up, so that no frame is lost, doubled or overtaken.

A client may attach to a node while another one still takes it to be its own. The new node says so
to the other, which hears the address no more, puts what came meanwhile before its mail, and
answers. Only then does the new node listen, and collect that mail.
"""

import asyncio
import logging
from typing import Final, NamedTuple

from hypha_cluster.protocol.envelope import pack
from hypha_cluster.relay.publisher import Outcome, Publisher

_log = logging.getLogger(__name__)

REQUEST: Final = "ousted"
ANSWER: Final = "handed over"
PATIENCE: Final = 1.0  # seconds to wait for a node that listens, but does not answer


class Request(NamedTuple):
    """`asker`, a node, has got the address that `owner`, a connection, had until now."""

    address: str
    owner: str
    asker: str


class Handover:
    """Both sides of it, for one node. `requests` are those of other nodes, to be answered."""

    def __init__(self, node: str, publisher: Publisher) -> None:
        self._node = node
        self._publisher = publisher
        self._awaited: dict[str, asyncio.Future[None]] = {}
        self.requests: asyncio.Queue[Request] = asyncio.Queue()

    async def obtain(self, address: str, owner: str, node: str) -> None:
        """Have a node give an address up; return when it has, or is dead, or does not answer."""
        given = self._awaited[owner] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(PATIENCE):
                self._ask(address, owner, node)
                await given
        except TimeoutError:
            _log.warning("Node %s was asked for %s and does not answer.", node, address)
        finally:
            del self._awaited[owner]

    def _ask(self, address: str, owner: str, node: str) -> None:
        def on_outcome(outcome: Outcome) -> None:  # there is no such node any more
            self._end(owner)

        event = pack([REQUEST, address, owner, self._node])
        self._publisher.publish_to_node(node, event, on_outcome)

    def confirm(self, request: Request) -> None:
        """Say that an address was given up."""
        self._publisher.publish_to_node(request.asker, pack([ANSWER, request.owner]))

    def on_answer(self, owner: str) -> None:
        """Another node has given up what it was asked for."""
        self._end(owner)

    def _end(self, owner: str) -> None:
        given = self._awaited.get(owner)
        if given is not None and not given.done():
            given.set_result(None)
