"""What follows a departure is done before its note goes, and that before what led to it."""

from collections.abc import Callable

import pytest

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.registry.departed import Departure, Departures, Remains
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.public import PublicListing
from hypha_cluster.registry.suspensions import Suspensions
from tests.fake_redis import AWAY, FakeRedis

GONE = Departure("ws/me", "ann", "node", "node#1", end=50, away=20)


def remains(
    *departures: Departure,
    is_there: bool = False,
    has_workspace: bool = True,
    unsettled: tuple[str, ...] = (),
) -> Remains:
    return Remains("ws/me", is_there, 0, has_workspace, unsettled, departures)


class Stage:
    """Departures of one node, and the addresses that it has announced."""

    def __init__(self, fake: FakeRedis, keys: Keys) -> None:
        public, suspensions = PublicListing(fake.client, keys), Suspensions(fake.client, keys)
        self.announced: list[str] = []
        announce: Callable[[str], None] = self.announced.append
        self.departures = Departures(fake.client, keys, public, suspensions, announce)


@pytest.fixture
def stage(fake: FakeRedis, keys: Keys) -> Stage:
    """Where the keys may be at several servers."""
    fake.servers.is_cluster = True
    return Stage(fake, keys)


def test_what_the_script_answers_is_read() -> None:
    note = b'["ann","node","50","20"]'

    read = Remains.read("ws/me", [1, 70, 0, 2, b"s", b"t", b"node#1", note])

    assert read == Remains("ws/me", True, 70, False, ["s", "t"], [GONE])
    assert Remains.read("ws/me", [0, 0, 1, 0]) == remains()._replace(departures=[], unsettled=[])


async def test_all_that_follows_is_done_in_its_order(fake: FakeRedis, stage: Stage) -> None:
    await stage.departures.finish(remains(GONE))

    assert stage.announced == ["ws/me"]
    assert fake.names == ["forget_user", "finish", "srem", "done", "done"]
    assert fake.words("forget_user") == [("p:user:ann", "ws/me", "node#1")]
    assert fake.words("finish") == [("p:{ws}/me:departed", "p:{ws}", "node#1")]
    assert fake.words("srem") == [("p:node:node:clients", "ws/me node#1")]


@pytest.mark.parametrize("failing", ["forget_user", "finish", "hdel"])
async def test_what_led_to_the_note_stays_when_something_is_not_done(
    fake: FakeRedis, stage: Stage, failing: str
) -> None:
    fake.answers[failing] = AWAY

    with pytest.raises(RedisUnavailable):
        await stage.departures.finish(remains(GONE, unsettled=("s",)))

    assert "ws/me node#1" not in [words[-1] for words in fake.words("srem")]
    assert "done" not in fake.names


async def test_one_server_does_all_that_follows_at_once(fake: FakeRedis, keys: Keys) -> None:
    stage = Stage(fake, keys)
    again = GONE._replace(user="bob", node="other", holder="other#2", end=0, away=0)

    await stage.departures.finish(remains(GONE, again, unsettled=("s",)))

    assert stage.announced == ["ws/me"]
    assert [name for name in fake.names if name in ("hdel", "depart")] == ["hdel", "depart"]
    assert fake.words("depart") == [
        (
            *("p:{ws}/me:departed", "p:{ws}", "p:workspaces", "p:suspended", "p:away"),
            *("p:user:ann", "p:node:node:clients", "p:user:bob", "p:node:other:clients"),
            *("ws/me", "ws", "node#1", 50, 20, "other#2", 0, 0),
        )
    ]


async def test_one_server_that_fails_is_said_to(fake: FakeRedis, keys: Keys) -> None:
    fake.answers["depart"] = AWAY

    with pytest.raises(RedisUnavailable):
        await Stage(fake, keys).departures.finish(remains(GONE))


async def test_who_is_there_anew_is_not_announced(fake: FakeRedis, stage: Stage) -> None:
    await stage.departures.finish(remains(GONE, is_there=True))

    assert stage.announced == []
    assert "finish" in fake.names


async def test_the_name_of_a_workspace_goes_with_it_unless_it_is_made_anew(
    fake: FakeRedis, stage: Stage
) -> None:
    fake.answers["finish"] = 0
    await stage.departures.finish(remains(GONE, has_workspace=False))
    assert ("p:workspaces", "ws") in fake.words("srem")
    assert fake.words("sadd") == []

    fake.answers["finish"] = 1
    await stage.departures.finish(remains(GONE, has_workspace=False))
    assert fake.words("sadd") == [("p:workspaces", "ws")]


async def test_services_are_settled_without_a_departure_too(fake: FakeRedis, stage: Stage) -> None:
    await stage.departures.finish(remains(unsettled=("s",)))

    assert fake.words("hdel") == [("p:public:{s}", "ws/me:s")]
    assert stage.announced == []
    assert "finish" not in fake.names


async def test_where_nothing_follows_nothing_is_asked(fake: FakeRedis, stage: Stage) -> None:
    await stage.departures.finish(remains())

    assert fake.names == []
