"""The commands for one server: in batches, in order, again after a break, and not for ever."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.links.shard import Request, Shard, Usage
from hypha_cluster.metrics import RedisMeter
from tests.unit.links.net import A, FakeServers, Net, error, soon

FAR = time.monotonic() + 1_000


class Stage:
    """A shard, and what came back of what it sent."""

    def __init__(self, servers: FakeServers, *, resends: bool) -> None:
        self.answers: list[Any] = []
        self.errors: list[Exception] = []
        self.opened = 0
        self.meter = RedisMeter()
        usage = Usage("hypha-test", [b"return 1"], self.meter, resends)
        self.shard = Shard(A, servers, usage, self._on_error, self._on_opened)

    def _on_error(self, shard: Shard, request: Request, error: Exception) -> None:
        self.errors.append(error)

    def _on_opened(self) -> None:
        self.opened += 1

    def send(self, *command: Any, deadline: float = FAR, dated: bool = False) -> None:
        self.shard.send(Request(0, command, self.answers.append, deadline, dated))


@asynccontextmanager
async def staged(servers: FakeServers, *, resends: bool = True) -> AsyncIterator[Stage]:
    stage = Stage(servers, resends=resends)
    await stage.shard.link.opened()
    yield stage
    await stage.shard.link.aclose()


async def test_scripts_and_the_time_come_before_anything_else(
    net: Net, servers: FakeServers
) -> None:
    async with staged(servers) as stage:
        words = [command[0] for command in net.servers[A].received]

        assert words == ["SCRIPT", "TIME", "PING"]
        assert stage.opened == 1


async def test_what_is_sent_in_one_turn_is_one_batch_in_its_order(
    net: Net, servers: FakeServers
) -> None:
    net.servers[A].answers["GET"] = lambda command: [command[1]]
    async with staged(servers) as stage:
        for key in "abc":
            stage.send("GET", key)
        assert not net.servers[A].asked

        await soon(lambda: len(stage.answers) == 3)

        assert stage.answers == ["a", "b", "c"]
        assert (stage.meter.batches, stage.meter.commands) == (1, 3)


async def test_a_dated_command_ends_with_the_time_of_the_server(
    net: Net, servers: FakeServers
) -> None:
    async with staged(servers) as stage:
        stage.send("EVALSHA", deadline=time.monotonic() + 5, dated=True)
        await soon(lambda: stage.answers)

    ((_, date),) = net.servers[A].asked
    assert 1_004_000 < date <= 1_005_001  # its clock says 1000 s


async def test_an_error_is_handed_over_with_its_request(net: Net, servers: FakeServers) -> None:
    net.servers[A].answers["GET"] = error("MOVED 1 b:2")
    async with staged(servers) as stage:
        stage.send("GET", "k")
        await soon(lambda: stage.errors)

        assert [str(each) for each in stage.errors] == ["MOVED 1 b:2"]
        assert stage.answers == []


async def test_what_was_not_answered_is_sent_again_in_its_order(
    net: Net, servers: FakeServers
) -> None:
    server = net.servers[A]
    server.answers["GET"] = []
    async with staged(servers) as stage:
        for key in "ab":
            stage.send("GET", key)
        await soon(lambda: len(server.asked) == 2)

        server.answers["GET"] = lambda command: [command[1]]
        server.link.close()
        stage.send("GET", "c")
        await soon(lambda: len(stage.answers) == 3)

        assert stage.answers == ["a", "b", "c"]


async def test_what_may_not_be_done_twice_is_given_up_at_its_deadline(
    net: Net, servers: FakeServers
) -> None:
    server, now = net.servers[A], time.monotonic()
    server.answers["GET"] = []
    async with staged(servers, resends=False) as stage:
        stage.send("GET", "a", deadline=now + 5)
        await soon(lambda: server.asked)
        server.link.close()
        await stage.shard.link.opened()

        stage.shard.tick(now + 4)
        assert stage.answers == []
        stage.shard.tick(now + 6)

        assert len(server.asked) == 1
        assert isinstance(stage.answers[0], RedisUnavailable)


async def test_nothing_waits_longer_than_its_deadline(net: Net, servers: FakeServers) -> None:
    server, now = net.servers[A], time.monotonic()
    server.answers["GET"] = []
    async with staged(servers) as stage:
        stage.send("GET", "written", deadline=now + 5)
        await soon(lambda: server.asked)
        server.is_down = True
        server.link.close()
        stage.send("GET", "queued", deadline=now + 5)

        stage.shard.tick(now + 6)

        assert [type(answer) for answer in stage.answers] == [RedisUnavailable] * 2


async def test_what_was_not_written_can_be_taken_back(net: Net, servers: FakeServers) -> None:
    async with staged(servers) as stage:
        net.servers[A].is_down = True
        net.servers[A].link.close()
        stage.send("GET", "k")
        await asyncio.sleep(0)

        assert [request.command for request in stage.shard.take_back()] == [("GET", "k")]
        assert stage.shard.is_idle


async def test_whoever_waits_is_told_at_the_end(net: Net, servers: FakeServers) -> None:
    net.servers[A].answers["GET"] = []
    async with staged(servers) as stage:
        stage.send("GET", "k")
        await soon(lambda: net.servers[A].asked)

        stage.shard.give_up()
        stage.shard.give_up()

        assert [type(answer) for answer in stage.answers] == [RedisUnavailable]


@pytest.mark.parametrize("is_lost", [False, True])
async def test_it_is_known_when_all_is_answered_or_lost(
    net: Net, servers: FakeServers, is_lost: bool
) -> None:
    server = net.servers[A]
    async with staged(servers) as stage:
        if is_lost:
            server.answers["PING"] = []
        waiting = asyncio.ensure_future(stage.shard.answered())
        await asyncio.sleep(0)
        if is_lost:
            await asyncio.sleep(0)
            server.answers["PING"] = [b"PONG"]
            server.link.close()

        await asyncio.wait_for(waiting, 5)
