"""Nodes ask each other to give addresses up."""

import asyncio

import pytest

from hypha_cluster.clients.handover import Handover, Request
from hypha_cluster.relay.bus import OnNotTaken, Outcome
from hypha_cluster.relay.connection import Connection, Stage
from hypha_cluster.relay.connections import Connections
from hypha_cluster.relay.events import ANSWER, MOVED, REQUEST, write_event
from tests.fakes import FakeSocket
from tests.unit.relay.test_connection import arriving


class FakePublisher:
    """Notes what nodes are told. outcome: what becomes of it, when that is told."""

    is_recovering = False

    def __init__(self) -> None:
        self.told: list[tuple[str, bytes]] = []
        self.outcome: Outcome | None = None

    def deliver_or_mail(
        self,
        address: str,
        frame: bytes,
        on_not_taken: OnNotTaken | None = None,
        *,
        is_call: bool = False,
        may_mail: bool = True,
    ) -> None:
        raise NotImplementedError

    def publish_to_node(
        self, node: str, frame: bytes, on_not_taken: OnNotTaken | None = None
    ) -> None:
        self.told.append((node, frame))
        if self.outcome is not None and on_not_taken is not None:
            on_not_taken(self.outcome)

    def announce(self, event: bytes) -> None:
        raise NotImplementedError


class Rig:
    def __init__(self) -> None:
        self.publisher = FakePublisher()
        self.connections = Connections(outbox_size=100, send_timeout=10.0)
        self.handover = Handover("here", self.publisher, self.connections)
        self.request = Request("ann/me", "node#1", "there")

    def arrive(self) -> Connection:
        connection = arriving(FakeSocket())
        self.connections.expect(connection)
        return connection

    @property
    def is_confirmed(self) -> bool:
        return ("there", write_event(ANSWER, "node#1")) in self.publisher.told


@pytest.fixture
async def rig() -> Rig:
    return Rig()


async def test_an_address_is_obtained_when_its_node_has_given_it_up(rig: Rig) -> None:
    obtaining = asyncio.create_task(rig.handover.obtain("ann/me", "there#1", "there"))
    await asyncio.sleep(0)
    assert rig.publisher.told == [("there", write_event(REQUEST, "ann/me", "there#1", "here"))]
    assert not obtaining.done()

    rig.handover.take_answer("there#7")
    rig.handover.take_answer("there#1")

    assert await asyncio.wait_for(obtaining, 1)


async def test_nobody_waits_for_a_node_that_is_not_there(rig: Rig) -> None:
    rig.publisher.outcome = Outcome.NOBODY

    assert not await asyncio.wait_for(rig.handover.obtain("ann/me", "there#1", "there"), 1)

    assert [node for node, _ in rig.publisher.told] == ["there"]


async def test_a_node_is_told_for_how_long_its_page_may_answer(rig: Rig) -> None:
    rig.publisher.outcome = Outcome.NOBODY

    await rig.handover.obtain("ann/me", "there#1", "there", patience=2.5)

    event = write_event(MOVED, "ann/me", "there#1", "here", "2500")
    assert rig.publisher.told == [("there", event)]


async def test_whose_answers_are_waited_for_is_seen_to_though_it_is_not_here(rig: Rig) -> None:
    request = rig.request._replace(patience=2.5)

    rig.handover.take_request(request)

    assert rig.handover.requests.get_nowait() == request
    assert not rig.is_confirmed


async def test_an_answer_that_nobody_waits_for_is_nothing(rig: Rig) -> None:
    rig.handover.take_answer("there#1")

    obtaining = asyncio.create_task(rig.handover.obtain("ann/me", "there#1", "there"))
    await asyncio.sleep(0)
    assert not obtaining.done(), "an answer of before is none to this question"
    rig.handover.take_answer("there#1")
    await asyncio.wait_for(obtaining, 1)
    assert rig.connections.held_by("there#1") is None


async def test_a_holder_that_is_not_here_is_given_up_at_once(rig: Rig) -> None:
    rig.handover.take_request(rig.request)

    assert rig.is_confirmed
    assert rig.handover.requests.empty()


async def test_a_connection_is_overtaken_before_it_has_its_place(rig: Rig) -> None:
    connection = rig.arrive()

    rig.handover.take_request(rig.request)

    assert connection.stage is Stage.CLOSING
    assert rig.is_confirmed


async def test_a_connection_that_has_its_place_is_to_give_it_up(rig: Rig) -> None:
    rig.connections.attach(rig.arrive())

    rig.handover.take_request(rig.request)

    assert rig.handover.requests.get_nowait() == rig.request
    assert not rig.is_confirmed


async def test_a_connection_that_just_goes_is_waited_for(rig: Rig) -> None:
    connection = rig.arrive()
    rig.connections.attach(connection)
    connection.enter(Stage.GONE)
    rig.connections.detach(connection)

    rig.handover.take_request(rig.request)

    assert rig.handover.requests.get_nowait() == rig.request
    rig.connections.forget(connection)
    rig.handover.take_request(rig.request)
    assert rig.is_confirmed


async def test_a_connection_whose_place_another_one_has_is_not_waited_for(rig: Rig) -> None:
    rig.connections.attach(rig.arrive())
    newer = arriving(FakeSocket(), holder="node#2")
    rig.connections.expect(newer)
    rig.connections.attach(newer)

    rig.handover.take_request(rig.request)

    assert rig.is_confirmed


async def test_a_node_is_told_once_that_a_connection_has_given_way(rig: Rig) -> None:
    rig.connections.attach(rig.arrive())
    rig.handover.take_request(rig.request)

    rig.handover.gave_way("node#1")
    rig.handover.gave_way("node#1")
    rig.handover.gave_way("node#2")  # for which nobody has asked

    assert rig.publisher.told == [("there", write_event(ANSWER, "node#1"))]


async def test_what_could_not_be_done_is_confirmed_no_more(rig: Rig) -> None:
    rig.connections.attach(rig.arrive())
    rig.handover.take_request(rig.request)

    rig.handover.forget(rig.request)
    rig.handover.gave_way("node#1")

    assert not rig.is_confirmed
