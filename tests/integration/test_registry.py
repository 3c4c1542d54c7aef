"""Who is attached where: addresses are taken, kept, given back, and safe from older holders."""

import json
from dataclasses import replace
from typing import Any, Final

import pytest
from redis.asyncio import Redis

from hypha_cluster.errors import ClientLeft, ClientNotFound, Conflict, InvalidToken, StillOnline
from hypha_cluster.identity.access import Identity, Workspace, own_workspace
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.clients import Attachment, Claim, ClaimMode, ClientRegistry, Previous
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.public import NOT_LISTED, PublicListing
from hypha_cluster.registry.services import RecentlyFound, Services

ANN = Identity("ann")
BOB = Identity("bob", is_anonymous=False, email="bob@example.org")


class Store:
    """What a node has of the registry."""

    def __init__(self, client: RedisClient, redis: Redis, keys: Keys) -> None:
        self.redis = redis
        self.keys = keys
        self.public = PublicListing(client, keys)
        self.registry = ClientRegistry(client, keys, self.public)
        self.services = Services(client, keys, self.public, RecentlyFound())

    async def claim(
        self,
        client: str = "me",
        holder: str = "node#1",
        *,
        user: Identity = ANN,
        workspace: Workspace | None = None,
        mode: ClaimMode = ClaimMode.NEW,
    ) -> tuple[Attachment, Claim]:
        home = workspace or own_workspace(user)
        node = holder.partition("#")[0]
        attachment = Attachment(f"{home.name}/{client}", client, home, user, holder, node)
        claim = await self.registry.claim(attachment, mode)
        await self.registry.noted(claim)
        return attachment, claim._replace(notes=())

    async def expire(self) -> list[str]:
        """Remove whose suspension has ended; return their addresses."""
        due = await self.registry.suspensions.ended.take(10)
        gone = [await self.registry.expire(address, due.time) for address in due.addresses]
        return [departure.address for departure in gone if departure is not None]

    async def all_keys(self) -> list[bytes]:
        """All keys but the notes of who has just left."""
        keys = [key async for key in self.redis.scan_iter(self.keys.everything())]
        return sorted(key for key in keys if not key.endswith(b":left"))


@pytest.fixture
async def store(redis_client: RedisClient, redis: Redis, redis_prefix: str) -> Store:
    return Store(redis_client, redis, Keys(redis_prefix))


def info(visibility: str = "protected", **more: Any) -> str:
    return json.dumps({"name": "s", "config": {"visibility": visibility}, **more})


# Taking an address.


async def test_an_address_is_taken_with_its_workspace(store: Store) -> None:
    attachment, claim = await store.claim()

    assert claim == Claim(resumed=False, previous=None, services={})
    assert await store.registry.clients("ann") == ["me"]
    assert await store.registry.user_clients("ann") == [attachment.address]
    assert await store.redis.smembers(store.keys.workspaces()) == {b"ann"}
    assert await store.redis.smembers(store.keys.node_clients("node")) == {b"ann/me node#1"}


async def test_an_address_of_somebody_else_is_not_given_away(store: Store) -> None:
    lab = Workspace("lab", owners=["ann", "bob"])
    await store.claim(workspace=lab)

    for mode in ClaimMode:
        with pytest.raises(Conflict) as refused:
            await store.claim(holder="other#1", user=BOB, workspace=lab, mode=mode)
        assert not isinstance(refused.value, StillOnline)

    assert await store.redis.hget(store.keys.client("lab/me"), "owner") == b"node#1"


def child(of: str, name: str) -> Identity:
    return Identity(name, parent=of, scopes=("lab",))


