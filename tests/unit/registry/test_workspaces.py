"""Workspaces are kept as JSON, within bounds, and changed only as they were read."""

import json
from dataclasses import replace
from typing import Any

import pytest

from hypha_cluster.errors import BadRequest, Conflict, PermissionDenied, WorkspaceNotFound
from hypha_cluster.identity.access import PUBLIC, ROOT, Identity, Workspace
from hypha_cluster.protocol.limits import WORKSPACE_SETTINGS
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.workspaces import PUBLIC_WORKSPACE, Workspaces, to_hash
from tests.fake_redis import FakeRedis

LAB = Workspace("lab", owners=["ann"], description="Ünïcode")
KEPT: list[Any] = [word.encode() for item in to_hash(LAB).items() for word in item]


@pytest.fixture
def workspaces(fake: FakeRedis, keys: Keys) -> Workspaces:
    fake.answers["hgetall"] = KEPT
    return Workspaces(fake.client, keys)


def test_only_what_was_set_is_kept_unless_all_is_asked_for() -> None:
    assert to_hash(LAB) == {
        "name": '"lab"',
        "owners": '["ann"]',
        "description": json.dumps("Ünïcode"),
    }
    assert to_hash(LAB, whole=True)["persistent"] == "false"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"docs": {"_rtype": "method"}}, "'docs' of a workspace"),
        ({"covers": [b"x"]}, r"'covers' of a workspace .* at \[0\]"),
        ({"description": "x" * WORKSPACE_SETTINGS}, f"at most {WORKSPACE_SETTINGS} bytes"),
    ],
)
async def test_what_cannot_be_kept_is_not_sent(
    fake: FakeRedis, workspaces: Workspaces, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadRequest, match=said):
        await workspaces.create(replace(LAB, **settings))

    assert fake.names == []


async def test_a_workspace_is_read_as_it_was_kept(workspaces: Workspaces) -> None:
    assert await workspaces.find("lab") == LAB
    assert await workspaces.find(PUBLIC) == PUBLIC_WORKSPACE


async def test_what_is_not_there_is_not_found(fake: FakeRedis, workspaces: Workspaces) -> None:
    fake.answers["hgetall"] = []

    assert await workspaces.find("lab") is None
    with pytest.raises(WorkspaceNotFound):
        await workspaces.get("lab")


async def test_a_name_is_given_once(fake: FakeRedis, workspaces: Workspaces) -> None:
    fake.answers["make_workspace"] = 0

    with pytest.raises(Conflict):
        await workspaces.create(LAB)


async def test_a_change_is_tried_again_when_another_one_was_faster(
    fake: FakeRedis, workspaces: Workspaces
) -> None:
    answers = iter([0, 1])
    fake.answers["change_workspace"] = lambda words: next(answers)

    changed = await workspaces.change("lab", lambda lab: replace(lab, description="new"))

    assert changed.description == "new"
    tried = ("p:{lab}", "description", json.dumps("Ünïcode").encode(), '"new"')
    assert fake.words("change_workspace") == [tried] * 2


async def test_the_public_workspace_is_the_hubs_own(workspaces: Workspaces) -> None:
    with pytest.raises(PermissionDenied):
        await workspaces.change(PUBLIC, lambda workspace: workspace)


async def test_a_user_is_known_by_what_is_kept_of_them(
    fake: FakeRedis, workspaces: Workspaces
) -> None:
    ann = Identity("ann")
    fake.answers["hget"] = json.dumps(ann.to_wire()).encode()

    assert await workspaces.known_user("ann") == ann
    assert await workspaces.known_user(ROOT.id) == ROOT


async def test_names_are_sorted_and_have_the_hubs_own(
    fake: FakeRedis, workspaces: Workspaces
) -> None:
    fake.answers["smembers"] = [b"zoo", b"lab"]

    assert await workspaces.names() == ["lab", PUBLIC, "zoo"]
