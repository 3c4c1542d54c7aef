"""The listing says what the workspaces say, whoever is faster."""

import json

import pytest

from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.public import NOT_LISTED, PublicListing, as_listed, is_public
from tests.fake_redis import FakeRedis

PUBLIC = json.dumps({"config": {"visibility": "public"}})
PROTECTED = json.dumps({"config": {"visibility": "protected"}})


@pytest.fixture
def listing(fake: FakeRedis, keys: Keys) -> PublicListing:
    return PublicListing(fake.client, keys)


def test_only_what_says_so_is_public() -> None:
    assert is_public(json.loads(PUBLIC))
    assert not is_public(json.loads(PROTECTED))
    assert not is_public({})
    assert as_listed(PUBLIC) == PUBLIC
    assert as_listed(PROTECTED) == as_listed("{}") == NOT_LISTED
    assert as_listed(json.dumps({"name": "public", **json.loads(PROTECTED)})) == NOT_LISTED


async def test_a_public_service_is_listed_and_then_checked(
    fake: FakeRedis, listing: PublicListing
) -> None:
    await listing.settle("ws/me", {"s": PUBLIC})

    assert fake.names == ["hset", "sadd", "settle"]
    assert fake.words("hset") == [("p:public:{s}", "ws/me:s", PUBLIC)]
    assert fake.words("sadd") == [("p:public", "s")]
    assert fake.words("settle")[0][-3:] == ("me", "s", PUBLIC)


@pytest.mark.parametrize("is_left", [0, 1])
async def test_a_name_goes_with_the_last_service_that_has_it(
    fake: FakeRedis, listing: PublicListing, is_left: int
) -> None:
    fake.answers["exists"] = is_left

    await listing.settle("ws/me", {"s": NOT_LISTED})

    assert fake.words("hdel") == [("p:public:{s}", "ws/me:s")]
    assert fake.words("srem") == [("p:public", "s")] * (not is_left)


async def test_a_name_stays_that_another_service_gets_meanwhile(
    fake: FakeRedis, listing: PublicListing
) -> None:
    looks = iter([0, 1])
    fake.answers["exists"] = lambda words: next(looks)

    await listing.settle("ws/me", {"s": NOT_LISTED})

    assert fake.words("sadd") == [("p:public", "s")]


async def test_what_has_changed_meanwhile_is_listed_as_it_is_by_now(
    fake: FakeRedis, listing: PublicListing
) -> None:
    """It was public when this began; then another gateway made it protected."""
    answers = iter([[b"s", b""], []])
    fake.answers["settle"] = lambda words: next(answers)

    await listing.settle("ws/me", {"s": PUBLIC, "t": PUBLIC})

    assert fake.names.count("settle") == 2
    assert fake.words("hdel") == [("p:public:{s}", "ws/me:s")]
    assert fake.words("settle")[1][-2:] == ("s", NOT_LISTED)


async def test_nothing_to_settle_is_nothing_to_ask(fake: FakeRedis, listing: PublicListing) -> None:
    await listing.settle("ws/me", {})

    assert fake.names == []


async def test_the_listing_is_read_by_its_names(fake: FakeRedis, listing: PublicListing) -> None:
    fake.answers |= {
        "smembers": [b"s"],
        "hgetall": [b"ws/me:s", PUBLIC.encode()],
        "hkeys": [b"ws/me:s"],
    }

    assert await listing.all() == [{**json.loads(PUBLIC), "id": "ws/me:s"}]
    assert await listing.named("s") == ["ws/me:s"]
