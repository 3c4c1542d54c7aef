"""Workspaces and users in Redis: who owns what, and for how long it is there."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest
from redis.asyncio import Redis

from hypha_cluster.errors import Conflict, PermissionDenied, WorkspaceNotFound
from hypha_cluster.identity.access import PUBLIC, ROOT, Identity, Workspace, own_workspace
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.clients import Attachment, ClaimMode, ClientRegistry
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.public import PublicListing
from hypha_cluster.registry.workspaces import Workspaces

ANN = Identity("ann")
LAB = Workspace(
    "lab", owners=["ann"], description="Ünïcode", docs=None, applications={"a": {"id": "a"}}
)


@pytest.fixture
async def workspaces(redis_client: RedisClient, keys: Keys) -> Workspaces:
    return Workspaces(redis_client, keys)


async def join(
    redis: RedisClient, keys: Keys, user: Identity, workspace: Workspace
) -> ClientRegistry:
    registry = ClientRegistry(redis, keys, PublicListing(redis, keys))
    address = f"{workspace.name}/me"
    attachment = Attachment(address, "me", workspace, user, "node#1", "node")
    claim = await registry.claim(attachment, ClaimMode.NEW)
    await registry.noted(claim)
    return registry


async def test_a_workspace_is_as_it_was_made(workspaces: Workspaces) -> None:
    await workspaces.create(LAB)

    assert await workspaces.find("lab") == LAB
    assert await workspaces.names() == ["lab", PUBLIC]


async def test_a_workspace_is_made_once(workspaces: Workspaces) -> None:
    await workspaces.create(LAB)

    with pytest.raises(Conflict):
        await workspaces.create(Workspace("lab", owners=["bob"]))

    assert await workspaces.find("lab") == LAB


async def test_settings_can_be_replaced(workspaces: Workspaces) -> None:
    await workspaces.create(LAB)

    await workspaces.change("lab", lambda lab: Workspace("lab", visibility="public"))

    assert await workspaces.find("lab") == Workspace("lab", visibility="public")


async def test_no_change_is_lost_when_two_are_made_at_once(workspaces: Workspaces) -> None:
    await workspaces.create(LAB)

    def installed(lab: Workspace, application: str) -> Workspace:
        return replace(lab, applications={**lab.applications, application: {}})

    names = [f"application-{number}" for number in range(20)]
    await asyncio.gather(
        *(workspaces.change("lab", partial(installed, application=name)) for name in names)
    )

    assert (await workspaces.get("lab")).applications == {
        "a": {"id": "a"},
        **dict.fromkeys(names, {}),
    }


async def test_what_was_made_meanwhile_is_not_overwritten(workspaces: Workspaces) -> None:
    made = await asyncio.gather(
        *(workspaces.create(Workspace("lab", owners=[name])) for name in ("ann", "bob")),
        return_exceptions=True,
    )

    owner = "ann" if made[0] is None else "bob"
    assert [type(each) for each in made if each is not None] == [Conflict]
    assert (await workspaces.get("lab")).owners == [owner]


async def test_what_is_not_there_cannot_be_changed(workspaces: Workspaces) -> None:
    with pytest.raises(WorkspaceNotFound, match="nowhere"):
        await workspaces.change("nowhere", lambda workspace: workspace)
    with pytest.raises(PermissionDenied, match=PUBLIC):
        await workspaces.change(PUBLIC, lambda workspace: workspace)


async def test_a_workspace_that_nobody_joins_does_not_stay_for_good(
    workspaces: Workspaces, redis_client: RedisClient, redis: Redis, keys: Keys
) -> None:
    await workspaces.create(LAB)
    assert 0 < await redis.ttl(keys.workspace("lab")) <= 86_400

    await join(redis_client, keys, ANN, LAB)

    assert await redis.ttl(keys.workspace("lab")) == -1


async def test_a_persistent_workspace_stays_unjoined_too(
    workspaces: Workspaces, redis_client: RedisClient, redis: Redis, keys: Keys
) -> None:
    await workspaces.create(Workspace("kept", persistent=True))
    await workspaces.create(LAB)
    await workspaces.change("lab", lambda lab: Workspace("lab", persistent=True))

    assert await redis.ttl(keys.workspace("kept")) == -1
    assert await redis.ttl(keys.workspace("lab")) == -1


async def test_the_hubs_own_workspace_is_always_there(workspaces: Workspaces) -> None:
    public = await workspaces.get(PUBLIC)

    assert public.owners == [ROOT.id]
    assert not await workspaces.may_enter(ANN, public)


async def test_a_workspace_that_is_not_there_is_not_found(workspaces: Workspaces) -> None:
    assert await workspaces.find("nowhere") is None
    with pytest.raises(WorkspaceNotFound, match="nowhere"):
        await workspaces.require(ANN, "nowhere")


async def test_permission_is_required(workspaces: Workspaces) -> None:
    await workspaces.create(LAB)

    assert await workspaces.require(ANN, "lab") == LAB
    with pytest.raises(PermissionDenied, match="Permission denied for workspace lab"):
        await workspaces.require(Identity("bob"), "lab")


async def test_a_childs_permission_ends_with_its_parent(
    workspaces: Workspaces, redis_client: RedisClient, redis: Redis, keys: Keys
) -> None:
    """An anonymous parent is forgotten with its last client."""
    await workspaces.create(LAB)
    child = Identity("child", parent="ann", scopes=("lab",))
    assert not await workspaces.may_enter(child, LAB)

    registry = await join(redis_client, keys, ANN, own_workspace(ANN))
    assert await workspaces.known_user("ann") == ANN
    assert await workspaces.may_enter(child, LAB)

    await registry.leave("ann/me", "node#1")
    assert await workspaces.known_user("ann") is None
    assert not await workspaces.may_enter(child, LAB)


async def test_an_anonymous_user_is_forgotten_when_their_suspension_ends(
    workspaces: Workspaces, redis_client: RedisClient, redis: Redis, keys: Keys
) -> None:
    registry = await join(redis_client, keys, ANN, own_workspace(ANN))
    await registry.suspend("ann/me", holder="node#1", grace=0)

    await registry.expire("ann/me", 0)

    assert await workspaces.known_user("ann") is None
