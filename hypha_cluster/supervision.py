"""The one policy for background work: whatever fails is logged and counted, and nothing stays dead.

A *job* goes on as long as its owner; when it fails it starts again after a pause. A *task* ends by
itself. Who owns either has `Tasks`, and stops them. All owners share one `Supervisor`, which says
whether the node can still do its work: readiness names a job that is down, liveness turns red when
one fails again and again, so that the process is started anew.

That Redis is away is no fault of a job: it waits for Redis, and liveness stays green.
"""

import asyncio
import logging
import time
import types
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from functools import partial
from typing import Any, Final, Generic, NamedTuple, TypeVar

from hypha_cluster.errors import RedisUnavailable

_log = logging.getLogger(__name__)

PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 5.0)  # seconds before a job starts again; the last one stays
REDIS_PAUSE: Final = 1.0  # seconds, when it failed because Redis is away
STEADY: Final = 10.0  # seconds without a failure, after which earlier ones no longer count
HOPELESS: Final = 10  # failures in a row: some 40 s in which starting again has not helped

Work = Callable[[], Awaitable[None]]
Sleep = Callable[[float], Awaitable[None]]
OnFailure = Callable[[BaseException], None]
T = TypeVar("T")


async def outcome(work: Awaitable[Any]) -> BaseException | None:
    """Await `work`; return what it failed with, whatever it is; raise if this task is cancelled."""
    try:
        await work
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return error  # something that it awaited was cancelled, and nobody asked it to end
    except Exception as error:  # noqa: BLE001  # the one place that takes any; all others come here
        return error
    return None


class Done(NamedTuple, Generic[T]):
    """What a coroutine has returned."""

    result: T


def begin(work: Coroutine[Any, Any, T]) -> Done[T] | Coroutine[Any, Any, T]:
    """Do at once what waits for nothing; return its result, or the rest, which is for a task.

    So a coroutine that never waits costs no task. Before its first wait, `work` must not ask for
    the current task, as `asyncio.timeout` does. An error is raised by the rest that is returned, so
    that it is handled like any failure of a task.
    """
    try:
        awaited = work.send(None)
    except StopIteration as end:
        return Done(end.value)
    except Exception as error:  # noqa: BLE001  # as above
        return _raise(error)
    return _going_on(work, awaited)


async def _raise(error: Exception) -> Any:
    raise error


@types.coroutine
def _going_on(work: Coroutine[Any, Any, T], awaited: Any) -> Generator[Any, Any, T]:
    """Await what `work` waits for already, and whatever comes after that."""
    try:
        while True:
            try:
                sent = yield awaited
            except BaseException as error:  # noqa: BLE001  # as asyncio throws it: not ours
                awaited = work.throw(error)
            else:
                awaited = work.send(sent)
    except StopIteration as end:
        result: T = end.value
        return result


class _Job:
    """One job. failures: how often it has failed in a row."""

    def __init__(self, name: str, detail: str, work: Work, supervisor: "Supervisor") -> None:
        self.name = name
        self.failures = 0
        self._title = _title(name, detail)
        self._work = work
        self._supervisor = supervisor
        self._began = 0.0
        self._is_down = False
        self._last = ""

    async def run(self) -> None:
        supervisor = self._supervisor
        while True:
            self._began, self._is_down = supervisor.clock(), False
            error = await outcome(self._work())
            if error is None:
                return
            self._is_down = True
            pause = self._note(error)
            await supervisor.sleep(pause)

    def _note(self, error: BaseException) -> float:
        """Log and count a failure; return the seconds to pause."""
        text = f"{type(error).__name__}: {error}"
        is_new, self._last = text != self._last, text
        if isinstance(error, RedisUnavailable):
            if is_new:  # said once, not at each attempt
                _log.warning("The job %s waits for Redis: %s", self._title, error)
            return REDIS_PAUSE
        if self._is_steady():
            self.failures = 0
        self.failures += 1
        self._supervisor.count(self.name)
        pause = PAUSES[min(self.failures, len(PAUSES)) - 1]
        _log.error(
            "The job %s failed (%d times running) and starts again in %g s: %s",
            self._title,
            self.failures,
            pause,
            text,
            exc_info=error if is_new or self.failures == 1 else None,
        )
        return pause

    def _is_steady(self) -> bool:
        return self._supervisor.clock() - self._began > STEADY

    def complaint(self) -> str:
        """Why the node is not ready because of this job; empty when it is.

        A job that failed once and runs again counts as well; one that failed twice in a row has to
        run for STEADY seconds first.
        """
        if self._is_down:
            return f"the job {self._title} is down"
        if self.failures > 1 and not self._is_steady():
            return f"the job {self._title} failed {self.failures} times running"
        return ""

    def is_hopeless(self) -> bool:
        return self.failures >= HOPELESS and (self._is_down or not self._is_steady())


