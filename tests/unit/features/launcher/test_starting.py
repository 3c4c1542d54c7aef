"""Starts, and the probes that follow, where instances are only pretended."""

import asyncio
from typing import Any
from unittest.mock import Mock

import pytest

from hypha_cluster.errors import Overloaded, RedisUnavailable
from hypha_cluster.features.launcher import starting
from hypha_cluster.features.launcher.probes import LIVENESS, Probes
from hypha_cluster.features.launcher.starting import Insight, Known, Start, Starter
from hypha_cluster.identity.access import Identity
from hypha_cluster.metrics import Counts
from hypha_cluster.registry.apps import App
from hypha_cluster.registry.instance import Instance, State
from hypha_cluster.registry.instance_probes import ProbeTurn
from hypha_cluster.registry.instances import Change
from hypha_cluster.supervision import Supervisor

PAGE = {
    **{b"app": b"a", b"name": b"A", b"state": b"running", b"epoch": b"1", b"timeout": b"9"},
    **{b"wait_for": b"default", b"changed": b"0", b"probe_restarts": b"9"},
}
INSTANCE = Instance.of("ws/c", PAGE)
APP = App("ws", "a", {"name": "A"}, {}, "ann", 1, {LIVENESS: {"exec": "is_well"}})
GUEST = Identity("guest")
ANNS_CHILDREN = [Identity(f"child-{n}", parent="ann", scopes=("ws",)) for n in range(2)]


class Place:
    """Pretends to be what starts and probes need: apps, instances and calls."""

    def __init__(self, *found: Instance | Exception, answer: bool = True) -> None:
        self.asked = 0
        self.failures = 0
        self.noted: list[bool] = []
        self.changed: list[dict[str, Any]] = []
        self._found = list(found)
        self._answer = answer

    async def ask(self, wanted: Any, *, shared: bool, choose: Any) -> tuple[str, bool]:
        self.asked += 1
        return INSTANCE.address, True

    async def find(self, address: str, key: str = "") -> Any:
        if key:
            return APP
        found = self._found.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def until_ready(self, app: App, address: str) -> None:
        return

    async def due(self) -> list[ProbeTurn]:
        return [ProbeTurn(INSTANCE.address, "this look")]

    async def note(self, turn: ProbeTurn, *, is_well: bool, forgiven_after: float) -> int:
        self.noted.append(is_well)
        return self.failures

    async def call(self, *_: Any) -> bool:
        return self._answer

    async def change(self, *_: Any, **fields: Any) -> Change:
        self.changed.append(fields)
        return Change(True, State.RUNNING, 1)


def starter(place: Any) -> Starter:
    known = Known(place, place, place, place)
    return Starter(known, place, place, Insight(lambda address: 0, Counts()))


async def test_who_has_no_room_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "APP_STARTS", 0)
    place = Place()

    with pytest.raises(Overloaded, match="Too many starts"):
        await starter(place).start(APP, GUEST, Start())
    assert place.asked == 0


async def test_a_user_alone_does_not_wait_for_all_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "APP_STARTS", 10)
    place, never = Place(INSTANCE), asyncio.Event()
    place.ask = Mock(side_effect=lambda *_, **__: never.wait())  # type: ignore[method-assign]
    start = starter(place).start
    waits = asyncio.ensure_future(start(APP, ANNS_CHILDREN[0], Start()))
    await asyncio.sleep(0)

    with pytest.raises(Overloaded, match="Too many starts"):
        await start(APP, ANNS_CHILDREN[1], Start())
    others = asyncio.ensure_future(start(APP, GUEST, Start()))
    await asyncio.sleep(0)
    assert not others.done()
    for each in (waits, others):
        each.cancel()


async def test_a_start_goes_on_while_redis_is_away() -> None:
    place = Place(RedisUnavailable("away"), RedisUnavailable("away"), INSTANCE)

    assert await starter(place).start(APP, GUEST, Start()) is INSTANCE
    assert place.asked == 1


@pytest.mark.parametrize(("answer", "failures"), [(True, 0), (False, 3)])
async def test_who_fails_often_enough_is_restarted(answer: bool, failures: int) -> None:
    place: Any = Place(INSTANCE, answer=answer)
    place.failures = failures
    probes = Probes(place, place, place, place, Supervisor(), Counts())

    await probes.look()
    await probes._tasks.settled()

    assert place.noted == [answer]
    assert [fields["probe_restarts"] for fields in place.changed] == (["10"] if failures else [])
