"""Hypercorn's watch over connections that are idle, begun late.

Hypercorn starts it anew after each request, with two tasks, and ends it when the next one comes. On
a busy connection that is a tenth of what a request costs, and the watch is never needed.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from hypercorn.asyncio.worker_context import WorkerContext

DELAY: Final = 0.5  # seconds; less than the time for a graceful end

Action = Callable[[], Coroutine[Any, Any, None]]


def install() -> None:
    """Have Hypercorn use it in this process."""
    WorkerContext.single_task_class = LateTask


class LateTask:
    """Runs one action at a time, each some time after it was asked for."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    async def restart(self, task_group: Any, action: Action) -> None:
        async with self._lock:
            await self._end()
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(DELAY, self._start, task_group, action)

    async def stop(self) -> None:
        async with self._lock:
            await self._end()

    def _start(self, task_group: Any, action: Action) -> None:
        self._timer, work = None, action()
        try:
            self._task = task_group._task_group.create_task(work)
        except RuntimeError:  # the connection is about to end
            work.close()

    async def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        task, self._timer, self._task = self._task, None, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
