"""Commands to a real Redis, one of which goes wrong: for each step of what a gateway does there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum, auto
from typing import Any

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.links.client import RedisClient
from hypha_cluster.links.commands import Commands
from hypha_cluster.links.recovery import Recovery
from hypha_cluster.links.servers import OneServer, Servers
from hypha_cluster.links.urls import find_servers
from hypha_cluster.registry.scripts import read_scripts

AWAY_SLOT = 1


class Failure(Enum):
    """What befalls a command."""

    NOT_SENT = auto()  # it is given up, and was not done
    UNANSWERED = auto()  # it is given up, and was done
    SENT_TWICE = auto()  # its reply was lost, so it is sent again; the second reply counts
    KILLED = auto()  # the process dies before it, and does nothing any more


class Killed(Exception):
    """The process is dead."""


class FailingCommands(Commands):
    """Sends all commands but the `number`th, counted from 1, as they should be sent."""

    def __init__(self, servers: Servers, number: int, failure: Failure) -> None:
        scripts = list(read_scripts().values())
        super().__init__(servers, "hypha-failing", scripts, Recovery(), resends=True)
        self._number = number
        self._failure = failure
        self._asked = 0

    @property
    def has_failed(self) -> bool:
        return self._asked >= self._number

    def ask(self, slot: int, command: tuple[Any, ...]) -> asyncio.Future[Any]:
        self._asked += 1
        if self._failure is Failure.KILLED and self.has_failed:
            raise Killed
        if self._asked != self._number:
            return super().ask(slot, command)
        lost: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        error = RedisUnavailable("The hub cannot reach its Redis at the moment; try again.")
        if self._failure is Failure.NOT_SENT:
            lost.set_result(error)
            return lost
        done = super().ask(slot, command)
        if self._failure is Failure.SENT_TWICE:
            return super().ask(slot, command)
        done.add_done_callback(lambda _: lost.set_result(error))
        return lost


class HalvedServer(OneServer):
    """One server that looks like two: keys with a name in them are in a slot of their own."""

    def __init__(self, found: Servers, name: str) -> None:
        address = found.server_of(0)
        assert address is not None
        super().__init__(found.access, found.supervisor, address)
        self._name = name

    def slot(self, key: str | bytes) -> int:
        return AWAY_SLOT if self._name in str(key) else 0


class PartlyAway(Commands):
    """Sends what is for one half of it; the other one is away."""

    def __init__(self, servers: HalvedServer) -> None:
        scripts = list(read_scripts().values())
        super().__init__(servers, "hypha-partly", scripts, Recovery(), resends=True)

    def ask(self, slot: int, command: tuple[Any, ...]) -> asyncio.Future[Any]:
        if slot != AWAY_SLOT:
            return super().ask(slot, command)
        lost: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        lost.set_result(RedisUnavailable("Redis at x:1 does not answer."))
        return lost


@asynccontextmanager
async def partly_away(url: str, part: str) -> AsyncIterator[RedisClient]:
    """What a registry works with when a part of Redis is away, by a name in its keys."""
    servers = HalvedServer(find_servers(url, 5.0), part)
    redis = RedisClient(PartlyAway(servers), read_scripts())
    try:
        await redis.start()
        yield redis
    finally:
        await redis.aclose()


@asynccontextmanager
async def failing_redis(
    url: str, number: int, failure: Failure, *, is_single: bool = True
) -> AsyncIterator[tuple[RedisClient, FailingCommands]]:
    """What a registry works with, whose `number`th command fails.

    is_single: else it does nothing by one command for which a cluster would need several servers.
    """
    servers = find_servers(url, 5.0)
    servers.is_cluster = not is_single
    commands = FailingCommands(servers, number, failure)
    redis = RedisClient(commands, read_scripts())
    try:
        await redis.start()
        yield redis, commands
    finally:
        await redis.aclose()
