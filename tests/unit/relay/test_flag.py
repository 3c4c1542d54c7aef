"""A flag is waited for as an event is."""

import asyncio

from hypha_cluster.relay.flag import Flag


async def test_nobody_waits_for_a_flag_that_is_set() -> None:
    flag = Flag(is_set=True)

    await flag.wait()

    assert flag.is_set()


async def test_all_who_wait_go_on_when_it_is_set() -> None:
    flag = Flag()
    waiting = [asyncio.ensure_future(flag.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    waited = not any(each.done() for each in waiting)

    flag.set()

    await asyncio.gather(*waiting)
    assert waited


async def test_who_waited_goes_on_even_if_it_is_cleared_at_once() -> None:
    flag = Flag()
    before = asyncio.ensure_future(flag.wait())
    await asyncio.sleep(0)

    flag.set()
    flag.clear()
    after = asyncio.ensure_future(flag.wait())

    await before
    assert not after.done()
    flag.set()
    await after


async def test_one_who_gives_up_keeps_nobody_else_waiting() -> None:
    flag = Flag()
    impatient, patient = (asyncio.ensure_future(flag.wait()) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()

    flag.set()

    await patient
    assert impatient.cancelled() or impatient.cancelling()
