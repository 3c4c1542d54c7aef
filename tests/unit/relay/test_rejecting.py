"""What callers are told when their calls come to nothing."""

import pytest

from hypha_cluster.errors import (
    ClientAway,
    ClientBusy,
    ClientLeft,
    ClientNotFound,
    HubError,
    RedisUnavailable as Unavailable,
)
from hypha_cluster.relay.bus import Outcome
from hypha_cluster.relay.pending import PendingCall
from hypha_cluster.relay.rejecting import error_of
from tests.fakes import MemoryBus
from tests.unit.relay.test_delivery import FAR, ME, READER, YOU, Rig, call, pending, sent, told

LEFT = ClientLeft("It left.")


@pytest.fixture
async def rig() -> Rig:
    return Rig(MemoryBus())


@pytest.mark.parametrize(
    ("outcome", "is_recovering", "kind"),
    [
        (Outcome.NOBODY, False, ClientNotFound),
        (Outcome.NOBODY, True, Unavailable),
        (Outcome.MAILBOX_FULL, False, ClientBusy),
        (Outcome.UNAVAILABLE, False, Unavailable),
        (Outcome.AWAY, False, ClientAway),
    ],
)
def test_an_outcome_has_its_error(
    outcome: Outcome, is_recovering: bool, kind: type[HubError]
) -> None:
    assert type(error_of(outcome, FAR, is_recovering=is_recovering)) is kind


async def test_a_reject_comes_from_whoever_was_called(rig: Rig) -> None:
    mine = await rig.live("you")

    rig.delivery.rejects.reject(READER.read(call(FAR)), YOU, FAR, LEFT)

    (frame,) = [READER.read(each) for each in sent(mine)]
    assert frame.envelope["from"] == FAR
    assert told(mine) == [("s.reject", "It left.")]


async def test_who_waits_no_more_is_not_told(rig: Rig) -> None:
    mine = await rig.live("you")
    waits = rig.wait()
    rig.ledger.answered(FAR, YOU, "s.resolve")

    rig.delivery.rejects.reject_pending(FAR, waits, LEFT)

    assert sent(mine) == []


async def test_whose_call_was_not_noted_is_told(rig: Rig) -> None:
    mine = await rig.live("you")

    rig.delivery.rejects.reject_pending(FAR, pending()._replace(is_noted=False), LEFT)

    assert told(mine) == [("s.reject", "It left.")]


async def test_what_answers_no_call_rejects_none(rig: Rig) -> None:
    mine = await rig.live("you")

    rig.delivery.rejects.reject_answer(ME, YOU, "services.tool.run", LEFT)
    rig.delivery.rejects.reject_answer(ME, YOU, "s.resolve", LEFT)

    assert told(mine) == [("s.reject", "It left.")]


async def test_only_a_gateway_is_told_the_kind_of_an_error(rig: Rig) -> None:
    rig.pending.add(FAR, PendingCall("ann/~here", "s", "s.reject", 0.0))

    rig.delivery.rejects.target_left(FAR, LEFT)
    await rig.bus.settled()

    (frame,) = [READER.read(each) for each in rig.own]
    assert frame.body["args"][0]["_rkind"] == "ClientLeft"
