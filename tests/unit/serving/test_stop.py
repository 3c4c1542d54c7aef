"""What a process was told: by signals, and from another thread."""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator

import pytest

from hypha_cluster.serving.stop import SIGNALS, Stop
from tests.gateways import SECOND


@pytest.fixture
async def stop() -> AsyncIterator[Stop]:
    stop = Stop()
    stop.heed_signals()
    yield stop
    for number in SIGNALS:
        asyncio.get_running_loop().remove_signal_handler(number)


async def until(event: asyncio.Event) -> None:
    async with asyncio.timeout(20 * SECOND):
        await event.wait()


async def test_sigterm_asks_and_a_second_one_hurries(stop: Stop) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    await until(stop.asked)
    assert not stop.hurried.is_set()

    os.kill(os.getpid(), signal.SIGTERM)
    await until(stop.hurried)


async def test_ctrl_c_hurries(stop: Stop) -> None:
    os.kill(os.getpid(), signal.SIGINT)

    await until(stop.hurried)
    assert stop.asked.is_set()


async def test_who_is_replaced_does_not_hurry(stop: Stop) -> None:
    threading.Thread(target=stop.retire).start()

    await until(stop.asked)
    assert stop.is_replaced
    assert not stop.hurried.is_set()
