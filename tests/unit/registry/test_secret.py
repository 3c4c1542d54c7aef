"""The secret that gateways share is made once."""

import pytest

from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.secret import shared_secret
from tests.fake_redis import FakeRedis, Words


@pytest.fixture
def kept(fake: FakeRedis) -> list[str]:
    """What Redis has of it, at first nothing."""
    kept: list[str] = []

    def set_if_new(words: Words) -> bytes | None:
        if kept:
            return None
        kept.append(words[1])
        return b"OK"

    fake.answers |= {"set": set_if_new, "get": lambda words: kept[0].encode()}
    return kept


async def test_all_get_the_one_that_the_first_has_made(
    fake: FakeRedis, keys: Keys, kept: list[str]
) -> None:
    first = await shared_secret(fake.client, keys)

    assert await shared_secret(fake.client, keys) == first == kept[0]
    assert len(first) >= 64
