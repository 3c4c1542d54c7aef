"""Whoever tries too often is told when to try again; others go on."""

import pytest

from hypha_cluster.errors import TooMany
from hypha_cluster.features.login.attempts import LoginAttempts, check
from hypha_cluster.registry.logins import Attempts
from tests.unit.features.rig import Ground

HERE, THERE = "address 198.51.100.7", "address 198.51.100.8"


def attempts(ground: Ground, most: int = 2) -> LoginAttempts:
    begun = Attempts(ground.redis, ground.keys, most, 600.0)
    reports = Attempts(ground.redis, ground.keys, most, 600.0)
    return LoginAttempts(begun, reports)


async def test_logins_of_one_address_are_bounded(ground: Ground) -> None:
    login = attempts(ground)
    for _ in range(2):
        await login.begin(HERE)

    with pytest.raises(TooMany, match="Too many logins begun at this address") as refused:
        await login.begin(HERE)

    assert 0 < refused.value.seconds <= 600
    await login.begin(THERE)


async def test_who_counts_as_no_address_is_not_counted(ground: Ground) -> None:
    login = attempts(ground, most=0)

    for _ in range(5):
        await login.begin("")
    await login.refuse_report("key", "")

    assert await Attempts(ground.redis, ground.keys, 1, 600.0).left_out("report from ") == 0


async def test_tokens_that_were_refused_count_for_the_login_and_for_the_address(
    ground: Ground,
) -> None:
    login = attempts(ground)
    for _ in range(2):
        await login.check_reports("key", HERE)
        await login.refuse_report("key", HERE)

    for key, source in (("key", THERE), ("other", HERE)):
        with pytest.raises(TooMany, match="tokens that are not valid"):
            await login.check_reports(key, source)
    await login.check_reports("other", THERE)


async def test_it_is_said_in_minutes_when_to_try_again(ground: Ground) -> None:
    counted = Attempts(ground.redis, ground.keys, 1, 600.0)
    await check(counted, "x", "cows")
    await counted.count("x")

    with pytest.raises(TooMany, match=r"^Too many cows; try again in 10 minutes\.$"):
        await check(counted, "x", "cows")
