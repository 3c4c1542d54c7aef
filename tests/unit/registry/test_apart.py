"""One failure stops nothing else, and a fault of our own is not hidden."""

import asyncio

import pytest

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.registry.apart import apart


async def give(number: int) -> int:
    await asyncio.sleep(0)
    return number


async def fail(error: Exception) -> int:
    await asyncio.sleep(0)
    raise error


async def test_the_others_are_done_and_the_log_has_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    away = RedisUnavailable("Redis at x does not answer.")

    assert await apart("Clients", [give(1), fail(away), give(2), fail(away)]) == [1, 2]

    assert caplog.messages == ["Clients: 2 of 4 are left for later: Redis at x does not answer."]


async def test_all_is_done_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    assert await apart("Clients", [give(1)]) == [1]
    assert await apart("Clients", []) == []
    assert caplog.messages == []


async def test_what_nobody_expects_is_raised() -> None:
    with pytest.raises(KeyError):
        await apart("Clients", [give(1), fail(KeyError("x"))])
