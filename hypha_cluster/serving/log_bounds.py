"""Bounds how many lines of one kind are logged: some are written as often as a stranger likes."""

import logging
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import cachetools

from hypha_cluster import audit
from hypha_cluster.protocol.limits import LOG_LINES, LOG_LINES_A_SECOND

KINDS: Final = 1_000  # that are counted at once: more than the hub's code has
LAST: Final = " (more such lines are left out for now)"


class _Left(NamedTuple):
    """How many lines of a kind could be logged at that time."""

    lines: float
    when: float


class FewOfAKind(logging.Filter):
    """Leaves lines below WARNING out while there are too many of their kind; the last one says so.

    A kind is a logger and a message without its arguments. The audit log keeps all of its lines.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._left: cachetools.LRUCache[tuple[str, object], _Left] = cachetools.LRUCache(KINDS)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is logged."""
        if record.levelno >= logging.WARNING or record.name == audit.LOGGER:
            return True
        kind, now = (record.name, record.msg), self._clock()
        before = self._left.get(kind) or _Left(LOG_LINES, now)
        left = min(LOG_LINES, before.lines + (now - before.when) * LOG_LINES_A_SECOND)
        if left < 1:
            return False
        self._left[kind] = _Left(left - 1, now)
        if left < 2:
            record.msg = f"{record.msg}{LAST}"
        return True
