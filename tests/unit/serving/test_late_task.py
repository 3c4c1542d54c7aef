"""The watch over idle connections begins late, and not at all when the next request is sooner."""

import asyncio
from types import SimpleNamespace

import pytest

from hypha_cluster.serving import late_task
from hypha_cluster.serving.late_task import LateTask


class Watch:
    """An action that goes on until it is cancelled."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()

    async def __call__(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()


@pytest.fixture(autouse=True)
def short_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_task, "DELAY", 0.01)


async def test_only_the_last_action_is_begun() -> None:
    first, last, late = Watch(), Watch(), LateTask()
    async with asyncio.TaskGroup() as group:
        await late.restart(SimpleNamespace(_task_group=group), first)
        await late.restart(SimpleNamespace(_task_group=group), last)

        await last.begun.wait()
        await late.stop()

    assert last.ended.is_set()
    assert not first.begun.is_set()


async def test_what_has_begun_is_ended_by_the_next() -> None:
    first, last, late = Watch(), Watch(), LateTask()
    async with asyncio.TaskGroup() as group:
        await late.restart(SimpleNamespace(_task_group=group), first)
        await first.begun.wait()

        await late.restart(SimpleNamespace(_task_group=group), last)
        assert first.ended.is_set()
        await late.stop()

    assert not last.begun.is_set()


async def test_nothing_is_begun_for_a_connection_that_has_ended() -> None:
    watch, late = Watch(), LateTask()
    async with asyncio.TaskGroup() as group:
        pass
    await late.restart(SimpleNamespace(_task_group=group), watch)

    tried = asyncio.Event()
    asyncio.get_running_loop().call_later(2 * late_task.DELAY, tried.set)
    await tried.wait()

    assert not watch.begun.is_set()
    await late.stop()