class Supervisor:
    """Knows all jobs of a node. failures: how often each has failed, by its name."""

    def __init__(
        self,
        failures: Counter[str] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.failures: Counter[str] = Counter() if failures is None else failures
        self.clock = clock
        self.sleep = sleep
        self._jobs: set[_Job] = set()

    def count(self, name: str) -> None:
        self.failures[name] += 1

    def unready_because(self) -> list[str]:
        """Jobs that keep the node from being ready."""
        return sorted(filter(None, (job.complaint() for job in self._jobs)))

    def dead_because(self) -> list[str]:
        """Jobs that only a new process may help; empty while there is hope."""
        hopeless = (job for job in self._jobs if job.is_hopeless())
        return sorted(f"the job {job.name} fails again and again" for job in hopeless)

    async def run(self, name: str, work: Work, detail: str) -> None:
        """Do a job until it is cancelled."""
        job = _Job(name, detail, work, self)
        self._jobs.add(job)
        try:
            await job.run()
        finally:
            self._jobs.discard(job)


class Tasks:
    """The background work of one owner. Names are labels of a metric: few, and fixed."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._jobs: set[asyncio.Task[None]] = set()
        self._once: set[asyncio.Task[Any]] = set()

    def __iter__(self) -> Iterator[asyncio.Task[Any]]:
        return iter([*self._jobs, *self._once])

    def keep(self, name: str, work: Work, detail: str = "") -> None:
        """Do a job from now on; start it again whenever it fails. detail: which of several."""
        running = self._supervisor.run(name, work, detail)
        task = asyncio.get_running_loop().create_task(running, name=name)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    def spawn(
        self,
        name: str,
        work: Coroutine[Any, Any, T],
        on_failure: OnFailure | None = None,
        *,
        detail: str = "",
    ) -> asyncio.Task[T]:
        """Begin a task that ends by itself; its failure is logged, counted, then handed over."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._once.add(task)
        task.add_done_callback(partial(self._ended, detail, on_failure))
        return task

    def _ended(self, detail: str, on_failure: OnFailure | None, task: asyncio.Task[Any]) -> None:
        self._once.discard(task)
        error = _failure_of(task)
        if error is None:
            return
        title = _title(task.get_name(), detail)
        if isinstance(error, RedisUnavailable):
            _log.warning("The task %s could not be done: %s", title, error)
        else:
            self._supervisor.count(task.get_name())
            _log.error("The task %s failed.", title, exc_info=error)
        if on_failure is not None:
            on_failure(error)

    async def settled(self) -> None:
        """Wait until all tasks have ended by themselves."""
        while self._once:
            await asyncio.wait(self._once)

    async def stop(self) -> None:
        """End everything, and wait until it has ended."""
        while tasks := [*self]:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


def _title(name: str, detail: str) -> str:
    return f"{name} ({detail})" if detail else name


def _failure_of(task: asyncio.Task[Any]) -> BaseException | None:
    """What a task died of, which may be that something it awaited was cancelled."""
    if not task.cancelled():
        return task.exception()
    return None if task.cancelling() else asyncio.CancelledError("cancelled by nobody")
