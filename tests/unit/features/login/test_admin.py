"""The admin page: for admins alone, who see everybody's and end what has to end."""

import time
from dataclasses import replace

import pytest
from starlette.applications import Starlette

from hypha_cluster.errors import InvalidToken
from hypha_cluster.identity.access import Origin, Workspace
from tests.unit.features.rig import ADA, ANN, URL, Ground, Visitor, signed_in_now

PAGE = f"{URL}/account/admin"


@pytest.fixture
async def ada(site: Starlette, ground: Ground) -> Visitor:
    await ground.workspaces.create(Workspace("lab", owners=["ann"]))
    return await Visitor.who_is(ADA, site, ground)


async def attach(ground: Ground, client: str) -> None:
    """As a client is known in Redis."""
    keys = ground.keys
    await ground.redis.sadd(keys.clients("lab"), client)
    record = {"state": "online", "node": "here", "user": '{"id": "ann"}'}
    await ground.redis.hset(keys.client(f"lab/{client}"), record)


async def test_it_shows_what_is_everybodys(ada: Visitor) -> None:
    page = await ada.open(PAGE)

    for text in ("ann@example.org", "bob@example.org", "lab", "All of the hub"):
        assert text in page


@pytest.mark.parametrize("who", [ANN, None])
@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("", None),
        ("/user", {"user": "bob", "action": "block"}),
        ("/client", {"client": "lab/me", "action": "kick"}),
        ("/workspace", {"workspace": "lab", "action": "end"}),
    ],
)
async def test_others_see_and_do_nothing(
    site: Starlette, ground: Ground, who: object, path: str, form: dict[str, str] | None
) -> None:
    other = await Visitor.who_is(ANN, site, ground) if who else Visitor(site)
    page = await other.open(f"{URL}/account")

    asked = other.open(PAGE) if form is None else other.send(PAGE + path, {**page.fields, **form})

    assert (await asked).status in (401, 403)
    assert len(ground.revocations.book) == 0


async def test_a_user_is_shut_out_and_let_in_again(ada: Visitor, ground: Ground) -> None:
    form = (await ada.open(PAGE)).fields

    page = await ada.send(f"{PAGE}/user", {**form, "user": "ann", "action": "block"})
    assert "Let in ann" in page
    with pytest.raises(InvalidToken):
        await ground.gatekeeper.identify(ground.token(ANN))

    page = await ada.send(f"{PAGE}/user", {**form, "user": "ann", "action": "unblock"})
    assert "Let in ann" not in page
    assert (await ground.gatekeeper.identify(ground.token(ANN))).id == "ann"


async def test_what_a_user_has_so_far_is_ended(ada: Visitor, ground: Ground) -> None:
    before = signed_in_now(ANN)
    assert before.origin is not None
    form = (await ada.open(PAGE)).fields

    await ada.send(f"{PAGE}/user", {**form, "user": "ann", "action": "end"})

    with pytest.raises(InvalidToken):
        ground.revocations.book.admit(before)
    later = replace(before, origin=Origin("", time.time() + 60))
    assert ground.revocations.book.admit(later).id == "ann"


@pytest.mark.parametrize(
    ("what", "fields", "says"),
    [
        ("user", {"user": "ada", "action": "block"}, "cannot shut yourself out"),
        ("user", {"user": "ann", "action": "promote"}, "end, block, unblock"),
        ("user", {"user": "ann"}, "end, block, unblock"),
        ("client", {"client": "me", "action": "kick"}, "WORKSPACE/CLIENT"),
        ("client", {"client": "a/b/c", "action": "kick"}, "WORKSPACE/CLIENT"),
        ("client", {"client": "lab/", "action": "kick"}, "WORKSPACE/CLIENT"),
    ],
)
async def test_what_makes_no_sense_is_told_so(
    ada: Visitor, ground: Ground, what: str, fields: dict[str, str], says: str
) -> None:
    form = (await ada.open(PAGE)).fields

    refused = await ada.send(f"{PAGE}/{what}", {**form, **fields})

    assert (refused.status, says in refused) == (400, True)
    assert len(ground.revocations.book) == 0


async def test_clients_are_listed_and_kicked(ada: Visitor, ground: Ground) -> None:
    for name in ("me", "you"):
        await attach(ground, name)
    await ground.workspaces.create(Workspace("empty", owners=["bob"]))
    page = await ada.open(PAGE)
    assert "Kick lab/me" in page
    assert "2 of 2 are shown" in page
    assert "Kick lab/me" not in await ada.open(f"{PAGE}?workspace=empty")
    assert "Kick lab/me" in await ada.open(f"{PAGE}?workspace=lab")

    await ada.send(f"{PAGE}/client", {**page.fields, "client": "lab/me", "action": "kick"})

    book = ground.revocations.book
    assert book.is_kicked("lab/me", time.time() - 60)
    assert not book.is_kicked("lab/you", time.time() - 60)


async def test_a_workspace_is_taken_from_all_who_were_let_in(ada: Visitor, ground: Ground) -> None:
    child = await ground.tokens.verify(ground.tokens.issue_child(ANN, {"scopes": ["lab"]}))
    form = (await ada.open(PAGE)).fields

    await ada.send(f"{PAGE}/workspace", {**form, "workspace": "lab", "action": "end"})

    assert ground.revocations.book.has_lost(child, "lab")
    assert not ground.revocations.book.has_lost(child, "other")
