"""Channels are heard wherever their slots go, and what was not heard meanwhile is told."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.links import subscriptions as module
from hypha_cluster.links.recovery import Recovery
from hypha_cluster.links.subscriptions import SUBSCRIBE_BATCH, Subscriptions
from tests.unit.links.net import A, B, FakeServers, Net, error, soon


class Stage:
    """Subscriptions, and what they have handed on."""

    def __init__(self, servers: FakeServers) -> None:
        self.messages: list[tuple[bytes, bytes]] = []
        self.rejoined: list[bytes] = []
        self.recovery = Recovery()
        self.subscriptions = Subscriptions(
            servers,
            "hypha-test",
            lambda channel, payload: self.messages.append((channel, payload)),
            self.rejoined.append,
            self.recovery,
        )


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0.0)
    monkeypatch.setattr(module, "_LINGERING", 0.0)


@pytest.fixture
async def stage(net: Net, servers: FakeServers) -> AsyncIterator[Stage]:
    stage = Stage(servers)
    await stage.subscriptions.start([b"own@0"])
    yield stage
    await stage.subscriptions.aclose()


async def test_a_channel_is_joined_when_its_server_says_so(net: Net, stage: Stage) -> None:
    net.servers[A].answers["SSUBSCRIBE"] = []
    joining = asyncio.ensure_future(stage.subscriptions.join(b"c@0"))
    await soon(lambda: ("SSUBSCRIBE", b"c@0") in net.servers[A].asked)
    assert not joining.done()

    net.servers[A].link.say([b"ssubscribe", b"c@0", 1])

    await asyncio.wait_for(joining, 5)
    net.servers[A].link.say([b"smessage", b"c@0", b"hello"])
    assert stage.messages == [(b"c@0", b"hello")]


async def test_it_is_joined_at_the_server_of_its_slot(
    net: Net, servers: FakeServers, stage: Stage
) -> None:
    servers.put({7: B})
    await soon(lambda: net.servers[B].links)

    await stage.subscriptions.join(b"c@7")

    assert net.servers[B].asked == [("SSUBSCRIBE", b"c@7")]


async def test_a_server_that_does_not_answer_is_unavailable(net: Net) -> None:
    stage = Stage(FakeServers(timeout=0.05))
    await stage.subscriptions.start([b"own@0"])
    net.servers[A].answers["SSUBSCRIBE"] = []

    with pytest.raises(RedisUnavailable):
        await stage.subscriptions.join(b"c@0")

    await stage.subscriptions.aclose()


async def test_a_channel_is_left_when_nothing_can_come_any_more(net: Net, stage: Stage) -> None:
    await stage.subscriptions.join(b"c@0")
    net.servers[A].answers["SUNSUBSCRIBE"] = []
    leaving = asyncio.ensure_future(stage.subscriptions.leave(b"c@0"))
    await soon(lambda: ("SUNSUBSCRIBE", b"c@0") in net.servers[A].asked)
    assert not leaving.done()

    net.servers[A].link.say([b"sunsubscribe", b"c@0", 0])

    await asyncio.wait_for(leaving, 5)


async def test_after_a_break_all_is_heard_again_and_told(net: Net, stage: Stage) -> None:
    await stage.subscriptions.join(b"c@0")
    assert stage.rejoined == []

    net.servers[A].link.close()

    await soon(lambda: len(stage.rejoined) == 2)
    assert set(stage.rejoined) == {b"own@0", b"c@0"}
    async with asyncio.timeout(5):
        await stage.recovery.needed()


async def test_many_channels_are_asked_for_in_batches(net: Net, stage: Stage) -> None:
    channels = [f"c{number}@0".encode() for number in range(SUBSCRIBE_BATCH + 10)]
    await asyncio.gather(*map(stage.subscriptions.join, channels))
    net.servers[A].received.clear()

    net.servers[A].link.close()
    await soon(lambda: len(stage.rejoined) == len(channels) + 1)

    sizes = [len(command) - 1 for command in net.servers[A].asked]
    assert sizes == [SUBSCRIBE_BATCH, 11]


async def test_channels_of_slots_that_go_elsewhere_are_heard_there(
    net: Net, servers: FakeServers, stage: Stage
) -> None:
    await stage.subscriptions.join(b"c@7")
    servers.put({7: B})
    await soon(lambda: net.servers[B].links)

    net.servers[A].link.say([b"sunsubscribe", b"c@7", 0])  # as Redis does with a slot that moved

    await soon(lambda: stage.rejoined == [b"c@7"])
    assert net.servers[B].asked == [("SSUBSCRIBE", b"c@7")]
    assert servers.doubts


async def test_channels_of_a_server_that_is_gone_are_heard_elsewhere(
    net: Net, servers: FakeServers, stage: Stage
) -> None:
    await stage.subscriptions.join(b"c@0")
    servers.slots[0] = B
    servers.leave(B)

    await soon(lambda: len(stage.rejoined) == 2)
    await soon(lambda: not net.servers[A].link.is_open)
    assert {each for command in net.servers[B].asked for each in command[1:]} == {
        b"own@0",
        b"c@0",
    }


async def test_a_refused_subscription_is_asked_for_again(
    net: Net, servers: FakeServers, stage: Stage
) -> None:
    def refuse_once(command: tuple[Any, ...]) -> list[Any]:
        net.servers[A].answers["SSUBSCRIBE"] = granted
        return error("MOVED 0 a:1")

    granted = net.servers[A].answers["SSUBSCRIBE"]
    net.servers[A].answers["SSUBSCRIBE"] = refuse_once

    await stage.subscriptions.join(b"c@0")

    assert net.servers[A].asked.count(("SSUBSCRIBE", b"c@0")) == 2
    assert servers.doubts


async def test_all_connections_can_be_opened_anew(net: Net, stage: Stage) -> None:
    stage.subscriptions.reconnect()

    await soon(lambda: len(net.servers[A].links) == 2 and stage.rejoined == [b"own@0"])


async def test_what_was_left_is_not_asked_for_again(net: Net, stage: Stage) -> None:
    await stage.subscriptions.join(b"c@0")
    await stage.subscriptions.leave(b"c@0")
    net.servers[A].received.clear()

    net.servers[A].link.close()
    await soon(lambda: stage.rejoined)

    assert net.servers[A].asked == [("SSUBSCRIBE", b"own@0")]
