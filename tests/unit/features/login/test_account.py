"""The account page: what is one's own, and what one may end of it."""

import pytest
from starlette.applications import Starlette

from hypha_cluster.errors import HubError
from hypha_cluster.features.login.account import day
from hypha_cluster.identity.access import Workspace
from tests.unit.features.rig import ADA, ANN, BOB, URL, Ground, Visitor

PAGE = f"{URL}/account"
TERMS = {"name": "worker", "days": "7"}


@pytest.fixture
async def ann(site: Starlette, ground: Ground) -> Visitor:
    return await Visitor.who_is(ANN, site, ground)


async def test_who_has_not_signed_in_is_sent_to_do_so(site: Starlette) -> None:
    async with Visitor(site) as visitor:
        page = await visitor.open(PAGE)

    assert (page.status, page.path) == (200, "/public/apps/hypha-login/")


async def test_it_shows_what_is_ones_own(ann: Visitor, ground: Ground) -> None:
    await ground.workspaces.create(Workspace("anns-lab", owners=["ann"]))
    await ground.workspaces.create(Workspace("bobs-lab", owners=["bob"]))

    page = await ann.open(PAGE)

    assert "ann@example.org" in page
    assert "anns-lab" in page
    assert "bobs-lab" not in page
    assert "All of the hub" not in page


async def test_an_admin_finds_their_own_here_and_the_rest_elsewhere(
    site: Starlette, ground: Ground
) -> None:
    await ground.workspaces.create(Workspace("anns-lab", owners=["ann"]))
    ada = await Visitor.who_is(ADA, site, ground)

    page = await ada.open(PAGE)

    assert "anns-lab" not in page
    assert "All of the hub" in page


async def test_a_token_is_shown_once_and_listed(ann: Visitor, ground: Ground) -> None:
    form = (await ann.open(PAGE)).fields

    made = await ann.send(f"{PAGE}/make-token", {**form, **TERMS})

    token = made.text.partition('id="made" readonly value="')[2].partition('"')[0]
    child = await ground.tokens.verify(token)
    assert (child.parent, child.scopes) == ("ann", ("ann",))
    again = await ann.open(PAGE)
    assert token not in again
    assert "worker" in again
    (entry,) = await ground.logins_of("ann")
    assert 6.9 < (entry.expires - entry.made) / 86_400 < 7.1


@pytest.mark.parametrize(
    ("terms", "status", "says"),
    [
        ({"name": " ", "days": "7"}, 400, "A token has a name and a life"),
        ({"name": "x", "days": "9"}, 400, "A token has a name and a life"),
        ({"name": "x", "days": "-1"}, 400, "A token has a name and a life"),
        ({**TERMS, "scopes": "bobs-lab"}, 403, "Permission denied"),
        ({**TERMS, "scopes": "ann nowhere"}, 404, "nowhere"),
    ],
)
async def test_no_token_is_made_of_what_is_wrong(
    ann: Visitor, ground: Ground, terms: dict[str, str], status: int, says: str
) -> None:
    await ground.workspaces.create(Workspace("bobs-lab", owners=["bob"]))
    form = (await ann.open(PAGE)).fields

    refused = await ann.send(f"{PAGE}/make-token", {**form, **terms})

    assert (refused.status, says in refused) == (status, True)
    assert await ground.logins_of("ann") == []


async def test_a_token_that_is_ended_holds_no_more(ann: Visitor, ground: Ground) -> None:
    form = (await ann.open(PAGE)).fields
    made = await ann.send(f"{PAGE}/make-token", {**form, **TERMS})
    token = made.text.partition('id="made" readonly value="')[2].partition('"')[0]
    (entry,) = await ground.logins_of("ann")

    await ann.send(f"{PAGE}/end-token", {**form, "token": entry.id})

    assert await ground.logins_of("ann") == []
    with pytest.raises(HubError, match="revoked"):
        await ground.gatekeeper.identify(token)


async def test_nobody_ends_tokens_of_others(ann: Visitor, site: Starlette, ground: Ground) -> None:
    form = (await ann.open(PAGE)).fields
    await ann.send(f"{PAGE}/make-token", {**form, **TERMS})
    (entry,) = await ground.logins_of("ann")
    bob = await Visitor.who_is(BOB, site, ground)

    refused = await bob.send(
        f"{PAGE}/end-token", {**(await bob.open(PAGE)).fields, "token": entry.id}
    )

    assert refused.status == 404
    assert len(await ground.logins_of("ann")) == 1


async def test_all_ends_at_once_the_cookie_too(ann: Visitor, ground: Ground) -> None:
    form = (await ann.open(PAGE)).fields
    await ann.send(f"{PAGE}/make-token", {**form, **TERMS})

    left = await ann.send(f"{PAGE}/end-all", form)

    assert left.path == "/public/apps/hypha-login/"
    assert await ground.logins_of("ann") == []
    assert (await ann.open(PAGE)).path == "/public/apps/hypha-login/"


@pytest.mark.parametrize("path", ["make-token", "end-token", "end-all"])
async def test_a_form_of_another_page_does_nothing(ann: Visitor, ground: Ground, path: str) -> None:
    form = (await ann.open(PAGE)).fields
    evil = {"Origin": "https://evil.example", "Sec_Fetch_Site": "cross-site"}

    for fields, headers in (({**form, **TERMS, "csrf": "x"}, {}), ({**form, **TERMS}, evil)):
        refused = await ann.send(f"{PAGE}/{path}", fields, **headers)
        assert refused.status in (401, 403)

    assert await ground.logins_of("ann") == []
    assert (await ann.open(PAGE)).path == "/account"


async def test_the_originals_address_leads_here(ann: Visitor) -> None:
    assert (await ann.open(f"{URL}/apps/built-in/account-manager.html")).path == "/account"


def test_days_are_shown_as_they_are_everywhere() -> None:
    assert day(0.0) == "1970-01-01 00:00"