LAB: Final = Workspace("lab", owners=["ann"])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (child("ann", "c1"), child("ann", "c2")),
        (child("ann", "c1"), ANN),
        (ANN, child("ann", "c1")),
    ],
    ids=["its maker's other child", "its maker", "its child"],
)
async def test_a_place_that_was_lost_is_taken_by_who_is_of_the_same_family(
    store: Store, first: Identity, second: Identity
) -> None:
    await store.claim(user=first, workspace=LAB)
    await store.registry.suspend("lab/me", holder="node#1", grace=60)

    _, claim = await store.claim(holder="other#1", user=second, workspace=LAB)

    assert claim.resumed
    assert claim.previous == Previous("node#1", "node")
    assert await store.registry.user_clients(first.id) == []
    assert await store.registry.user_clients(second.id) == ["lab/me"]
    assert await store.expire() == []
    await store.registry.leave("lab/me", "other#1")
    assert await store.all_keys() == []


@pytest.mark.parametrize("mode", ClaimMode)
async def test_a_place_that_is_in_use_is_not_given_to_the_family(
    store: Store, mode: ClaimMode
) -> None:
    await store.claim(user=child("ann", "c1"), workspace=LAB)

    with pytest.raises(Conflict):
        await store.claim(holder="other#1", user=child("ann", "c2"), workspace=LAB, mode=mode)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (child("ann", "c1"), child("bob", "c2")),
        (child("ann", "c1"), BOB),
        (child("root", "c1"), child("root", "c2")),
        (ANN, BOB),
    ],
)
async def test_a_place_that_was_lost_is_not_given_to_strangers(
    store: Store, first: Identity, second: Identity
) -> None:
    await store.claim(user=first, workspace=LAB)
    await store.registry.suspend("lab/me", holder="node#1", grace=60)

    for mode in ClaimMode:
        with pytest.raises(Conflict):
            await store.claim(holder="other#1", user=second, workspace=LAB, mode=mode)


async def test_an_address_is_not_taken_twice(store: Store) -> None:
    await store.claim()

    with pytest.raises(StillOnline):
        await store.claim(holder="other#1")


async def test_a_client_that_comes_back_takes_its_address_over(store: Store) -> None:
    attachment, _ = await store.claim()
    await store.services.register(attachment, {"s": info()})

    _, claim = await store.claim(holder="other#1", mode=ClaimMode.RESUME)

    assert claim == Claim(True, Previous("node#1", "node"), {"s": info()})
    assert await store.redis.hget(store.keys.client("ann/me"), "node") == b"other"


async def test_a_suspended_client_of_the_same_user_may_come_back_without_a_token(
    store: Store,
) -> None:
    await store.claim()
    assert await store.registry.suspend("ann/me", holder="node#1", grace=60)

    _, claim = await store.claim(holder="other#1")

    assert claim.resumed
    assert await store.redis.zscore(store.keys.suspended(), "ann/me") is None


async def test_who_has_left_does_not_come_back_by_a_token(store: Store) -> None:
    """Also when it leaves between two steps of its return."""
    await store.claim()
    await store.registry.leave("ann/me", "node#1")

    with pytest.raises(InvalidToken, match="has left"):
        await store.claim(holder="other#1", mode=ClaimMode.RESUME)

    assert await store.all_keys() == []
    _, claim = await store.claim(holder="third#1")
    assert not claim.resumed


async def test_a_connection_asserts_only_what_is_its_own(store: Store) -> None:
    await store.claim()

    _, claim = await store.claim(mode=ClaimMode.ASSERT)
    assert claim.previous == Previous("node#1", "node")
    await store.claim(holder="other#1", mode=ClaimMode.RESUME)
    with pytest.raises(Conflict):
        await store.claim(mode=ClaimMode.ASSERT)


async def test_a_connection_asserts_what_was_forgotten(store: Store) -> None:
    await store.claim()
    for key in await store.all_keys():
        await store.redis.delete(key)

    _, claim = await store.claim(mode=ClaimMode.ASSERT)

    assert claim == Claim(resumed=False, previous=None, services={})
    assert await store.registry.clients("ann") == ["me"]


# Giving it back.


