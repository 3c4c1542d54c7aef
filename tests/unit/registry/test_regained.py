"""What Redis has lost is looked for until it may be there again, and no longer."""

from collections.abc import Iterable

import pytest

from hypha_cluster.errors import ServiceNotFound
from hypha_cluster.links.recovery import Recovery
from hypha_cluster.registry import regained as module
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.nodes import Nodes
from hypha_cluster.registry.regained import PATIENCE, Regained
from tests.fake_redis import FakeRedis

MISSING = ServiceNotFound("There is no such service.")
LASTING = 10 * [None]


class Scene:
    """A node at time 0 which Redis knows, and somebody who looks for something."""

    def __init__(self, fake: FakeRedis, keys: Keys) -> None:
        self.now = 0.0
        self.fake = fake
        self.recovery = Recovery(lambda: self.now)
        nodes = Nodes(fake.client, keys, ttl=5.0, interval=1.0)
        self.regained = Regained(nodes, "me", self.recovery, lambda: self.now)
        self.looks = 0
        fake.answers["exists"] = 1

    async def find(self, each: Iterable[str | Exception | None]) -> str | None:
        """What is found in the end; each: what a look finds, half a second after the one before."""
        found = iter(each)

        async def look() -> str | None:
            self.looks += 1
            self.now += 0.5
            this = next(found)
            if isinstance(this, Exception):
                raise this
            return this

        return await self.regained.find(look)


@pytest.fixture
def scene(fake: FakeRedis, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(module, "_PAUSE", 0.0)
    return Scene(fake, keys)


async def test_what_is_there_is_found_at_once_and_nothing_else_is_asked(scene: Scene) -> None:
    scene.recovery.restored()

    assert await scene.find(["it"]) == "it"
    assert not scene.fake.sent


async def test_what_is_not_there_is_not_looked_for_again(scene: Scene) -> None:
    assert await scene.find([None, "it"]) is None
    with pytest.raises(ServiceNotFound):
        await scene.find([MISSING, "it"])
    assert not scene.recovery.is_recent


@pytest.mark.parametrize("lost", [None, MISSING])
async def test_it_is_when_redis_is_just_back(scene: Scene, lost: Exception | None) -> None:
    scene.recovery.restored()

    assert await scene.find([lost, lost, "it"]) == "it"


async def test_it_is_when_redis_has_forgotten_this_node_too_which_then_tells_it_again(
    scene: Scene,
) -> None:
    scene.fake.answers["exists"] = 0

    assert await scene.find([None, "it"]) == "it"
    assert scene.fake.words("exists") == [("p:node:me",)]
    await scene.recovery.needed()


async def test_it_is_not_looked_for_without_end(scene: Scene) -> None:
    scene.recovery.restored()

    assert await scene.find(LASTING) is None
    with pytest.raises(ServiceNotFound):
        await scene.find([MISSING] * 10)
    assert scene.looks == 2 * PATIENCE / 0.5
