"""The reaper is told of a claim before it is made; what came of it is told in the hub's words."""

import json
from typing import Any

import pytest

from hypha_cluster.errors import (
    Conflict,
    InvalidToken,
    RedisUnavailable,
    Replaced,
    StillOnline,
)
from hypha_cluster.identity.access import Identity, own_workspace
from hypha_cluster.registry.clients import Attachment, ClaimMode, ClientRegistry, Previous
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.public import NOT_LISTED, PublicListing
from tests.fake_redis import AWAY, FakeRedis

ANN = Identity("ann")
ME = Attachment("ann/me", "me", own_workspace(ANN), ANN, "node#1", "node")
NEW = [b"claimed", b"", b"", b"0", b"0", b"", 0]
PUBLIC = json.dumps({"config": {"visibility": "public"}})


@pytest.fixture
def registry(fake: FakeRedis, keys: Keys) -> ClientRegistry:
    fake.answers["claim"] = NEW
    return ClientRegistry(fake.client, keys, PublicListing(fake.client, keys))


async def test_one_server_notes_a_claim_at_once(fake: FakeRedis, registry: ClientRegistry) -> None:
    claim = await registry.claim(ME, ClaimMode.NEW)
    await registry.noted(claim)

    assert fake.names == ["claim"]
    (words,) = fake.words("claim")
    assert words[8:11] == ("p:node:node:clients", "p:user:ann", "p:workspaces")
    assert (claim.resumed, claim.previous, claim.services) == (False, None, {})


async def test_the_reaper_is_told_first(fake: FakeRedis, registry: ClientRegistry) -> None:
    fake.servers.is_cluster = True

    claim = await registry.claim(ME, ClaimMode.NEW)
    await registry.noted(claim)

    assert fake.names[:2] == ["sadd", "claim"]
    assert fake.words("sadd")[0] == ("p:node:node:clients", "ann/me node#1")
    assert (claim.resumed, claim.previous, claim.services) == (False, None, {})


async def test_a_claim_of_which_the_reaper_may_not_know_does_not_count(
    fake: FakeRedis, registry: ClientRegistry
) -> None:
    fake.servers.is_cluster = True
    fake.answers["sadd"] = AWAY

    with pytest.raises(RedisUnavailable):
        await registry.claim(ME, ClaimMode.NEW)


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (b"taken", Conflict),
        (b"online", StillOnline),
        (b"replaced", Replaced),
        (b"left", InvalidToken),
    ],
)
async def test_whoever_is_refused_is_nothing_for_the_reaper(
    fake: FakeRedis, registry: ClientRegistry, outcome: bytes, error: type[Exception]
) -> None:
    fake.servers.is_cluster = True
    fake.answers["claim"] = [outcome]

    with pytest.raises(error):
        await registry.claim(ME, ClaimMode.RESUME)

    assert fake.words("srem") == [("p:node:node:clients", "ann/me node#1")]


async def test_who_comes_back_is_no_longer_elsewhere_nor_suspended(
    fake: FakeRedis, registry: ClientRegistry
) -> None:
    services: list[Any] = [b"s", PUBLIC.encode(), b"t", b"{}"]
    fake.answers["claim"] = [b"resumed", b"old#7", b"old", b"50", b"20", b"", 0, *services]

    claim = await registry.claim(ME, ClaimMode.RESUME)
    await registry.noted(claim)

    assert (claim.resumed, claim.previous) == (True, Previous("old#7", "old"))
    assert claim.services == {"s": PUBLIC, "t": "{}"}
    assert fake.words("srem") == [("p:node:old:clients", "ann/me old#7")]
    assert fake.words("done") == [("p:suspended", 50, "ann/me"), ("p:away", 20, "ann/me")]


async def test_who_asserts_its_place_stays_in_the_list_of_its_node(
    fake: FakeRedis, registry: ClientRegistry
) -> None:
    fake.answers["claim"] = [b"resumed", b"node#1", b"node", b"0", b"0", b"", 0]

    await registry.noted(await registry.claim(ME, ClaimMode.ASSERT))

    assert "srem" not in fake.names


async def test_whoever_claims_settles_what_another_one_has_begun(
    fake: FakeRedis, registry: ClientRegistry
) -> None:
    unsettled: list[Any] = [2, b"s", b"gone"]
    fake.answers["claim"] = [
        *(b"resumed", b"old#7", b"old", b"0", b"0", b""),
        *(*unsettled, b"s", PUBLIC.encode()),
    ]

    claim = await registry.claim(ME, ClaimMode.RESUME)
    await registry.noted(claim)

    assert claim.unsettled == ("ann/me", {"s": PUBLIC, "gone": NOT_LISTED})
    assert ("p:public:{s}", "ann/me:s", PUBLIC) in fake.words("hset")
    assert ("p:public:{gone}", "ann/me:gone") in fake.words("hdel")


async def test_who_leaves_is_answered_once_it_is_finished(
    fake: FakeRedis, registry: ClientRegistry
) -> None:
    fake.answers["leave"] = [0, 0, 1, 0, b"node#1", b'["ann","node","0","0"]']

    departure = await registry.leave("ann/me", "node#1")

    assert departure is not None
    assert (departure.user, departure.holder) == ("ann", "node#1")
    assert fake.names == ["leave", "depart"]


async def test_who_leaves_a_cluster_is_answered_once_it_is_finished(
    fake: FakeRedis, registry: ClientRegistry
) -> None:
    fake.servers.is_cluster = True
    fake.answers["leave"] = [0, 0, 1, 0, b"node#1", b'["ann","node","0","0"]']

    departure = await registry.leave("ann/me", "node#1")

    assert departure is not None
    assert fake.names == ["leave", "forget_user", "finish", "srem"]


async def test_who_is_another_one_by_now_leaves_no_trace_of_its_own(
    fake: FakeRedis, registry: ClientRegistry
) -> None:
    fake.answers["leave"] = [1, 0, 1, 0]

    assert await registry.leave("ann/me", "node#1") is None

    assert fake.words("srem") == [("p:node:node:clients", "ann/me node#1")]


@pytest.mark.parametrize(("answer", "is_done"), [(1, True), (0, False), (-1, False)])
async def test_who_is_suspended_is_no_longer_its_nodes(
    fake: FakeRedis, registry: ClientRegistry, answer: int, is_done: bool
) -> None:
    fake.answers["suspend"] = [answer, 50, 20]

    assert await registry.suspend("ann/me", holder="node#1", grace=3) is is_done

    assert fake.words("srem") == [("p:node:node:clients", "ann/me node#1")]


async def test_listings_are_sorted_and_hold_no_more_than_addresses(
    fake: FakeRedis, registry: ClientRegistry
) -> None:
    fake.answers |= {
        "smembers": [b"b", b"a"],
        "hkeys": [b"identity", b"ws/b", b"ws/a"],
        "hget": lambda words: None if words[0].endswith("/gone") else b"node#1",
    }

    assert await registry.clients("ws") == ["a", "b"]
    assert await registry.user_clients("ann") == ["ws/a", "ws/b"]
    assert await registry.holders(["ws/a", "ws/gone"]) == ["node#1", None]
