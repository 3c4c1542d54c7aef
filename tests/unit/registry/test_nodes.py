"""A lease has one process; whose has ended is found by one command."""

import json
from typing import Any

import pytest

from hypha_cluster.errors import Conflict, RedisUnavailable
from hypha_cluster.registry import nodes as module
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.nodes import Dead, NodeInfo, Nodes, Renewal, list_nodes
from tests.fake_redis import AWAY, FakeRedis, Words

ABOUT: dict[str, Any] = {"address": "http://x", "started": 1, "version": "1", "draining": False}


@pytest.fixture
def nodes(fake: FakeRedis, keys: Keys) -> Nodes:
    return Nodes(fake.client, keys, ttl=5.0, interval=1.0)


async def test_a_lease_is_noted_before_it_is_taken(fake: FakeRedis, nodes: Nodes) -> None:
    await nodes.take_lease("a", ABOUT)

    assert fake.names == ["note_lease", "take_lease"]
    assert fake.words("note_lease") == [("p:leases", "a", 5_000)]
    (words,) = fake.words("take_lease")
    assert words[0] == "p:node:a"
    assert words[2:] == (json.dumps(ABOUT), 5_000, 2_500)  # what is left after 2.5 intervals


async def test_the_lease_of_another_process_is_not_taken(fake: FakeRedis, nodes: Nodes) -> None:
    fake.answers["take_lease"] = json.dumps(ABOUT).encode()

    with pytest.raises(Conflict, match=r"'a' is running, at http://x; .*--node-name"):
        await nodes.take_lease("a", ABOUT)


@pytest.mark.parametrize("renewal", Renewal)
async def test_what_came_of_a_renewal_is_answered(
    fake: FakeRedis, nodes: Nodes, renewal: Renewal
) -> None:
    fake.answers["renew_lease"] = int(renewal)

    assert await nodes.renew_lease("a") is renewal


async def test_two_processes_have_two_epochs(fake: FakeRedis, keys: Keys, nodes: Nodes) -> None:
    await nodes.take_lease("a", ABOUT)
    await Nodes(fake.client, keys, ttl=5.0, interval=1.0).take_lease("a", ABOUT)

    first, second = (words[1] for words in fake.words("take_lease"))
    assert first != second


@pytest.mark.parametrize(
    ("left", "is_in_use"), [([-2], False), ([2_400], False), ([4_000, 3_000, 2_400], False)]
)
async def test_it_waits_until_a_lease_was_not_renewed_for_long(
    fake: FakeRedis,
    nodes: Nodes,
    left: list[int],
    is_in_use: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_LOOK", 0.0)
    looks = iter(left)
    fake.answers["pttl"] = lambda words: next(looks)

    await nodes.wait_for("a")

    assert next(looks, None) is None


async def test_a_lease_that_is_renewed_meanwhile_is_anothers(
    fake: FakeRedis, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK", 0.0)
    looks = iter([4_000, 3_900, 5_000])
    fake.answers |= {"pttl": lambda words: next(looks), "hget": json.dumps(ABOUT).encode()}

    with pytest.raises(Conflict, match="--node-name"):
        await nodes.wait_for("a")


async def test_the_dead_are_those_that_have_no_lease_either(fake: FakeRedis, nodes: Nodes) -> None:
    fake.answers |= {
        "ended_leases": [b"dead", 2_000, b"slow", 500],
        "exists": lambda words: int(words[0] == "p:node:slow"),
    }

    assert await nodes.dead() == [Dead("dead", silent=7.0)]
    assert await nodes.silent("dead") == 7.0


async def test_of_an_unknown_node_nothing_is_said(fake: FakeRedis, nodes: Nodes) -> None:
    fake.answers["ended_leases"] = []

    assert await nodes.silent("x") is None
    assert await nodes.dead() == []


@pytest.mark.parametrize("is_own", [0, 1])
async def test_only_its_own_lease_is_dropped(fake: FakeRedis, nodes: Nodes, is_own: int) -> None:
    fake.answers["drop_lease"] = is_own

    await nodes.drop_lease("a")

    assert fake.words("zrem") == [("p:leases", "a")] * is_own


async def test_nodes_are_listed_with_what_is_known_of_them(fake: FakeRedis, keys: Keys) -> None:
    about = json.dumps(ABOUT).encode()

    def read(words: Words) -> bytes | None:
        return about if words[0] == "p:node:a" else None

    fake.answers |= {"zrange": [b"b", b"a"], "hget": read, "scard": 3}

    assert await list_nodes(fake.client, keys) == [
        NodeInfo("a", 3, alive=True, **ABOUT),
        NodeInfo("b", 3, alive=False),
    ]


async def test_what_a_later_release_says_of_a_node_is_passed_over(
    fake: FakeRedis, keys: Keys
) -> None:
    about = json.dumps({**ABOUT, "public_url": "https://hub.example", "mood": "good"}).encode()
    fake.answers |= {"zrange": [b"a"], "hget": about, "scard": 3}

    (node,) = await list_nodes(fake.client, keys)

    assert node == NodeInfo("a", 3, alive=True, public_url="https://hub.example", **ABOUT)


async def test_a_lease_that_could_not_be_noted_is_said_not_to_be_renewed(
    fake: FakeRedis, nodes: Nodes
) -> None:
    fake.answers["note_lease"] = AWAY

    with pytest.raises(RedisUnavailable):
        await nodes.renew_lease("a")
