"""What other nodes tell this one, and what comes of it here."""

import logging
from typing import NamedTuple

from hypha_cluster.clients.handover import Handover, Request
from hypha_cluster.errors import ClientLeft
from hypha_cluster.hub.answering import HubClient
from hypha_cluster.links.recovery import Recovery
from hypha_cluster.metrics import Counts
from hypha_cluster.protocol.address import workspace_of
from hypha_cluster.registry.services import RecentlyFound
from hypha_cluster.relay.events import (
    ANSWER,
    CHANGED,
    ENDED,
    LEFT,
    MISJUDGED,
    MOVED,
    REQUEST,
    TAKEN,
    Event,
    read_event,
)
from hypha_cluster.relay.posts import Posts
from hypha_cluster.relay.rejecting import Rejects

_log = logging.getLogger(__name__)


class Asked(NamedTuple):
    """What this node asks of others, which they answer."""

    handover: Handover
    posts: Posts


class Events:
    """Hands on what nodes announce, to all or to this one."""

    def __init__(
        self,
        asked: Asked,
        rejects: Rejects,
        hub: HubClient,
        recent: RecentlyFound,
        recovery: Recovery,
        counts: Counts,
    ) -> None:
        self._handover, self._posts = asked
        self._rejects = rejects
        self._hub = hub
        self._recent = recent
        self._recovery = recovery
        self._counts = counts

    def dispatch(self, data: bytes) -> None:
        """Act on an event; one that this node does not know is dropped, and counted."""
        event = read_event(data)
        if event is None:
            self._counts.dropped_messages["event"] += 1
            _log.info("An event of another node is not understood here: %s", data[:100].hex())
        elif event.kind == LEFT:
            self._target_left(*event.about)
        elif event.kind == ENDED:
            self._node_ended(*event.about)
        elif event.kind == CHANGED:
            self._recent.forget(*event.about)
        elif event.kind == MISJUDGED and event.about == [self._handover.node]:
            self._recovery.doubt()
        else:
            self._hand_on(event)

    def _hand_on(self, event: Event) -> None:
        """Take a question of another node to this one, or an answer to one of its own."""
        if event.kind in (REQUEST, MOVED):
            self._handover.take_request(_request(*event.about))
        elif event.kind == ANSWER:
            self._handover.take_answer(*event.about)
        elif event.kind == TAKEN:
            self._posts.take_answer(*event.about)

    def _node_ended(self, node: str) -> None:
        error = ClientLeft(f"Gateway {node} ended before it answered.")
        self._rejects.node_ended(node, error)
        self._hub.node_ended(node, error)

    def _target_left(self, address: str) -> None:
        self._recent.forget(workspace_of(address))
        error = ClientLeft(f"Client {address} left before it answered.")
        self._rejects.target_left(address, error)
        self._hub.target_left(address, error)


def _request(address: str, holder: str, asker: str, patience: str = "") -> Request:
    """patience: in ms, as another node says it."""
    seconds = int(patience) / 1000 if patience.isdecimal() else 0.0
    return Request(address, holder, asker, seconds)
