"""Logins in Redis: each half of a key for whom it is, each end once."""

import asyncio

import pytest

from hypha_cluster.errors import Conflict, NotFound
from hypha_cluster.identity.access import Identity, Origin
from hypha_cluster.links.client import RedisClient
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.logins import Attempts, Logins, LoginState, SignIn, public_part
from tests.conformance.python_scene import eventually

ANN = Identity("ann", False, "ann@example.org", origin=Origin("t", 5.0))


@pytest.fixture
def logins(redis_client: RedisClient, redis_prefix: str) -> Logins:
    return Logins(redis_client, Keys(redis_prefix), login_time=60)


@pytest.fixture
def short_logins(redis_client: RedisClient, redis_prefix: str) -> Logins:
    return Logins(redis_client, Keys(redis_prefix), login_time=0.1)


async def test_a_program_gets_the_token_that_the_page_brings(logins: Logins) -> None:
    key = await logins.start("lab/worker")
    assert await logins.check(key) == (LoginState.PENDING, "")
    waiting = await logins.waiting(public_part(key))
    assert waiting.program == "lab/worker"
    assert public_part(key).endswith(waiting.code)

    await logins.report(public_part(key), "the token")

    assert await logins.check(key) == (LoginState.DONE, "the token")
    assert await logins.check(key) == (LoginState.UNKNOWN, "")


async def test_who_sees_the_address_of_the_page_cannot_fetch_the_token(logins: Logins) -> None:
    key, other = await logins.start("a"), await logins.start("b")
    await logins.report(public_part(key), "the token")

    for wrong in (public_part(key), public_part(key) + other[22:], key[:-1], ""):
        assert await logins.check(wrong) == (LoginState.UNKNOWN, "")

    assert await logins.check(key) == (LoginState.DONE, "the token")


async def test_of_many_that_fetch_a_token_at_once_one_gets_it(logins: Logins) -> None:
    key = await logins.start("a")
    await logins.report(public_part(key), "the token")

    answers = await asyncio.gather(*(logins.check(key) for _ in range(10)))

    assert sorted(token for _, token in answers) == [""] * 9 + ["the token"]


async def test_a_login_ends_once(logins: Logins) -> None:
    key = await logins.start("a")
    await logins.report(key, "the token")

    for token in ("the token", "another", None):
        with pytest.raises(Conflict):
            await logins.report(key, token)
    with pytest.raises(NotFound, match="No program waits"):
        await logins.waiting(key)

    assert await logins.check(key) == (LoginState.DONE, "the token")


async def test_who_refuses_ends_it_too(logins: Logins) -> None:
    key = await logins.start("a")

    await logins.report(key, None)

    assert await logins.check(key) == (LoginState.REFUSED, "")


async def test_a_login_that_takes_too_long_is_over(short_logins: Logins) -> None:
    key = await short_logins.start("a")

    async def is_over() -> bool:
        return await short_logins.check(key) == (LoginState.EXPIRED, "")

    await eventually(is_over)
    with pytest.raises(NotFound, match="maximum login time is 0.1 seconds"):
        await short_logins.report(key, "the token")


async def test_what_was_never_begun_is_unknown(logins: Logins) -> None:
    assert await logins.check("made up" * 9) == (LoginState.UNKNOWN, "")
    with pytest.raises(NotFound, match="Invalid key"):
        await logins.report("made up", "the token")
    with pytest.raises(NotFound):
        await logins.waiting("made up")


async def test_a_browser_comes_back_from_an_issuer_once(logins: Logins) -> None:
    away = SignIn("keycloak", "nonce", "verifier", "browser", "key")
    state = await logins.leave_for(away, 60)

    outcomes = await asyncio.gather(
        *(logins.back_with(state) for _ in range(5)), return_exceptions=True
    )

    assert [outcome for outcome in outcomes if not isinstance(outcome, NotFound)] == [away]


async def test_a_cookie_says_who_has_signed_in_until_they_sign_out(
    logins: Logins, redis_client: RedisClient, redis_prefix: str
) -> None:
    secret = await logins.remember(ANN, 60)
    assert not [key async for key in redis_client.keys_like(f"{redis_prefix}*{secret}*")]

    known = await logins.remembered(secret)
    assert known == ANN
    assert known.origin
    assert known.origin.made_at == 5.0
    for wrong in ("", secret[:-1], "made up"):
        assert await logins.remembered(wrong) is None

    await logins.forget(secret)
    assert await logins.remembered(secret) is None


async def test_wrong_passwords_are_counted(redis_client: RedisClient, redis_prefix: str) -> None:
    attempts = Attempts(redis_client, Keys(redis_prefix), 3, 60)

    for _ in range(3):
        assert await attempts.left_out("ann") == 0
        await attempts.count("ann")

    assert 0 < await attempts.left_out("ann") <= 60
    assert await attempts.left_out("bob") == 0


async def test_what_was_counted_is_forgotten_in_time(
    redis_client: RedisClient, redis_prefix: str
) -> None:
    attempts = Attempts(redis_client, Keys(redis_prefix), 1, 0.1)
    await attempts.count("ann")

    async def may_try_again() -> bool:
        return await attempts.left_out("ann") == 0

    await eventually(may_try_again)
