"""An address is claimed for who comes; who seems to have it is asked whether they are there."""

from typing import Any, cast

import pytest

from hypha_cluster.clients.admission import Admission, Claims
from hypha_cluster.clients.presence import Presence
from hypha_cluster.errors import Conflict, RedisUnavailable, Replaced, StillOnline
from hypha_cluster.hub.calling import HubCalls
from hypha_cluster.identity.access import Identity, own_workspace
from hypha_cluster.registry.clients import Attachment, Claim, ClaimMode, ClientRegistry

ANN = Identity("ann")
OK = Claim(True, None, {})


class Scene:
    """A registry that answers what it is told to, and a holder that is there or not."""

    def __init__(self, *answers: Claim | Exception, is_alive: bool = False) -> None:
        self.answers = list(answers)
        self.is_there = is_alive
        self.modes: list[ClaimMode] = []
        self.suspended: list[Attachment] = []
        parts: list[Any] = [self] * 3
        self.claims = Claims(
            cast(ClientRegistry, parts[0]),
            cast(Presence, parts[1]),
            cast(HubCalls, parts[2]),
            "node",
        )

    async def claim(self, attachment: Attachment, mode: ClaimMode) -> Claim:
        self.modes.append(mode)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def is_alive(self, address: str) -> bool:
        assert address == "ann/me"
        return self.is_there

    def suspend_later(self, attachment: Attachment) -> None:
        self.suspended.append(attachment)

    async def come(self, *, program: str = "", takes: bool = False) -> Claim:
        admission = Admission(ANN, own_workspace(ANN), "me", program, takes)
        return await self.claims.claim(self.claims.attachment(admission, 8.0), admission)


def test_each_connection_holds_its_address_by_a_name_of_its_own() -> None:
    admission = Admission(ANN, own_workspace(ANN), "me", "p")
    again, other = Scene().claims, Scene().claims  # as if the node was started again

    found = [each.attachment(admission, 8.0) for each in (again, again, other)]

    assert len({each.holder for each in found}) == 3
    assert {(each.address, each.node, each.program) for each in found} == {("ann/me", "node", "p")}
    assert {each.patience for each in found} == {8.0}


def test_a_program_that_is_new_gets_a_name_that_no_other_has() -> None:
    claims = Scene().claims
    admission = Admission(ANN, own_workspace(ANN), "me")

    names = {claims.attachment(admission, 8.0).program for _ in range(10)}

    assert len(names) == 10


@pytest.mark.parametrize(
    ("coming", "mode"),
    [
        ({}, ClaimMode.NEW),
        ({"program": "p"}, ClaimMode.RESUME),
        ({"takes": True}, ClaimMode.TAKE),
    ],
)
async def test_who_comes_claims_what_they_may(coming: dict[str, Any], mode: ClaimMode) -> None:
    scene = Scene(OK)

    assert await scene.come(**coming) is OK

    assert scene.modes == [mode]


@pytest.mark.parametrize("error", [Conflict("anothers"), StillOnline("your own")])
async def test_who_is_there_keeps_the_address(error: Conflict) -> None:
    scene = Scene(error, is_alive=True)

    with pytest.raises(type(error)):
        await scene.come()

    assert scene.modes == [ClaimMode.NEW]
    assert scene.suspended == []


@pytest.mark.parametrize(
    ("error", "second"),
    [(Conflict("anothers"), ClaimMode.NEW), (StillOnline("your own"), ClaimMode.TAKE)],
)
async def test_who_is_gone_unnoticed_does_not(error: Conflict, second: ClaimMode) -> None:
    scene = Scene(error, OK)

    assert await scene.come() is OK

    assert scene.modes == [ClaimMode.NEW, second]


async def test_a_program_that_was_replaced_is_told_at_once() -> None:
    scene = Scene(Replaced("by another run of it"))

    with pytest.raises(Replaced):
        await scene.come(program="p")

    assert scene.modes == [ClaimMode.RESUME]


@pytest.mark.parametrize("before", [[], [StillOnline("your own")]])
async def test_a_claim_that_may_have_been_done_is_undone(before: list[Exception]) -> None:
    scene = Scene(*before, RedisUnavailable("Redis is away."))

    with pytest.raises(RedisUnavailable):
        await scene.come()

    assert [each.address for each in scene.suspended] == ["ann/me"]
