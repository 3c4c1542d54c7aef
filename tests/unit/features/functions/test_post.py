"""A function runs on the gateway that has its role, and on no other."""

import asyncio

import pytest

from hypha_cluster.errors import StartupError
from hypha_cluster.features.functions.post import Post
from hypha_cluster.features.functions.process import Process
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.roles import Role
from hypha_cluster.supervision import Supervisor
from tests.fake_redis import AWAY, FakeRedis
from tests.fakes import FakeClock
from tests.gateways import SECOND

NEVER = "it does not return"


class FakeProcess(Process):
    """A program that does what the test says. reason: why its function fails."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        self.has_ended = asyncio.Event()

    async def returned(self) -> None:
        if self.reason == NEVER:
            await asyncio.Event().wait()
        if self.reason:
            raise StartupError(self.reason)

    async def ended(self) -> int:
        await self.has_ended.wait()
        return 1

    async def end(self) -> None:
        self.has_ended.set()


class Rig:
    """One post, its Redis, and the programs that it has started."""

    def __init__(self) -> None:
        self.redis = FakeRedis()
        self.redis.answers["renew_lease"] = 1
        self.started: list[FakeProcess] = []
        self.starts = asyncio.Semaphore(0)
        self.reason = ""
        clock = FakeClock()
        role = Role(self.redis.client, Keys("p"), "work")
        supervisor = Supervisor(clock=clock, sleep=clock.sleep)
        self.post = Post("lab:offer", role, self._start, supervisor)

    async def _start(self) -> Process:
        self.started.append(FakeProcess(self.reason))
        self.starts.release()
        return self.started[-1]

    async def begun(self, times: int) -> None:
        """Wait until so many programs more have been started."""
        async with asyncio.timeout(10 * SECOND):
            for _ in range(times):
                await self.starts.acquire()


@pytest.fixture
async def rig() -> Rig:
    return Rig()


async def test_it_runs_at_once_where_no_gateway_runs_it(rig: Rig) -> None:
    await rig.post.begin()
    await rig.post.end()

    assert len(rig.started) == 1
    assert rig.started[0].has_ended.is_set()
    assert "drop_lease" in rig.redis.names


async def test_it_does_not_run_where_another_gateway_runs_it(rig: Rig) -> None:
    rig.redis.answers["take_lease"] = b"another"

    await rig.post.begin()
    await rig.post.end()

    assert rig.started == []
    assert "drop_lease" not in rig.redis.names


async def test_a_function_that_fails_gives_its_role_up(rig: Rig) -> None:
    rig.reason = "it failed"

    with pytest.raises(StartupError, match="it failed"):
        await rig.post.begin()
    assert rig.started[0].has_ended.is_set()
    assert rig.redis.names[-1] == "drop_lease"


async def test_it_runs_again_when_its_program_ends(rig: Rig) -> None:
    await rig.post.begin()
    keeping = asyncio.create_task(rig.post.keep())
    rig.started[0].has_ended.set()

    await rig.begun(2)
    keeping.cancel()
    await rig.post.end()


async def test_it_goes_on_being_tried_when_it_fails_later(rig: Rig) -> None:
    await rig.post.begin()
    rig.reason = "it failed"
    keeping = asyncio.create_task(rig.post.keep())
    rig.started[0].has_ended.set()

    await rig.begun(4)
    assert not keeping.done()
    keeping.cancel()
    await rig.post.end()


@pytest.mark.parametrize("renewal", [0, -1, AWAY])
async def test_it_ends_here_when_another_gateway_may_run_it(rig: Rig, renewal: object) -> None:
    await rig.post.begin()
    rig.redis.answers["renew_lease"] = renewal
    rig.redis.answers["take_lease"] = b"another"
    keeping = asyncio.create_task(rig.post.keep())

    async with asyncio.timeout(20 * SECOND):
        await rig.started[0].has_ended.wait()
    assert len(rig.started) == 1
    keeping.cancel()
    await rig.post.end()


@pytest.mark.parametrize("renewal", [0, AWAY])
async def test_a_function_that_does_not_return_ends_with_its_role(
    rig: Rig, renewal: object
) -> None:
    rig.reason = NEVER
    beginning = asyncio.create_task(rig.post.begin())
    await rig.begun(1)
    rig.redis.answers["renew_lease"] = renewal
    rig.redis.answers["take_lease"] = b"another"

    async with asyncio.timeout(20 * SECOND):
        await beginning  # and the start goes on, for another gateway runs it
    assert rig.started[0].has_ended.is_set()
