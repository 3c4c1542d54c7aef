"""When Redis has to be told again what it may have lost."""

import asyncio

from hypha_cluster.links.recovery import Recovery


async def is_needed(recovery: Recovery) -> bool:
    asked = asyncio.create_task(recovery.needed())
    await asyncio.sleep(0)
    asked.cancel()
    return asked.done()


async def test_nothing_is_told_again_without_a_reason() -> None:
    recovery = Recovery()

    assert not await is_needed(recovery)
    assert not recovery.is_recent


async def test_a_server_that_is_back_is_told_everything_once() -> None:
    recovery = Recovery()

    recovery.restored()
    recovery.restored()

    assert await is_needed(recovery)
    assert not await is_needed(recovery)


async def test_a_server_that_is_back_may_not_know_everybody_for_some_seconds() -> None:
    now = [100.0]
    recovery = Recovery(lambda: now[0])

    recovery.restored()

    assert recovery.is_recent
    now[0] += 4.9
    assert recovery.is_recent
    now[0] += 0.2
    assert not recovery.is_recent


async def test_a_doubt_says_nothing_of_the_servers() -> None:
    recovery = Recovery()

    recovery.doubt()

    assert await is_needed(recovery)
    assert not recovery.is_recent
