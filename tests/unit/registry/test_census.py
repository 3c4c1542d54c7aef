"""What operators see of clients."""

import json
from typing import Any

import pytest

from hypha_cluster.registry.census import ClientInfo, about_client, about_clients, addresses_of
from hypha_cluster.registry.keys import Keys
from tests.fake_redis import FakeRedis, Words

KEYS = Keys("p")


@pytest.fixture
def fake() -> FakeRedis:
    fake = FakeRedis()
    clients = {"p:{lab}:clients": [b"b", b"a"], "p:{ann}:clients": [b"me"]}
    fake.answers |= {
        "smembers": lambda words: clients.get(words[0], []),
        "hgetall": _record,
        "scard": 3,
    }
    return fake


def _record(words: Words) -> list[Any]:
    user = json.dumps({"id": "ann", "email": "ann@example.org"}).encode()
    known = [b"state", b"online", b"node", b"gateway-1", b"user", user]
    return [] if words[0].endswith("/gone") else known


async def test_addresses_come_by_workspace(fake: FakeRedis) -> None:
    assert await addresses_of(fake.client, KEYS, ["lab", "ann"]) == ["ann/me", "lab/a", "lab/b"]


async def test_a_client_is_told_with_where_it_is_and_whose(fake: FakeRedis) -> None:
    found = await about_client(fake.client, KEYS, "lab/a")

    assert found == ClientInfo("lab/a", "online", "gateway-1", "ann@example.org", 3)


async def test_who_has_gone_is_left_out(fake: FakeRedis) -> None:
    assert await about_client(fake.client, KEYS, "lab/gone") is None
    found = await about_clients(fake.client, KEYS, ["lab/a", "lab/gone", "lab/b"])
    assert [each.address for each in found] == ["lab/a", "lab/b"]


async def test_many_are_asked_for_by_and_by(fake: FakeRedis) -> None:
    addresses = [f"lab/{number}" for number in range(1_201)]

    found = await about_clients(fake.client, KEYS, addresses)

    assert [each.address for each in found] == addresses
