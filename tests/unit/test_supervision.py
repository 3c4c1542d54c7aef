"""What fails in the background is seen, counted, and started again."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.supervision import (
    HOPELESS,
    PAUSES,
    STEADY,
    Done,
    Supervisor,
    Tasks,
    begin,
    outcome,
)


class Clock:
    """Time that passes only while somebody sleeps, or when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class Job:
    """Fails as often as it is told to, then stays at work."""

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.runs = 0
        self.works = asyncio.Event()

    async def __call__(self) -> None:
        self.runs += 1
        if self.failures:
            raise self.failures.pop(0)
        self.works.set()
        await asyncio.Event().wait()


def cancelled_by_nobody() -> Callable[[], Awaitable[None]]:
    async def work() -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    return work


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def supervisor(clock: Clock) -> Supervisor:
    return Supervisor(clock=clock, sleep=clock.sleep)


@pytest.fixture
def tasks(supervisor: Supervisor) -> Tasks:
    return Tasks(supervisor)


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not reached():  # noqa: ASYNC110  (nothing of a supervisor can be awaited)
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    "failure", [KeyError("x"), ExceptionGroup("g", [ValueError("y")]), asyncio.CancelledError()]
)
async def test_a_job_that_dies_of_whatever_starts_again(
    tasks: Tasks, supervisor: Supervisor, failure: BaseException
) -> None:
    job = Job(failure)
    tasks.keep("reaper", job)

    await job.works.wait()

    assert (job.runs, supervisor.failures) == (2, {"reaper": 1})
    assert supervisor.unready_because() == supervisor.dead_because() == []
    await tasks.stop()


async def test_what_a_job_awaits_may_be_cancelled_without_ending_it(
    tasks: Tasks, supervisor: Supervisor
) -> None:
    tasks.keep("bus", cancelled_by_nobody())

    await until(lambda: supervisor.failures["bus"] > 2)

    await tasks.stop()


async def test_a_job_is_down_until_it_has_started_again(clock: Clock) -> None:
    woken = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await woken.wait()

    supervisor = Supervisor(clock=clock, sleep=sleep)
    tasks, job = Tasks(supervisor), Job(KeyError("x"))
    tasks.keep("link", job, "store to 127.0.0.1")
    await until(lambda: supervisor.failures["link"] == 1)

    assert supervisor.unready_because() == ["the job link (store to 127.0.0.1) is down"]
    woken.set()
    await job.works.wait()
    assert supervisor.unready_because() == []
    await tasks.stop()


async def test_a_job_that_failed_twice_has_to_show_that_it_is_well(
    tasks: Tasks, supervisor: Supervisor, clock: Clock
) -> None:
    job = Job(KeyError("x"), KeyError("x"))
    tasks.keep("reaper", job)
    await job.works.wait()

    assert supervisor.unready_because() == ["the job reaper failed 2 times running"]
    clock.now += STEADY + 1
    assert supervisor.unready_because() == []
    await tasks.stop()


async def test_pauses_grow_up_to_a_bound(tasks: Tasks, clock: Clock) -> None:
    job = Job(*(KeyError(number) for number in range(7)))
    tasks.keep("reaper", job)

    await job.works.wait()

    assert clock.pauses == [*PAUSES, PAUSES[-1], PAUSES[-1]]
    await tasks.stop()


async def test_liveness_turns_red_when_one_job_fails_again_and_again(
    tasks: Tasks, supervisor: Supervisor, clock: Clock
) -> None:
    other, job = Job(), Job(*(KeyError(number) for number in range(HOPELESS)))
    tasks.keep("bus", other)
    tasks.keep("reaper", job)
    await until(lambda: supervisor.failures["reaper"] == HOPELESS - 1)
    assert supervisor.dead_because() == []

    await job.works.wait()

    assert supervisor.dead_because() == ["the job reaper fails again and again"]
    clock.now += STEADY + 1  # it is well after all
    assert supervisor.dead_because() == []
    await tasks.stop()


async def test_failures_with_long_times_between_them_are_no_reason_to_end(
    tasks: Tasks, supervisor: Supervisor, clock: Clock
) -> None:
    async def work() -> None:
        clock.now += STEADY + 1
        raise KeyError("x")

    tasks.keep("reaper", work)
    await until(lambda: supervisor.failures["reaper"] > 2 * HOPELESS)

    assert supervisor.dead_because() == []
    assert set(clock.pauses) == {PAUSES[0]}
    await tasks.stop()


