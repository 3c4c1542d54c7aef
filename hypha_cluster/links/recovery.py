"""Whether Redis may have lost, or got wrong, what this node has told it."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

_RECOVERY: Final = 5.0  # seconds, within which all nodes tell again what Redis may have lost


class Recovery:
    """Says when what was told has to be told again: the links note it, the node acts on it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._restored_at = float("-inf")
        self._doubted = asyncio.Event()

    def restored(self) -> None:
        """A server is back, perhaps without what it knew; or it has forgotten that."""
        self._restored_at = self._clock()
        self.doubt()

    def doubt(self) -> None:
        """What Redis knows of this node seems to be wrong."""
        self._doubted.set()

    async def needed(self) -> None:
        """Return when all is to be told again."""
        await self._doubted.wait()
        self._doubted.clear()

    @property
    def is_recent(self) -> bool:
        """Whether a server is back, but perhaps not all that it knew before."""
        return self._clock() - self._restored_at < _RECOVERY