async def test_nothing_is_left_of_a_client_that_left(store: Store) -> None:
    attachment, _ = await store.claim()
    await store.services.register(attachment, {"a": info(), "b": info("public")})

    departure = await store.registry.leave("ann/me", "node#1")

    assert departure is not None
    assert (departure.address, departure.user, departure.node) == ("ann/me", "ann", "node")
    assert await store.all_keys() == []


async def test_nothing_is_left_of_a_client_whose_suspension_ended(store: Store) -> None:
    attachment, _ = await store.claim()
    await store.services.register(attachment, {"a": info(), "b": info("public")})
    await store.registry.suspend("ann/me", holder="node#1", grace=0)

    assert await store.expire() == ["ann/me"]

    assert await store.all_keys() == []


async def test_nothing_is_left_of_a_client_that_moved_between_nodes(store: Store) -> None:
    await store.claim()
    await store.registry.suspend("ann/me", holder="node#1", grace=60)
    await store.claim(holder="other#1", mode=ClaimMode.RESUME)
    await store.claim(holder="third#1", mode=ClaimMode.RESUME)

    assert await store.registry.leave("ann/me", "third#1") is not None

    assert await store.all_keys() == []


async def test_a_client_that_left_leaves_those_of_its_workspace_alone(store: Store) -> None:
    mine, _ = await store.claim()
    other, _ = await store.claim("other", "node#2")
    for attachment in (mine, other):
        await store.services.register(attachment, {"s": info("public")})

    await store.registry.leave("ann/me", "node#1")

    assert await store.registry.clients("ann") == ["other"]
    assert [service["id"] for service in await store.services.of_workspace("ann")] == [
        "ann/other:s"
    ]
    assert [service["id"] for service in await store.public.all()] == ["ann/other:s"]
    assert [found.address for found in await store.services.providers("ann", "s")] == ["ann/other"]
    assert await store.registry.user_clients("ann") == ["ann/other"]


async def test_a_persistent_workspace_outlives_its_clients(store: Store) -> None:
    lab = Workspace("lab", owners=["bob"], persistent=True)
    await store.claim(user=BOB, workspace=lab)

    await store.registry.leave("lab/me", "node#1")

    assert await store.redis.hget(store.keys.workspace("lab"), "name") == b'"lab"'
    assert await store.redis.smembers(store.keys.workspaces()) == {b"lab"}


async def test_a_user_with_an_address_stays_known(store: Store) -> None:
    await store.claim(user=BOB)
    await store.registry.leave("bob/me", "node#1")

    assert await store.registry.user_clients("bob") == []
    assert await store.redis.hexists(store.keys.user("bob"), "identity")


# An old holder touches nothing of a newer one.


@pytest.fixture
async def moved(store: Store) -> Store:
    """A client that has come back on another node, with a service in two versions."""
    old, _ = await store.claim(holder="old#1")
    await store.services.register(old, {"s": info("public", stamp="old")})
    new, _ = await store.claim(holder="new#1", mode=ClaimMode.RESUME)
    await store.services.register(new, {"s": info("public", stamp="new")})
    return store


async def assert_untouched(store: Store) -> None:
    assert await store.registry.clients("ann") == ["me"]
    state = await store.redis.hmget(store.keys.client("ann/me"), ["owner", "state"])
    assert state == [b"new#1", b"online"]
    assert [service["stamp"] for service in await store.public.all()] == ["new"]
    assert [service["stamp"] for service in await store.services.of_workspace("ann")] == ["new"]
    assert await store.redis.sismember(store.keys.node_clients("new"), "ann/me new#1")


async def test_an_old_owner_that_leaves_takes_nothing_with_it(moved: Store) -> None:
    assert await moved.registry.leave("ann/me", "old#1") is None

    await assert_untouched(moved)


