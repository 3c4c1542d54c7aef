"""Several things to do of which none stops the others, though a part of Redis may be away."""

import asyncio
import logging
from collections.abc import Awaitable, Iterable
from typing import TypeVar

from hypha_cluster.errors import RedisUnavailable

_log = logging.getLogger(__name__)

T = TypeVar("T")


async def apart(what: str, works: Iterable[Awaitable[T]]) -> list[T]:
    """What came of those that could be done; the others are counted in one line of the log."""
    outcomes = await asyncio.gather(*works, return_exceptions=True)
    done: list[T] = []
    failures: list[RedisUnavailable] = []
    for outcome in outcomes:
        if isinstance(outcome, RedisUnavailable):
            failures.append(outcome)
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            done.append(outcome)
    if failures:
        _log.info(
            "%s: %d of %d are left for later: %s", what, len(failures), len(outcomes), failures[0]
        )
    return done
