"""Whose stream it is, as Redis has it."""

import pytest

from hypha_cluster.errors import Conflict
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.streams import Streams
from tests.fake_redis import FakeRedis

KEY = "p:stream:digest"
LIFETIME = 140_000  # of a grace of a minute


@pytest.fixture
def streams(fake: FakeRedis, keys: Keys) -> Streams:
    return Streams(fake.client, keys, 60.0)


async def test_a_stream_is_noted_for_longer_than_its_client_may_be_away(
    fake: FakeRedis, streams: Streams
) -> None:
    fake.answers["set"] = b"OK"

    await streams.open("digest", "ann/me")

    assert fake.words("set") == [(KEY, "ann/me", "NX", "PX", LIFETIME)]


async def test_a_client_that_comes_back_has_it_noted_again(
    fake: FakeRedis, streams: Streams
) -> None:
    fake.answers |= {"set": None, "get": b"ann/me"}

    await streams.open("digest", "ann/me")

    assert fake.words("set")[1:] == [(KEY, "ann/me", "PX", LIFETIME)]


async def test_the_stream_of_another_client_stays_its(fake: FakeRedis, streams: Streams) -> None:
    fake.answers |= {"set": None, "get": b"bob/me"}

    with pytest.raises(Conflict, match="session_id is in use"):
        await streams.open("digest", "ann/me")

    assert len(fake.words("set")) == 1


async def test_an_address_is_asked_for_once_in_a_while(fake: FakeRedis, streams: Streams) -> None:
    fake.answers["get"] = b"ann/me"

    assert [await streams.find("digest") for _ in range(3)] == ["ann/me"] * 3

    assert fake.words("get") == [(KEY,)]


async def test_that_there_is_none_is_not_remembered(fake: FakeRedis, streams: Streams) -> None:
    fake.answers["get"] = None

    assert await streams.find("digest") is None

    fake.answers["get"] = b"ann/me"
    assert await streams.find("digest") == "ann/me"
