"""Who is suspended is listed before a node forgets it, and who is elsewhere stays with its node."""

import pytest

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.suspensions import Suspension, Suspensions, Tenure
from tests.fake_redis import AWAY, FakeRedis

TENURES = [Tenure(f"ws/{client}", f"node#{client}") for client in "abcd"]


@pytest.fixture
def suspensions(fake: FakeRedis, keys: Keys) -> Suspensions:
    return Suspensions(fake.client, keys)


def test_a_hold_is_a_member_of_its_nodes_list() -> None:
    tenure = Tenure("ws/client", "a-node#epoch.1")

    assert tenure.node == "a-node"
    assert Tenure.of(str(tenure).encode()) == tenure


async def test_what_came_of_each_is_answered_and_noted(
    fake: FakeRedis, suspensions: Suspensions, caplog: pytest.LogCaptureFixture
) -> None:
    fake.answers["suspend"] = [1, 50, 20, 0, 51, 21, -1, 0, 0, -2, 0, 0]

    outcomes = await suspensions.begin(TENURES, grace=3, age=1.5)

    assert outcomes == [
        Suspension.DONE,
        Suspension.BEFORE,
        Suspension.ELSEWHERE,
        Suspension.BROKEN,
    ]
    owners = [tenure.holder for tenure in TENURES]
    clients = [f"p:{{ws}}/{client}" for client in "abcd"]
    assert fake.words("suspend") == [(*clients, 3_000, 1_500, *owners)]
    assert fake.words("zadd") == [
        ("p:suspended", 50, "ws/a", 51, "ws/b"),
        ("p:away", 20, "ws/a", 21, "ws/b"),
    ]
    forgotten = [member for _, member in fake.words("srem")]
    assert forgotten == [str(TENURES[0]), str(TENURES[1]), str(TENURES[3])]
    assert caplog.messages == ["What Redis has in the place of ws/d is no client."]


async def test_a_node_does_not_forget_whom_no_list_has(
    fake: FakeRedis, suspensions: Suspensions
) -> None:
    fake.answers |= {"suspend": [1, 50, 20], "zadd": AWAY}

    with pytest.raises(RedisUnavailable):
        await suspensions.begin(TENURES[:1], grace=3)

    assert "srem" not in fake.names


async def test_nobody_is_nothing_to_note(fake: FakeRedis, suspensions: Suspensions) -> None:
    fake.answers["suspend"] = [-1, 0, 0]

    assert await suspensions.begin(TENURES[:1], grace=3) == [Suspension.ELSEWHERE]

    assert fake.names == ["suspend"]


async def test_a_suspension_is_over_in_both_lists(
    fake: FakeRedis, suspensions: Suspensions
) -> None:
    for reply in suspensions.over("ws/a", end=50, away=20):
        await reply

    assert fake.words("done") == [("p:suspended", 50, "ws/a"), ("p:away", 20, "ws/a")]
