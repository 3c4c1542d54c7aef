"""Mail is taken by tickets, so that what is done twice is done once; calls are given up in time."""

import pytest

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.mailboxes import CALL, OTHER, Mailboxes, Marked
from tests.fake_redis import AWAY, FakeRedis, Words


@pytest.fixture
def mailboxes(fake: FakeRedis, keys: Keys) -> Mailboxes:
    return Mailboxes(fake.client, keys, lifetime=60.0)


async def test_where_there_is_no_mail_nothing_is_taken(
    fake: FakeRedis, mailboxes: Mailboxes
) -> None:
    fake.answers["exists"] = 0

    assert await mailboxes.take("ws/me") == []
    assert fake.names == ["exists"]


async def test_each_taking_has_a_ticket_of_its_own(fake: FakeRedis, mailboxes: Mailboxes) -> None:
    fake.answers["take_mail"] = [b"one", b"two"]

    assert await mailboxes.take("ws/me") == [b"one", b"two"]
    await mailboxes.take("ws/me")

    tickets = [words[2] for words in fake.words("take_mail")]
    assert len(set(tickets)) == 2
    assert all(ticket.startswith("p:{ws}/me:mail:") for ticket in tickets)


async def test_what_may_have_been_taken_is_put_back(fake: FakeRedis, mailboxes: Mailboxes) -> None:
    fake.answers |= {"take_mail": AWAY, "lrange": [b"1call", b"0event"], "put_back": [0, 1]}
    with pytest.raises(RedisUnavailable):
        await mailboxes.take("ws/me")

    assert await mailboxes.recover() == [("ws/me", [Marked(CALL, b"call")])]

    assert fake.words("put_back")[0][-2:] == (b"1call", b"0event")
    assert await mailboxes.recover() == []


async def test_frames_for_which_there_is_nobody_come_back(
    fake: FakeRedis, mailboxes: Mailboxes
) -> None:
    frames = [Marked(CALL, b"a"), Marked(OTHER, b"b")]
    fake.answers["put_back"] = [1, 0]

    assert await mailboxes.put_back("ws/me", frames) == [frames[1]]
    assert await mailboxes.put_back("ws/me", []) == []
    assert fake.names == ["put_back"]


async def test_calls_are_given_up_by_the_hundred(fake: FakeRedis, mailboxes: Mailboxes) -> None:
    due = [f"ws/{number}".encode() for number in range(250)]
    fake.answers |= {
        "due": [7, *due],
        "give_up": lambda words: [[b"call"] if key.endswith("/3") else [] for key in words[::4]],
    }

    assert await mailboxes.give_up_calls() == [("ws/3", [b"call"])]

    assert len(fake.words("give_up")) == 3
    assert sum(len(words) // 2 for words in fake.words("done")) == 250


async def test_who_is_due_too_early_comes_again_in_time(
    fake: FakeRedis, mailboxes: Mailboxes
) -> None:
    fake.answers |= {"due": [7, b"ws/me"], "give_up": [99]}

    assert await mailboxes.give_up_calls() == []

    assert fake.words("zadd") == [("p:away", 99, "ws/me")]


async def test_a_part_that_is_away_stops_nobody_elses_calls(
    fake: FakeRedis, mailboxes: Mailboxes
) -> None:
    def give_up(words: Words) -> object:
        return AWAY if "{lost}" in words[0] else [[b"call"]]

    fake.servers.is_cluster = True
    fake.answers |= {"due": [7, b"lost/me", b"ws/me"], "give_up": give_up}

    assert await mailboxes.give_up_calls() == [("ws/me", [b"call"])]

    assert fake.words("done") == [("p:away", 7, "ws/me")]
