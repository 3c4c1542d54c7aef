"""Who looks at a page: whoever a header or a person's own cookie speaks for, else nobody."""

import pytest

from hypha_cluster.errors import InvalidToken, WorkspaceNotFound
from hypha_cluster.features.pages.looking import Lookers
from hypha_cluster.identity.access import Workspace
from tests.unit.features.rig import ANN, BOB, GOES, Ground, asked, cookie_of


@pytest.fixture
def lookers(ground: Ground) -> Lookers:
    return Lookers(ground.grounds)


async def test_a_person_is_known_by_the_cookie_and_has_a_token_for_the_page(
    ground: Ground, lookers: Lookers
) -> None:
    looker = await lookers.identify(asked(cookie=await cookie_of(ANN, ground), **GOES))

    assert (looker.is_known, looker.identity.id, looker.hint) == (True, "ann", "")
    page = await ground.tokens.verify(looker.token)
    assert page.id == "ann"


async def test_what_a_script_fetches_is_nobodys(ground: Ground, lookers: Lookers) -> None:
    fetched = {**GOES, "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}

    looker = await lookers.identify(asked(cookie=await cookie_of(ANN, ground), **fetched))

    assert (looker.is_known, looker.token, looker.hint) == (False, "", "")
    assert looker.identity.is_anonymous


async def test_a_browser_that_does_not_say_is_told_why_it_is_not_known(
    ground: Ground, lookers: Lookers
) -> None:
    looker = await lookers.identify(asked(cookie=await cookie_of(ANN, ground)))

    assert (looker.is_known, looker.token) == (False, "")
    assert "https" in looker.hint


async def test_a_token_in_a_header_gets_no_other(ground: Ground, lookers: Lookers) -> None:
    looker = await lookers.identify(asked(authorization=f"Bearer {ground.token(ANN)}"))

    assert (looker.is_known, looker.identity.id, looker.token) == (True, "ann", "")
    with pytest.raises(InvalidToken):
        await lookers.identify(asked(authorization="Bearer nonsense"))


async def test_who_may_enter_sees_all_of_a_workspace(ground: Ground, lookers: Lookers) -> None:
    await ground.workspaces.create(Workspace("lab", owners=["ann"]))
    ann = await lookers.identify(asked(authorization=f"Bearer {ground.token(ANN)}"))
    bob = await lookers.identify(asked(authorization=f"Bearer {ground.token(BOB)}"))

    assert await lookers.may_enter(ann, "lab")
    assert not await lookers.may_enter(bob, "lab")
    assert await lookers.may_enter(ann, "ann"), "her own, which is not made yet"
    with pytest.raises(WorkspaceNotFound):
        await lookers.may_enter(bob, "ann")
