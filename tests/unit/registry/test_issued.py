"""The tokens of a user: shown while they last, bounded, ended by their id."""

import json
import time
from typing import Any

import pytest

from hypha_cluster.errors import Conflict, NotFound
from hypha_cluster.protocol.limits import ISSUED_TOKENS, LISTED_LOGINS
from hypha_cluster.registry.issued import IssuedToken, IssuedTokens
from hypha_cluster.registry.keys import Keys
from tests.fake_redis import FakeRedis

NOW = time.time()
LASTS = 3_600.0  # seconds; far longer than all tests of a run


def token(name: str, *, made: float = NOW, lasts: float = LASTS) -> IssuedToken:
    return IssuedToken(name, f"the {name}", ("ann",), made, made + lasts)


def stored(*tokens: IssuedToken) -> dict[bytes, bytes]:
    fields = {each.id: each.to_json() for each in tokens}
    fields |= {f"used:{each.id}": f"{each.used}" for each in tokens if each.used}
    return {name.encode(): value.encode() for name, value in fields.items()}


@pytest.fixture
def issued(fake: FakeRedis, keys: Keys) -> IssuedTokens:
    return IssuedTokens(fake.client, keys)


def holds(fake: FakeRedis, *tokens: IssuedToken) -> None:
    flat: list[Any] = [part for pair in stored(*tokens).items() for part in pair]
    fake.answers["hgetall"] = flat


async def test_those_that_last_are_shown_the_newest_first(
    fake: FakeRedis, issued: IssuedTokens
) -> None:
    old, new, over = token("old", made=NOW - 9), token("new"), token("over", made=NOW - LASTS - 9)
    holds(fake, old, over, new)

    assert await issued.of_user("ann") == [new, old]


async def test_one_more_is_kept_and_what_is_over_goes(
    fake: FakeRedis, issued: IssuedTokens, keys: Keys
) -> None:
    holds(fake, token("old"), token("over", made=NOW - LASTS - 9))

    await issued.add("ann", token("new"))

    ((key, name, value, *over),) = fake.words("note_token")
    assert (key, name, over) == (keys.tokens("ann"), "new", ["over"])
    assert json.loads(value) == ["the new", ["ann"], NOW, NOW + LASTS, False]


async def test_when_it_was_last_used_is_told(fake: FakeRedis, issued: IssuedTokens) -> None:
    used = token("used")._replace(used=NOW - 5)
    holds(fake, used, token("never")._replace(made=NOW - 9))

    assert [each.used for each in await issued.of_user("ann")] == [NOW - 5, 0.0]


async def test_a_login_makes_the_oldest_ones_go(fake: FakeRedis, issued: IssuedTokens) -> None:
    """And never what its user has made by hand, however many there are."""
    logins = [
        token(f"login{number}", made=NOW - number)._replace(by_login=True)
        for number in range(LISTED_LOGINS)
    ]
    holds(fake, *logins, *(token(str(number)) for number in range(ISSUED_TOKENS)))

    await issued.add("ann", token("new")._replace(by_login=True))

    ((_, name, _, *over),) = fake.words("note_token")
    assert (name, over) == ("new", [logins[-1].id])


async def test_logins_take_no_room_of_others(fake: FakeRedis, issued: IssuedTokens) -> None:
    logins = [token(f"login{n}")._replace(by_login=True) for n in range(LISTED_LOGINS)]
    holds(fake, *logins, *(token(str(number)) for number in range(ISSUED_TOKENS - 1)))

    await issued.add("ann", token("new"))

    assert "note_token" in fake.names


async def test_they_are_bounded(fake: FakeRedis, issued: IssuedTokens) -> None:
    holds(fake, *(token(str(number)) for number in range(ISSUED_TOKENS)))

    with pytest.raises(Conflict, match="end some first"):
        await issued.add("ann", token("new"))

    assert "note_token" not in fake.names


async def test_one_is_ended_by_its_id(fake: FakeRedis, issued: IssuedTokens) -> None:
    mine = token("mine")
    fake.answers["hget"] = stored(mine)[b"mine"]

    assert await issued.get("ann", "mine") == mine
    assert "note_token" not in fake.names, "it is forgotten when it has ended, not before"

    await issued.forget("ann", "mine")
    assert fake.words("note_token")[0][1:] == ("", "", "mine")


async def test_nobody_ends_what_there_is_not(fake: FakeRedis, issued: IssuedTokens) -> None:
    with pytest.raises(NotFound, match="no such token"):
        await issued.get("ann", "theirs")
