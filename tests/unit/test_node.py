"""What a node makes of its lease, its probes, its siblings and its end; all parts are pretended."""

import asyncio
import logging
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock, Mock, call

import pytest

from hypha_cluster import node as module
from hypha_cluster.clients.life import GOING_AWAY
from hypha_cluster.errors import Conflict, RedisUnavailable
from hypha_cluster.metrics import Counts
from hypha_cluster.node import Clients, Cluster, Node, Terms, Watched
from hypha_cluster.registry.nodes import NodeInfo, Renewal
from hypha_cluster.supervision import Supervisor

AWAY = RedisUnavailable("Redis is away.")
TTL, INTERVAL = 5.0, 1.0


class Rig:
    """A node whose parts note what they are asked, in `parts.mock_calls`; `now` is its clock."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.parts: Any = Mock()
        for name in ("nodes", "reaper", "publisher"):
            setattr(self.parts, name, AsyncMock())
        self.parts.nodes.silent.return_value = None
        self.parts.nodes.renew_lease.return_value = Renewal.RENEWED
        self.parts.nodes.alive.return_value = []
        for name in ("start", "stop", "deafen"):
            setattr(self.parts.listener, name, AsyncMock())
        self.parts.listener.last_probe = self.now
        self.parts.presence.are_known = AsyncMock(return_value=True)
        self.parts.drain.empty = AsyncMock()
        self.parts.drain.settle = AsyncMock()
        self.parts.drain.is_on = False
        self.connections: list[Any] = []
        self.counts = Counts()
        self.supervisor = Supervisor()
        self.node = Node(*self._roles(), self.supervisor)

    def _roles(self) -> tuple[Cluster, Watched, Clients, Terms]:
        parts, connections = self.parts, cast(Any, self.connections)
        return (
            Cluster(parts.nodes, parts.reaper),
            Watched(
                *(parts.publisher, parts.listener, parts.recovery),
                *(connections, parts.pending, self.counts),
            ),
            Clients(parts.life, parts.mail, parts.presence, parts.drain),
            Terms("me", INTERVAL, TTL, drain_delay=0.0, drain_time=7.0),
        )

    @property
    def asked(self) -> list[str]:
        """Which functions of which parts, in their order."""
        return [name for name, _, _ in self.parts.mock_calls]


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    rig = Rig()
    clock = SimpleNamespace(monotonic=lambda: rig.now, time=lambda: 5.5)
    monkeypatch.setattr(module, "time", clock)
    return rig


def info(name: str, *, draining: bool = False) -> NodeInfo:
    return NodeInfo(name, 0, alive=True, draining=draining)


# Whether it is ready.


async def test_it_is_ready_while_its_lease_and_its_relay_hold(rig: Rig) -> None:
    await rig.node._renew()

    assert rig.node.unready_because() == []


@pytest.mark.parametrize(
    ("late", "reasons"),
    [
        ({"lease": TTL}, []),
        ({"lease": TTL + 0.1}, ["lease not renewed"]),
        ({"probe": 2 * INTERVAL + 1}, []),
        ({"probe": 2 * INTERVAL + 1.1}, ["relay does not answer"]),
        ({"lease": TTL + 1, "probe": TTL}, ["lease not renewed", "relay does not answer"]),
    ],
)
async def test_it_is_not_ready_when_one_of_them_is_too_old(
    rig: Rig, late: dict[str, float], reasons: list[str]
) -> None:
    await rig.node._renew()
    rig.now += late.get("lease", 0.0)
    rig.parts.listener.last_probe = rig.now - late.get("probe", 0.0)

    assert rig.node.unready_because() == reasons


async def test_a_node_that_drains_is_not_ready(rig: Rig) -> None:
    await rig.node._renew()
    rig.parts.drain.is_on = True

    assert rig.node.unready_because() == ["draining"]


# Its lease.


async def test_a_lease_that_was_renewed_needs_nothing_else(rig: Rig) -> None:
    await rig.node._renew()

    assert rig.asked == ["nodes.renew_lease"]


@pytest.mark.parametrize("renewal", [Renewal.ENDED, Renewal.TAKEN])
async def test_a_lost_lease_is_taken_anew_and_all_is_told_again(rig: Rig, renewal: Renewal) -> None:
    rig.parts.nodes.renew_lease.return_value = renewal

    await rig.node._renew()

    assert rig.asked == ["nodes.renew_lease", "nodes.take_lease", "recovery.doubt"]


@pytest.mark.parametrize(("slept", "told"), [(TTL, "restored"), (TTL + 0.1, "doubt")])
async def test_a_lease_that_is_lost_before_its_end_was_forgotten_by_redis(
    rig: Rig, slept: float, told: str
) -> None:
    await rig.node._renew()
    rig.parts.reset_mock()
    rig.parts.nodes.renew_lease.return_value = Renewal.ENDED
    rig.now += slept

    await rig.node._renew()

    assert rig.asked == ["nodes.renew_lease", "nodes.take_lease", f"recovery.{told}"]


@pytest.mark.parametrize(
    ("error", "level"), [(AWAY, logging.INFO), (Conflict("It is another's."), logging.ERROR)]
)
async def test_why_it_could_not_be_renewed_is_said_once(
    rig: Rig, error: Exception, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rig.parts.nodes.renew_lease.side_effect = error
    for _ in range(3):
        await rig.node._renew()
    rig.parts.nodes.renew_lease.side_effect = None
    await rig.node._renew()
    rig.parts.nodes.renew_lease.side_effect = error
    await rig.node._renew()

    assert [record.levelno for record in caplog.records] == [level, level]


async def test_before_it_takes_its_lease_it_cleans_up_after_an_earlier_one(rig: Rig) -> None:
    rig.parts.nodes.silent.return_value = 3.0

    await rig.node._take_over()

    assert rig.parts.mock_calls == [
        call.nodes.wait_for("me"),
        call.nodes.silent("me"),
        call.presence.announce_end("me"),
        call.reaper.succeed("me", silent=3.0),
        call.nodes.take_lease("me", {"draining": False}),
    ]


async def test_a_name_in_use_is_left_alone(rig: Rig) -> None:
    rig.parts.nodes.wait_for.side_effect = Conflict("It is in use.")

    with pytest.raises(Conflict):
        await rig.node.start(address="http://hub", public_url="", version="1")

    assert rig.asked[-1] == "nodes.wait_for"
    await rig.node.stop()
    assert "nodes.drop_lease" not in rig.asked


# What Redis knows.


@pytest.mark.parametrize(("known", "doubts"), [(True, 0), (False, 1), (AWAY, 0)])
async def test_it_tells_all_again_when_redis_has_forgotten_somebody(
    rig: Rig, known: Any, doubts: int
) -> None:
    rig.parts.presence.are_known.side_effect = [known]

    await rig.node._check()

    assert rig.asked.count("recovery.restored") == doubts


async def test_what_the_reaper_has_found_is_told_to_all(rig: Rig) -> None:
    rig.parts.reaper.clean_up.return_value = SimpleNamespace(ended=["a", "b"], misjudged=["c"])

    await rig.node._reap()

    assert rig.parts.presence.mock_calls == [
        call.announce_misjudgement("c"),
        call.announce_end("a"),
        call.announce_end("b"),
    ]


async def test_clients_that_did_not_come_back_are_counted(rig: Rig) -> None:
    gone = [SimpleNamespace(address="w/a"), SimpleNamespace(address="w/b")]
    rig.parts.reaper.remove_overdue.return_value = gone

    await rig.node._remove_overdue()

    assert rig.counts.reaped == 2


# Its end.


@pytest.mark.parametrize(
    ("alive", "has"),
    [
        ([info("me")], False),
        ([info("me"), info("other", draining=True)], False),
        ([info("me"), info("other", draining=True), info("third")], True),
        (AWAY, True),
    ],
)
async def test_only_nodes_that_go_on_take_clients_over(rig: Rig, alive: Any, has: bool) -> None:
    rig.parts.nodes.alive.side_effect = [alive]

    assert await rig.node._has_siblings() is has


@pytest.mark.parametrize(
    ("siblings", "for_successor", "sent"),
    [([info("other")], False, True), ([], False, False), ([info("other")], True, False)],
)
async def test_clients_are_sent_away_where_others_take_them_and_come_to_rest_anyhow(
    rig: Rig, siblings: list[NodeInfo], for_successor: bool, sent: bool
) -> None:
    rig.parts.nodes.alive.return_value = siblings

    await rig.node.drain(for_successor=for_successor)

    asked = [name for name in rig.asked if name.startswith("drain.")]
    assert asked == ["drain.begin", *(["drain.empty"] if sent else []), "drain.settle"]
    assert rig.counts.drains == 1
    assert rig.parts.nodes.take_lease.call_count == 1  # which says that it drains


async def test_nobody_is_sent_away_any_more_when_all_the_others_stop_too(rig: Rig) -> None:
    never = asyncio.Event()
    rig.parts.drain.empty = Mock(side_effect=lambda seconds: never.wait())
    rig.parts.nodes.alive.side_effect = [[info("other")], [info("other", draining=True)]]

    async with asyncio.timeout(30):
        await rig.node.drain()

    assert rig.asked[-1] == "drain.settle"


@pytest.mark.parametrize("error", [None, AWAY])
async def test_a_node_that_stops_gives_its_lease_back_if_redis_is_there(
    rig: Rig, error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    await rig.node._renew()
    rig.parts.reset_mock()
    rig.parts.nodes.drop_lease.side_effect = error

    await rig.node.stop()

    assert rig.asked == [
        *("listener.deafen", "presence.announce_end", "reaper.succeed"),
        *("nodes.drop_lease", "listener.stop", "publisher.aclose"),
    ]
    assert ("stays until it ends" in caplog.text) is (error is not None)


def test_connections_that_are_left_end_with_it() -> None:
    rig = Rig()
    rig.connections.extend((Mock(), Mock()))

    rig.node.dismiss()

    for connection in rig.connections:
        assert connection.mock_calls == [call.close(GOING_AWAY, "going away")]
