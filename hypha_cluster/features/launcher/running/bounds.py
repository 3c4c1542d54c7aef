"""What one instance may use; an instance that uses more is stopped, and counts as failed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, NoReturn

from hypha_cluster.features.launcher.running.usage import Usage

_log = logging.getLogger(__name__)

MEASURING: Final = 5.0  # seconds between two looks
_MIB: Final = 1_048_576


class OverLimit(Exception):
    """An instance has used more than it may; the text says of what."""


class Bounds(NamedTuple):
    """The bounds of an instance. memory: MiB of its processes.

    The others are seconds, 0 for no bound. time: of a processor, used without a pause. life: since
    the instance was asked for. drain: for how long its page stays open when its runner stops, until
    another one has taken over.
    """

    memory: int
    time: float
    life: float
    drain: float


class Watch:
    """Measures one instance again and again. born: when it was asked for, Unix time."""

    def __init__(self, bounds: Bounds, born: float) -> None:
        self._bounds = bounds
        self._born = born
        self._used = 0.0  # seconds of a processor, when it was last at rest
        self._since_pause = 0.0

    async def run(
        self, measure: Callable[[], Awaitable[Usage]], now: Callable[[], float]
    ) -> NoReturn:
        """Raise OverLimit as soon as the instance passes one of its bounds."""
        while True:
            await asyncio.sleep(MEASURING)
            self.check(await measure(), now())

    def check(self, usage: Usage, now: float) -> None:
        """Raise OverLimit, which says which bound is passed."""
        bounds = self._bounds
        self._count(usage)
        if usage.memory > bounds.memory * _MIB:
            used = usage.memory // _MIB
            raise OverLimit(
                f"It was stopped, for it used {used} MiB of memory, and may use {bounds.memory}."
            )
        if bounds.time and self._since_pause > bounds.time:
            raise OverLimit(
                f"It was stopped, for it used a processor for {bounds.time:g} s without a pause."
            )
        if bounds.life and now - self._born > bounds.life:
            raise OverLimit(f"It was stopped, for it was there for {bounds.life:g} s.")

    def _count(self, usage: Usage) -> None:
        """Count the time of a processor that is used without a pause.

        A page that works now and then is found at rest sooner or later. One that waits for a
        processor of a busy machine is not at rest, but uses no time either.
        """
        more, self._used = usage.time - self._used, usage.time
        self._since_pause = self._since_pause + max(more, 0.0) if usage.runs else 0.0
