"""Who takes what is due has it for a while, and says when it is done."""

from hypha_cluster.registry.deadlines import HELD, Deadlines, Due
from tests.fake_redis import FakeRedis


async def test_what_is_due_is_handed_out_for_a_while(fake: FakeRedis) -> None:
    fake.answers["due"] = [1_000, b"ws/a", b"ws/b"]

    assert await Deadlines(fake.client, "p:away").take(5) == Due(1_000, ["ws/a", "ws/b"])

    assert fake.words("due") == [("p:away", 5, int(HELD * 1000))]


async def test_nothing_may_be_due(fake: FakeRedis) -> None:
    fake.answers["due"] = [1_000]

    assert await Deadlines(fake.client, "p:away").take(5) == Due(1_000, [])


async def test_times_are_noted_and_forgotten_with_their_addresses(fake: FakeRedis) -> None:
    deadlines = Deadlines(fake.client, "p:away")

    await deadlines.put({"ws/a": 7, "ws/b": 8})
    await deadlines.done({"ws/a": 7, "ws/b": 8})

    assert fake.words("zadd") == [("p:away", 7, "ws/a", 8, "ws/b")]
    assert fake.words("done") == [("p:away", 7, "ws/a", 8, "ws/b")]
