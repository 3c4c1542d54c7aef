"""What other nodes tell this one: acted on if it is understood, else dropped and counted."""

from typing import Any, cast

import pytest

from hypha_cluster.clients.events import Asked, Events
from hypha_cluster.clients.handover import Handover, Request
from hypha_cluster.errors import HubError
from hypha_cluster.hub.answering import HubClient
from hypha_cluster.links.recovery import Recovery
from hypha_cluster.metrics import Counts
from hypha_cluster.protocol.envelope import pack
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
    write_event,
)
from hypha_cluster.relay.posts import Posts
from hypha_cluster.relay.rejecting import Rejects


class Recorder:
    """Whoever is told of an event; and what they were told."""

    node = "here"

    def __init__(self) -> None:
        self.told: list[Any] = []

    def target_left(self, address: str, error: HubError) -> None:
        self.told.append(("left", address))

    def node_ended(self, node: str, error: HubError) -> None:
        self.told.append(("ended", node, str(error)))

    def take_request(self, request: Request) -> None:
        self.told.append(request)

    def take_answer(self, *what: str) -> None:
        self.told.append(("answer", *what))

    def forget(self, workspace: str) -> None:
        self.told.append(("forget", workspace))

    def doubt(self) -> None:
        self.told.append("doubt")


class Rig:
    def __init__(self) -> None:
        self.counts = Counts()
        self.recorder = Recorder()
        self.events = Events(
            Asked(cast(Handover, self.recorder), cast(Posts, self.recorder)),
            cast(Rejects, self.recorder),
            cast(HubClient, self.recorder),
            cast(RecentlyFound, self.recorder),
            cast(Recovery, self.recorder),
            self.counts,
        )


LEFT_TOLD = [("forget", "ann"), ("left", "ann/me"), ("left", "ann/me")]
ENDED_TOLD = "Gateway there ended before it answered."
REQUESTED = Request("ann/me", "here#1", "there")


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (write_event(LEFT, "ann/me"), LEFT_TOLD),
        (write_event(REQUEST, *REQUESTED[:3]), [REQUESTED]),
        (write_event(MOVED, *REQUESTED[:3], "2500"), [REQUESTED._replace(patience=2.5)]),
        (write_event(MOVED, *REQUESTED[:3], "-1"), [REQUESTED]),
        (write_event(ANSWER, "here#1"), [("answer", "here#1")]),
        (write_event(CHANGED, "ann"), [("forget", "ann")]),
        (write_event(ENDED, "there"), 2 * [("ended", "there", ENDED_TOLD)]),
        (write_event(TAKEN, "17", "routed"), [("answer", "17", "routed")]),
        (write_event(MISJUDGED, "here"), ["doubt"]),
        (write_event(MISJUDGED, "another"), []),
    ],
)
def test_an_event_is_told_to_whom_it_concerns(event: bytes, told: list[Any]) -> None:
    rig = Rig()

    rig.events.dispatch(event)

    assert rig.recorder.told == told
    assert not rig.counts.dropped_messages


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc1", pack(["left"]), pack(["something new", "ann"]), pack([2, "left", "ann/me"])],
)
def test_what_is_not_understood_is_dropped_and_counted(data: bytes) -> None:
    rig = Rig()

    rig.events.dispatch(data)

    assert rig.recorder.told == []
    assert rig.counts.dropped_messages == {"event": 1}
