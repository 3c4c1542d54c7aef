"""One startup function, which exactly one of the gateways runs: this one or another."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from hypha_cluster.errors import RedisUnavailable, StartupError
from hypha_cluster.features.functions.process import Process
from hypha_cluster.registry.roles import LEASE, RENEWAL, Role
from hypha_cluster.supervision import PAUSES, STEADY, Supervisor, Tasks

_log = logging.getLogger(__name__)

Start = Callable[[], Awaitable[Process]]

_TAKING_LEAVE: Final = 2.0  # seconds to give the role up; without Redis it ends by itself


class Post:
    """Runs a function while this gateway has the role; waits for the role while another has it."""

    def __init__(self, function: str, role: Role, start: Start, supervisor: Supervisor) -> None:
        self.function = function
        self._role = role
        self._start = start
        self._supervisor = supervisor
        self._process: Process | None = None
        self._tasks = Tasks(supervisor)
        self._lost = asyncio.Event()
        """Set when the role may be another gateway's."""

    async def begin(self) -> None:
        """Run the function now if no gateway does; StartupError when it cannot be run."""
        if not await self._role.take():
            return
        try:
            await self._run()
        except StartupError:
            if not self._lost.is_set():
                raise  # else another gateway runs it

    async def keep(self) -> None:
        """A job: see to it that the function runs somewhere, as long as this gateway is up."""
        failures = 0
        while True:
            await self._until_it_is_here()
            since = self._supervisor.clock()
            reason = await self._serve()
            failures = 1 if self._supervisor.clock() - since > STEADY else failures + 1
            pause = PAUSES[min(failures, len(PAUSES)) - 1]
            _log.error("%s; it may run again in %g s", reason, pause)
            await self._supervisor.sleep(pause)

    async def _until_it_is_here(self) -> None:
        while self._process is None and not await self._role.take():
            await self._supervisor.sleep(RENEWAL)

    async def _serve(self) -> str:
        """Run the function until it runs here no more; return why."""
        if self._process is None:
            try:
                await self._run()
            except StartupError as error:
                return str(error)
        assert self._process
        await self._until_over(self._process.ended())
        await self.end()
        if self._lost.is_set():
            return f"Another gateway may run the startup function {self.function}"
        return f"The program of the startup function {self.function} has ended"

    async def end(self) -> None:
        """Stop the program if it runs here, and let another gateway run it."""
        process, self._process = self._process, None
        await self._tasks.stop()
        if process is None:
            return
        await process.end()
        try:
            async with asyncio.timeout(_TAKING_LEAVE):
                await self._role.give_up()
        except (RedisUnavailable, TimeoutError):
            _log.warning("The role of %s is free in %g s.", self.function, LEASE)

    async def _run(self) -> None:
        """Start the program; StartupError unless its function returns while the role is ours."""
        self._lost.clear()
        self._tasks.keep("function-role", self._renew, self.function)
        self._process = process = await self._start()
        returning = asyncio.ensure_future(process.returned())
        try:
            await self._until_over(returning)
            if not returning.done():
                raise StartupError(f"startup_functions: {self.function}: another gateway runs it")
            returning.result()
        except BaseException:
            await self.end()
            raise
        finally:
            returning.cancel()
        _log.info("The startup function %s runs on this gateway.", self.function)

    async def _until_over(self, work: Awaitable[object]) -> None:
        """Wait until some work is done, or until the role may be another gateway's."""
        working = asyncio.ensure_future(work)
        losing = asyncio.ensure_future(self._lost.wait())
        try:
            await asyncio.wait([working, losing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            losing.cancel()
            if working is not work:
                working.cancel()

    async def _renew(self) -> None:
        until = self._supervisor.clock() + LEASE
        while True:
            asked = self._supervisor.clock()  # before the request: the lease counts from later on
            try:
                if not await self._role.renew() and not await self._role.take():
                    break
                until = asked + LEASE
            except RedisUnavailable:
                if self._supervisor.clock() > until:
                    break
            await self._supervisor.sleep(RENEWAL)
        self._lost.set()