async def test_that_redis_is_away_is_no_failure_of_a_job(
    tasks: Tasks, supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    job = Job(*(RedisUnavailable("Redis is away.") for _ in range(3 * HOPELESS)))
    tasks.keep("reaper", job)

    await job.works.wait()

    assert (supervisor.dead_because(), supervisor.failures) == ([], {})
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    await tasks.stop()


async def test_one_traceback_is_logged_for_one_reason(
    tasks: Tasks, caplog: pytest.LogCaptureFixture
) -> None:
    job = Job(*(KeyError("x") for _ in range(4)), ValueError("y"))
    tasks.keep("reaper", job)

    await job.works.wait()

    tracebacks = [record for record in caplog.records if record.exc_info]
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 5
    assert len(tracebacks) == 2
    await tasks.stop()


async def test_a_job_that_has_nothing_to_do_may_return(
    tasks: Tasks, supervisor: Supervisor
) -> None:
    async def work() -> None:
        pass

    tasks.keep("feature", work)
    await until(lambda: not list(tasks))

    assert (supervisor.failures, supervisor.unready_because()) == ({}, [])


async def test_no_failure_of_a_task_is_dropped_unseen(
    tasks: Tasks, supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[BaseException] = []

    async def work() -> None:
        raise KeyError("x")

    tasks.spawn("detach", work(), heard.append, detail="ws/client")
    await tasks.settled()

    assert supervisor.failures == {"detach": 1}
    assert [type(error) for error in heard] == [KeyError]
    assert caplog.messages == ["The task detach (ws/client) failed."]
    assert caplog.records[0].exc_info
    assert supervisor.unready_because() == []


async def test_a_task_that_dies_by_anothers_cancelling_is_seen(
    tasks: Tasks, supervisor: Supervisor
) -> None:
    tasks.spawn("detach", asyncio.wait_for(cancelled_by_nobody()(), 5))
    await tasks.settled()

    assert supervisor.failures == {"detach": 1}


async def test_stopping_ends_jobs_and_tasks_and_is_no_failure(
    tasks: Tasks, supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    ended = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("task")

    job = Job()
    tasks.keep("reaper", job)
    tasks.spawn("detach", work())
    await job.works.wait()

    await tasks.stop()

    assert (list(tasks), ended) == ([], ["task"])
    assert (supervisor.failures, caplog.records) == ({}, [])


async def test_stopping_before_anything_has_begun_leaves_nothing(tasks: Tasks) -> None:
    tasks.keep("reaper", Job())
    tasks.spawn("detach", asyncio.sleep(60))

    await tasks.stop()

    assert list(tasks) == []


async def test_an_outcome_is_a_failure_or_nothing() -> None:
    async def fail() -> None:
        raise KeyError("x")

    assert await outcome(asyncio.sleep(0)) is None
    assert isinstance(await outcome(fail()), KeyError)


async def test_who_awaits_an_outcome_can_be_cancelled() -> None:
    waiting = asyncio.create_task(outcome(asyncio.Event().wait()))
    await asyncio.sleep(0)
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_what_waits_for_nothing_is_done_at_once() -> None:
    async def add() -> int:
        async with asyncio.Lock():
            return 1 + 1

    assert begin(add()) == Done(2)


async def test_the_rest_goes_on_where_it_waits_and_waits_again() -> None:
    loop, steps = asyncio.get_running_loop(), []

    async def work() -> str:
        for name in ("first", "second"):
            steps.append(name)
            await asyncio.sleep(0)
            future = loop.create_future()
            loop.call_soon(future.set_result, f"{name} is over")
            steps.append(await future)
        return "done"

    rest = begin(work())

    assert steps == ["first"]
    assert not isinstance(rest, Done)
    assert await loop.create_task(rest) == "done"
    assert steps == ["first", "first is over", "second", "second is over"]


async def test_what_is_begun_is_told_that_it_is_cancelled_and_may_clean_up() -> None:
    steps = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            steps.append("cleaned up")

    rest = begin(work())
    assert not isinstance(rest, Done)
    task = asyncio.get_running_loop().create_task(rest)
    await asyncio.sleep(0)
    task.cancel()

    await asyncio.wait([task])

    assert task.cancelled()
    assert steps == ["cleaned up"]


@pytest.mark.parametrize("waits", [False, True])
async def test_what_fails_at_once_or_later_is_raised_where_it_is_awaited(waits: bool) -> None:
    async def work() -> None:
        if waits:
            await asyncio.sleep(0)
        raise KeyError("x")

    rest = begin(work())

    assert not isinstance(rest, Done)
    with pytest.raises(KeyError):
        await rest
