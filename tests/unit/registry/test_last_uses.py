"""When a token was last used: heard at once, written seldom."""

import pytest

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.identity.access import Identity, Origin
from hypha_cluster.identity.tokens import listed_id
from hypha_cluster.protocol.limits import NOTED_USES
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.last_uses import PAUSE, LastUses
from tests.fake_redis import AWAY, FakeRedis


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fake() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
def uses(fake: FakeRedis, clock: Clock) -> LastUses:
    return LastUses(fake.client, Keys("p"), clock)


def bearer(token: str) -> Identity:
    """Whoever comes with a token that Ann has made."""
    return Identity("child", parent="ann", scopes=("lab",), origin=Origin(token, 1.0))


async def test_one_use_a_minute_is_written(fake: FakeRedis, uses: LastUses, clock: Clock) -> None:
    token = listed_id()

    for _ in range(1_000):
        uses.note(bearer(token))
        clock.now += 0.05
    await uses.write()
    await uses.write()

    assert fake.words("use_token") == [("p:tokens:ann", token, "1000000")]

    clock.now += PAUSE
    uses.note(bearer(token))
    await uses.write()

    assert len(fake.words("use_token")) == 2


async def test_each_token_is_one_of_its_own(fake: FakeRedis, uses: LastUses) -> None:
    tokens = [listed_id(), listed_id()]

    for token in tokens:
        uses.note(bearer(token))
    await uses.write()

    assert [words[1] for words in fake.words("use_token")] == tokens


async def test_a_token_that_no_page_shows_costs_nothing(fake: FakeRedis, uses: LastUses) -> None:
    uses.note(bearer("of generate_token"))
    uses.note(Identity("guest"))

    await uses.write()

    assert fake.sent == []


async def test_what_is_noted_is_bounded(fake: FakeRedis, uses: LastUses) -> None:
    for _ in range(NOTED_USES + 10):
        uses.note(bearer(listed_id()))

    await uses.write()

    assert len(fake.words("use_token")) == NOTED_USES


async def test_while_redis_is_away_nobody_fails(fake: FakeRedis, uses: LastUses) -> None:
    fake.answers["use_token"] = AWAY
    assert isinstance(AWAY, RedisUnavailable)
    uses.note(bearer(listed_id()))

    await uses.write()
    await uses.write()

    assert len(fake.words("use_token")) == 1
