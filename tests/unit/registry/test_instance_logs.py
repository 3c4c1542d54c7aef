"""Logs of instances in a real Redis: so many entries, for so long, and nobody reads another's."""

import pytest
from redis.asyncio import Redis

from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.instance_logs import InstanceLogs
from hypha_cluster.registry.keys import Keys


@pytest.fixture
def keys(redis_prefix: str) -> Keys:
    return Keys(redis_prefix)


async def test_a_log_has_so_many_entries_and_an_end(
    redis_client: RedisClient, redis: Redis, keys: Keys
) -> None:
    logs = InstanceLogs(redis_client, keys)
    await logs.write("ann/a", "log", [f"{number}" for number in range(30)], kept=20)
    await logs.write("ann/a", "error", ["bad"])

    assert [entry.text for entry in await logs.read("ann/a", "log", 1, 2)] == ["11", "12"]
    assert await logs.last("ann/a", "log") == "29"
    assert await logs.last("ann/a", "debug") == ""
    assert await logs.read("ann/a", "nonsense", 0, 5) == []
    assert {kind: len(found) for kind, found in (await logs.all("ann/a")).items()} == {
        "error": 1,
        "log": 20,
    }
    assert 0 < 86_400_000 - await redis.pttl(keys.instance_log("ann/a", "log")) < 3_600_000
