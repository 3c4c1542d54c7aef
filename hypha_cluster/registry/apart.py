"""Does several things of which none stops the others, even if a part of Redis is away."""

import asyncio
import logging
from collections.abc import Awaitable, Iterable
from typing import TypeVar

from hypha_cluster.errors import RedisUnavailable

_log = logging.getLogger(__name__)

T = TypeVar("T")


async def apart(what: str, works: Iterable[Awaitable[T]]) -> list[T]:
    """The results of those that could be done; one line of the log counts the others."""
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