async def test_an_old_owner_suspends_nobody(moved: Store) -> None:
    assert not await moved.registry.suspend("ann/me", holder="old#1", grace=0)

    assert await moved.expire() == []
    await assert_untouched(moved)


async def test_an_old_owner_registers_and_removes_nothing(moved: Store) -> None:
    old = Attachment("ann/me", "me", own_workspace(ANN), ANN, "old#1", "old")

    with pytest.raises(ClientLeft):
        await moved.services.register(old, {"s": info("public", stamp="older")}, remove=["s"])

    await assert_untouched(moved)


async def test_a_client_that_is_online_is_not_overdue(moved: Store) -> None:
    assert await moved.registry.expire("ann/me", 0) is None

    await assert_untouched(moved)


async def test_an_older_registration_does_not_unlist_a_newer_one(moved: Store) -> None:
    await moved.public.settle("ann/me", {"s": NOT_LISTED})
    await moved.public.settle("ann/me", {"s": info("public", stamp="old")})

    await assert_untouched(moved)


# Services.


async def test_services_are_put_replaced_and_removed(store: Store) -> None:
    mine, _ = await store.claim()

    await store.services.register(mine, {"a": info(), "b": info("public")})
    await store.services.register(mine, {"b": info()}, remove=["a"])

    assert await store.services.of_workspace("ann") == [
        {"name": "s", "config": {"visibility": "protected"}, "id": "ann/me:b"}
    ]
    assert await store.services.providers("ann", "a") == []
    assert await store.public.all() == []
    assert await store.redis.smembers(store.keys.public_names()) == set()


async def test_a_public_service_is_found_by_its_name(store: Store) -> None:
    mine, _ = await store.claim()
    theirs, _ = await store.claim(user=BOB)
    for attachment in (mine, theirs):
        await store.services.register(attachment, {"s": info("public"), "secret": info()})

    found = await store.services.public_providers("s")

    assert {provider.address for provider in found} == {"ann/me", "bob/me"}
    assert all(provider.online and provider.is_public for provider in found)
    assert await store.services.public_providers("secret") == []


async def test_a_client_that_is_away_still_offers_its_services(store: Store) -> None:
    mine, _ = await store.claim()
    await store.services.register(mine, {"s": info("public")})
    await store.registry.suspend("ann/me", holder="node#1", grace=60)

    (by_name,) = await store.services.providers("ann", "s")
    (public,) = await store.services.public_providers("s")
    direct = await store.services.provider("ann/me", "s")

    assert direct is not None
    assert [found.online for found in (by_name, public, direct)] == [False] * 3


async def test_a_client_offers_what_it_registered(store: Store) -> None:
    mine, _ = await store.claim()
    await store.services.register(mine, {"s": info()})

    assert await store.services.provider("ann/me", "t") is None
    built_in = await store.services.provider("ann/me", "built-in")
    assert built_in is not None
    assert built_in.is_public
    with pytest.raises(ClientNotFound):
        await store.services.provider("ann/nobody", "s")


# Suspension.


async def test_a_suspension_ends_only_once(store: Store) -> None:
    await store.claim()
    assert await store.registry.suspend("ann/me", holder="node#1", grace=60)
    until = await store.redis.hget(store.keys.client("ann/me"), "until")

    assert not await store.registry.suspend("ann/me", holder="node#1", grace=600)

    assert await store.redis.hget(store.keys.client("ann/me"), "until") == until
    assert await store.expire() == []
    assert await store.registry.expire("ann/me", 0) is None


async def test_many_clients_come_and_go_without_a_trace(store: Store) -> None:
    users = [replace(ANN, id=f"user{number}") for number in range(50)]
    for user in users:
        attachment, _ = await store.claim(user=user)
        await store.services.register(attachment, {"s": info("public"), "t": info()})
    assert len(await store.services.public_providers("s")) == 50

    for user in users:
        await store.registry.leave(f"{user.id}/me", "node#1")

    assert await store.all_keys() == []
