"""Finds what Redis has lost, and is told again in a moment by the nodes that know it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from hypha_cluster.errors import NotFound
from hypha_cluster.links.recovery import Recovery
from hypha_cluster.registry.nodes import Nodes

PATIENCE: Final = 2.0  # seconds for each question: nodes look once a second what Redis has of them
_PAUSE: Final = 0.1  # seconds between two looks

T = TypeVar("T")


class Find(Protocol):
    """Says what a look finds; None, or its NotFound, when that is nothing."""

    async def __call__(self, look: Callable[[], Awaitable[T | None]]) -> T | None: ...


async def at_once(look: Callable[[], Awaitable[T | None]]) -> T | None:
    """What one look finds, for whoever does not wait for what Redis is told again."""
    return await look()


class Regained:
    """Has somebody look again while Redis may lack what it knew.

    It may have been away, or have forgotten everything without a word. Then it does not know the
    lease of this node, either: that is asked whenever nothing was found.
    """

    def __init__(
        self,
        nodes: Nodes,
        name: str,
        recovery: Recovery,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nodes = nodes
        self._name = name
        self._recovery = recovery
        self._clock = clock

    async def find(self, look: Callable[[], Awaitable[T | None]]) -> T | None:
        """What `look` finds at last; None, or its NotFound, when that is nothing."""
        end = self._clock() + PATIENCE
        while True:
            missing: NotFound | None = None
            try:
                found = await look()
            except NotFound as error:
                found, missing = None, error
            if found is None and self._clock() < end and await self._is_incomplete():
                await asyncio.sleep(_PAUSE)
            elif missing is not None:
                raise missing
            else:
                return found

    async def _is_incomplete(self) -> bool:
        """Whether Redis may not have been told again yet what it has lost."""
        if not self._recovery.is_recent and not await self._nodes.is_alive(self._name):
            self._recovery.restored()
        return self._recovery.is_recent
