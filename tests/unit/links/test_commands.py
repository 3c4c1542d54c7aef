"""Commands reach whoever has their slot, in their order, while slots move and servers fail."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.links import commands as module
from hypha_cluster.links.commands import Commands
from hypha_cluster.links.link import Endpoint
from hypha_cluster.links.recovery import Recovery
from tests.unit.links.net import A, B, Command, FakeServers, Net, error, soon

SCRIPT = b"return 1"


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0.0)


@pytest.fixture
def recovery() -> Recovery:
    return Recovery()


@pytest.fixture
async def commands(net: Net, servers: FakeServers, recovery: Recovery) -> AsyncIterator[Commands]:
    for server in net.servers.values():
        server.answers["GET"] = lambda command: [command[1]]
    commands = Commands(servers, "hypha-test", [SCRIPT], recovery, resends=True)
    await commands.start()
    yield commands
    await commands.aclose()


async def answers(commands: Commands, *asked: tuple[int, Command]) -> list[Any]:
    """Send commands for slots, and wait for all replies."""
    async with asyncio.timeout(5):
        return [await reply for reply in [commands.ask(*each) for each in asked]]


async def test_each_goes_to_the_server_of_its_slot(
    net: Net, servers: FakeServers, commands: Commands
) -> None:
    servers.put({7: B})
    await soon(lambda: net.servers[B].links)

    assert await answers(commands, (0, ("GET", "a")), (7, ("GET", "b"))) == ["a", "b"]

    assert net.servers[A].asked == [("GET", "a")]
    assert net.servers[B].asked == [("GET", "b")]


async def test_an_error_of_the_command_itself_is_its_answer(net: Net, commands: Commands) -> None:
    net.servers[A].answers["GET"] = error("WRONGTYPE Operation against a key")

    (answer,) = await answers(commands, (0, ("GET", "a")))

    assert str(answer) == "WRONGTYPE Operation against a key"


async def test_what_is_sent_elsewhere_keeps_its_order(
    net: Net, servers: FakeServers, commands: Commands
) -> None:
    net.servers[A].answers["GET"] = error("MOVED 7 b:2")

    asked = [(7, ("GET", key)) for key in "abc"]
    assert await answers(commands, *asked) == ["a", "b", "c"]

    assert [command[1] for command in net.servers[B].asked] == ["a", "b", "c"]
    assert servers.server_of(7) == B


async def test_a_slot_that_waits_holds_up_no_other_one(
    net: Net, servers: FakeServers, commands: Commands
) -> None:
    servers.put({7: None})
    waiting = commands.ask(7, ("GET", "later"))

    assert await answers(commands, (0, ("GET", "now"))) == ["now"]
    assert not waiting.done()

    servers.put({7: A})
    assert await asyncio.wait_for(waiting, 5) == "later"


async def test_a_server_that_has_lost_its_scripts_is_given_them(
    net: Net, commands: Commands
) -> None:
    server = net.servers[A]
    loads = len([each for each in server.received if each[0] == "SCRIPT"])

    def evaluate(command: Command) -> list[Any]:
        known = [each for each in server.received if each[0] == "SCRIPT"]
        return [b"done"] if len(known) > loads else error("NOSCRIPT No matching script.")

    server.answers["EVALSHA"] = evaluate

    assert await answers(commands, (0, ("EVALSHA", "sha", 0))) == [b"done"]
    assert server.received.count(("SCRIPT", "LOAD", SCRIPT)) == 2


async def test_a_master_that_is_none_any_more_is_left(net: Net, commands: Commands) -> None:
    server = net.servers[A]
    replies = iter([error("READONLY You can't write"), [b"done"]])
    server.answers["SET"] = lambda command: next(replies, [b"done"])

    assert await answers(commands, (0, ("SET", "k", "v"))) == [b"done"]

    assert len(server.links) == 2


async def test_while_a_slot_is_on_its_way_the_new_server_is_asked(
    net: Net, commands: Commands
) -> None:
    net.servers[A].answers["GET"] = error("ASK 7 b:2")

    assert await answers(commands, (7, ("GET", "a"))) == ["a"]

    assert net.servers[B].asked == [("ASKING",), ("GET", "a")]


async def test_whom_nobody_answers_in_time_is_told(net: Net) -> None:
    servers = FakeServers(timeout=0.05)
    commands = Commands(servers, "hypha-test", [], Recovery(), resends=True)
    await commands.start()
    servers.put({7: None})

    (answer,) = await answers(commands, (7, ("GET", "a")))

    assert isinstance(answer, RedisUnavailable)
    assert servers.doubts
    await commands.aclose()


async def test_a_server_that_has_no_slot_any_more_is_let_go(
    net: Net, servers: FakeServers, commands: Commands
) -> None:
    servers.put(dict.fromkeys(range(10), B))
    await soon(lambda: net.servers[B].links)
    servers.slots |= {0: B}
    servers.leave(B)

    await soon(lambda: not net.servers[A].link.is_open)

    assert await answers(commands, (0, ("GET", "a"))) == ["a"]
    assert net.servers[B].asked == [("GET", "a")]


async def test_it_is_told_when_a_server_was_away(
    net: Net, commands: Commands, recovery: Recovery
) -> None:
    assert not recovery.is_recent

    net.servers[A].link.close()

    async with asyncio.timeout(5):
        await recovery.needed()
    assert recovery.is_recent


async def test_whoever_waits_at_the_end_is_told(net: Net, servers: FakeServers) -> None:
    commands = Commands(servers, "hypha-test", [], Recovery(), resends=True)
    await commands.start()
    net.servers[A].answers["GET"] = []
    servers.put({7: None})
    waiting = [commands.ask(0, ("GET", "sent")), commands.ask(7, ("GET", "kept"))]
    await soon(lambda: net.servers[A].asked)

    await commands.aclose()

    assert [type(await reply) for reply in waiting] == [RedisUnavailable] * 2


class OneServer(FakeServers):
    """Whoever is the only one, with how often that was asked."""

    is_cluster = False
    asked = 0

    def server_of(self, slot: int) -> Endpoint | None:
        self.asked += 1
        return self.homes[0]


async def test_the_only_server_is_not_looked_for_each_time(net: Net, recovery: Recovery) -> None:
    for server in net.servers.values():
        server.answers["GET"] = lambda command: [command[1]]
    servers = OneServer()
    commands = Commands(servers, "hypha-test", [SCRIPT], recovery, resends=True)
    await commands.start()
    await asyncio.sleep(0)
    try:
        before = servers.asked
        assert await answers(commands, *((0, ("GET", str(n))) for n in range(5))) == list("01234")
        assert servers.asked == before

        servers.leave(B)  # as when another one has become the master
        await soon(lambda: net.servers[B].links)

        assert await answers(commands, (0, ("GET", "moved"))) == ["moved"]
        assert ("GET", "moved") in net.servers[B].asked
    finally:
        await commands.aclose()
