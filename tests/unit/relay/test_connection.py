"""A connection has one stage, and what its client offers is known or not."""

import pytest

from hypha_cluster.identity.access import Identity, own_workspace
from hypha_cluster.protocol.dialects.imjoy import IMJOY
from hypha_cluster.registry.clients import Attachment
from hypha_cluster.relay.connection import (
    UNCOUNTED,
    Connection,
    Offer,
    Share,
    Speech,
    Stage,
    Way,
)
from tests.fakes import FakeSocket

ANN = Identity("ann")


def arriving(
    socket: FakeSocket,
    client: str = "me",
    holder: str = "node#1",
    refresh_after: float = 0.0,
    share: Share = UNCOUNTED,
) -> Connection:
    attachment = Attachment(f"ann/{client}", client, own_workspace(ANN), ANN, holder, "node")
    return Connection(
        attachment,
        socket,
        speech=Speech(IMJOY, 1_000),
        way=Way("", refresh_after),
        share=share,
    )


def connection(
    socket: FakeSocket,
    client: str = "me",
    holder: str = "node#1",
    refresh_after: float = 0.0,
    share: Share = UNCOUNTED,
) -> Connection:
    made = arriving(socket, client, holder, refresh_after, share)
    made.enter(Stage.LIVE)
    return made


ARROWS = {
    (Stage.ARRIVING, Stage.LIVE),
    (Stage.LIVE, Stage.SET_ASIDE),
    *((stage, Stage.CLOSING) for stage in (Stage.ARRIVING, Stage.LIVE, Stage.SET_ASIDE)),
    *((stage, Stage.GONE) for stage in Stage if stage is not Stage.GONE),
}
WAY = {  # to each stage
    Stage.ARRIVING: [],
    Stage.LIVE: [Stage.LIVE],
    Stage.SET_ASIDE: [Stage.LIVE, Stage.SET_ASIDE],
    Stage.CLOSING: [Stage.CLOSING],
    Stage.GONE: [Stage.GONE],
}


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("other", Stage)
async def test_a_connection_goes_only_the_ways_that_there_are(stage: Stage, other: Stage) -> None:
    mine = arriving(FakeSocket())
    for step in WAY[stage]:
        mine.enter(step)

    if (stage, other) in ARROWS:
        mine.enter(other)
        assert mine.stage is other
    else:
        with pytest.raises(ValueError, match=f"cannot be {other.name}: it is {stage.name}"):
            mine.enter(other)
        assert mine.stage is stage
    assert mine.gone.is_set() is (mine.stage is Stage.GONE)


async def test_a_connection_is_told_to_go_once() -> None:
    socket = FakeSocket()
    mine = connection(socket)

    mine.close(1012, "going away")
    mine.close(1000, "attached elsewhere")

    assert mine.stage is Stage.CLOSING
    assert socket.closed == [1012]


@pytest.mark.parametrize(
    ("refresh_after", "passed", "is_to_refresh"),
    [
        (10.0, 0.0, False),
        (10.0, 7.5, True),  # of the 8 s after which its client asks again
        (10.0, 8.5, True),
        (10.0, 20.0, False),  # an old client, which does not ask
        (0.0, 0.0, False),  # a client that need not
    ],
)
async def test_it_is_known_when_a_page_will_refresh(
    refresh_after: float, passed: float, is_to_refresh: bool
) -> None:
    page = connection(FakeSocket(), refresh_after=refresh_after)

    page.refreshed_at -= passed

    assert page.is_to_refresh() is is_to_refresh


async def test_what_comes_before_the_mail_waits_for_it() -> None:
    socket = FakeSocket()
    mine = arriving(socket)

    mine.send(b"live 1")
    assert socket.sent == []
    assert mine.take_waiting() == ([], [b"live 1"])
    mine.enter(Stage.LIVE)
    mine.send(b"live 2")

    assert socket.sent == [b"live 2"]


@pytest.mark.parametrize("before", Offer)
async def test_what_a_client_offers_is_known_once_it_has_announced_something(before: Offer) -> None:
    mine = arriving(FakeSocket())
    mine.claimed({"of who was there": "{}"}, before)

    mine.announce({})
    assert (mine.services, mine.offer) == ({}, before)
    mine.announce({"its own": "{}"})

    assert (mine.services, mine.offer) == ({"its own": "{}"}, Offer.KNOWN)


async def test_as_whom_a_client_counts_is_known_from_its_beginning() -> None:
    mine = arriving(FakeSocket(), share=Share(("user ann",)))

    assert (mine.subjects, mine.mail.refusal()) == (("user ann",), None)
    assert arriving(FakeSocket()).subjects == ()


async def test_there_is_one_lock_of_its_services_and_one_guard_of_its_chunks() -> None:
    mine = arriving(FakeSocket())

    assert mine.chunks is mine.chunks
    assert mine.has_sent_chunks
    assert not arriving(FakeSocket()).has_sent_chunks
    assert mine.registering is mine.registering
    assert mine.registering is not arriving(FakeSocket()).registering
