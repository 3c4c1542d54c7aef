"""A runner: takes instances from Redis, as many as it has slots, and runs them."""

import asyncio
import contextlib
import logging
import secrets
import socket
from collections.abc import Callable
from typing import Final

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.features.launcher.running.browser import Browser
from hypha_cluster.features.launcher.running.hosting import Hosting, Outlook
from hypha_cluster.supervision import Supervisor, Tasks

_log = logging.getLogger(__name__)

_TURN: Final = 0.25  # seconds between two looks for instances that wait


class Runner:
    """Runs until `stopping` is set; then others go on with what it has."""

    def __init__(
        self, outlook: Outlook, browser: Browser, slots: int, supervisor: Supervisor
    ) -> None:
        self.name = f"{socket.gethostname()}-{secrets.token_hex(4)}"
        self.stopping = asyncio.Event()
        self._moving = asyncio.Event()
        self._outlook = outlook
        self._browser = browser
        self._slots = slots
        self._hosted = 0
        self._tasks = Tasks(supervisor)

    async def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Take and run instances, until told to stop."""
        _log.info("The runner %s with %d slots is up.", self.name, self._slots)
        on_ready()
        self._tasks.keep("take", self._take)
        try:
            await self._moving.wait()
        finally:
            self._moving.set()
            await self._tasks.settled()  # all pages are closed, and Redis knows
            await self._tasks.stop()

    async def _take(self) -> None:
        """Take instances until told to stop; then leave the list of runners, and all instances."""
        while not self.stopping.is_set():
            free, began = self._slots - self._hosted, asyncio.get_running_loop().time()
            for address in await self._outlook.instances.see_to(self.name, free):
                self._hosted += 1
                self._tasks.spawn("instance", self._host(address, began), detail=address)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), _TURN)
        try:
            await self._outlook.instances.leave(self.name)
        except RedisUnavailable as error:
            _log.info("This runner is known for a moment longer: %s", error)
        if self._hosted:
            _log.info("The runner %s stops; %d instances move.", self.name, self._hosted)
        self._moving.set()

    async def _host(self, address: str, claimed_at: float) -> None:
        """Run one instance. claimed_at: by the clock of the loop; the lease counts from then."""
        try:
            instance = await self._outlook.instances.find(address)
            if instance is not None and instance.runner == self.name:
                hosting = Hosting(
                    instance,
                    self._outlook,
                    self._browser,
                    claimed_at=claimed_at,
                    moving=self._moving,
                )
                await hosting.run()
        finally:
            self._hosted -= 1
