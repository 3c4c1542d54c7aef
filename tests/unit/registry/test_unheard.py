"""Clients that should have heard a call are looked after until it is clear whether they can."""

from typing import Any

import pytest

from hypha_cluster.protocol.limits import UNHEARD
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.suspensions import Tenure
from hypha_cluster.registry.unheard import LOOK_FOR, Unheard
from tests.fake_redis import AWAY, FakeRedis, Words


class Stage:
    """Clients by their addresses, and the nodes that live; the clock is set by hand."""

    def __init__(self, fake: FakeRedis, keys: Keys) -> None:
        self.now = 100.0
        self.clients: dict[str, Any] = {}
        self.alive: set[str] = set()
        fake.answers["hmget"] = lambda words: self.clients.get(words[0], [None, None])
        fake.answers["exists"] = self._exists
        self.fake = fake
        self.unheard = Unheard(fake.client, keys, clock=lambda: self.now)

    def _exists(self, words: Words) -> int:
        return int(words[0].removeprefix("p:node:") in self.alive)

    def attach(self, client: str, node: str, state: bytes = b"online") -> None:
        self.clients[f"p:{{ws}}/{client}"] = [state, f"{node}#1".encode()]
        self.unheard.add(f"ws/{client}")

    async def asked(self) -> int:
        """How many addresses are looked after."""
        before = len(self.fake.words("hmget"))
        await self.unheard.take_dead()
        return len(self.fake.words("hmget")) - before


@pytest.fixture
def stage(fake: FakeRedis, keys: Keys) -> Stage:
    return Stage(fake, keys)


async def test_a_client_of_a_dead_node_is_found_once(stage: Stage) -> None:
    stage.attach("me", "dead")

    assert await stage.unheard.take_dead() == [Tenure("ws/me", "dead#1")]
    assert await stage.unheard.take_dead() == []


async def test_a_client_of_a_node_that_lives_is_looked_after_until_it_dies(stage: Stage) -> None:
    stage.alive.add("node")
    stage.attach("me", "node")
    assert await stage.unheard.take_dead() == []

    stage.alive.clear()

    assert await stage.unheard.take_dead() == [Tenure("ws/me", "node#1")]


async def test_who_is_suspended_or_gone_is_forgotten(stage: Stage) -> None:
    stage.attach("away", "dead", b"suspended")
    stage.unheard.add("ws/gone")

    assert await stage.unheard.take_dead() == []
    assert await stage.asked() == 0


async def test_it_is_not_looked_for_ever(stage: Stage) -> None:
    stage.alive.add("node")
    stage.attach("me", "node")
    await stage.unheard.take_dead()
    stage.now += LOOK_FOR + 1
    await stage.unheard.take_dead()

    assert await stage.asked() == 0


async def test_a_part_of_redis_that_is_away_hides_nobody_else(stage: Stage) -> None:
    stage.attach("lost", "dead")
    stage.attach("me", "dead")
    stage.clients["p:{ws}/lost"] = AWAY

    assert await stage.unheard.take_dead() == [Tenure("ws/me", "dead#1")]

    stage.attach("lost", "dead")
    assert await stage.unheard.take_dead() == [Tenure("ws/lost", "dead#1")]


async def test_no_more_are_looked_after_than_there_is_room_for(stage: Stage) -> None:
    for number in range(UNHEARD + 10):
        stage.unheard.add(f"ws/{number}")

    assert await stage.asked() == UNHEARD
