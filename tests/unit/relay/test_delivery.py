"""Where a frame goes, and what its sender is told when that comes to nothing."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from hypha_cluster.errors import ClientLeft, HubError, RedisUnavailable, TooMany
from hypha_cluster.metrics import Counts, Histogram
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.envelope import FrameReader, Seal, pack
from hypha_cluster.protocol.limits import TAILS
from hypha_cluster.protocol.room import Room
from hypha_cluster.registry.mailboxes import CALL, OTHER
from hypha_cluster.relay.bus import Receivers
from hypha_cluster.relay.connection import Connection, Offer, Stage
from hypha_cluster.relay.connections import Connections
from hypha_cluster.relay.delivery import Delivery
from hypha_cluster.relay.events import (
    TAKEN,
    Note,
    Posted,
    Unseen,
    write_calls,
    write_event,
    write_posted,
    write_unseen,
)
from hypha_cluster.relay.ledger import Ledger
from hypha_cluster.relay.pending import OwedAnswers, PendingCall, PendingCalls
from hypha_cluster.relay.publisher import Limits
from hypha_cluster.relay.sockets import Verdict
from hypha_cluster.relay.tail import Tail
from hypha_cluster.relay.tracing import NullTracer
from tests.fakes import FakeSocket, MemoryBus, MemoryListener, MemoryPublisher
from tests.unit.relay.test_connection import arriving

ME, YOU, FAR = "ann/me", "ann/you", "ann/far"
READER = FrameReader(100_000)


def note(to: str = ME, text: str = "") -> bytes:
    envelope = {"type": "method", "to": to, "method": "services.tool.note"}
    return Seal(YOU, {}).call(envelope, pack({"args": [text]}))


def call(to: str = ME, session: str = "s", caller: str = YOU) -> bytes:
    body = {"args": [], "promise": rpc.promise(caller, session)}
    return Seal(caller, {}).call(rpc.call_envelope(to, "services.tool.run", session), pack(body))


def answer(to: str, session: str = "s", source: str = FAR) -> bytes:
    envelope = rpc.call_envelope(to, f"{session}.resolve")
    return Seal(source, {}).call(envelope, pack({"args": [1]}))


def pending(session: str = "s", caller: str = YOU) -> PendingCall:
    return PendingCall(caller, session, f"{session}.reject", 0.0)


class Rig:
    """One node's delivery on a bus in memory."""

    def __init__(self, bus: MemoryBus, name: str = "here") -> None:
        self.bus, self.counts = bus, Counts()
        self.publisher = MemoryPublisher(bus)
        self.connections = Connections(outbox_size=500, send_timeout=10.0)
        self.pending, self.owed = PendingCalls(Histogram()), OwedAnswers(READER)
        self.ledger = Ledger(self.pending, self.owed, NullTracer())
        self.delivery = Delivery(
            self.connections, self.publisher, self.ledger, self.owed, self.counts, READER
        )
        self.own: list[bytes] = []
        receivers = Receivers(self.delivery.receive, self.own.append, self.own.append, _no_mail)
        self.listener = MemoryListener(bus, name, receivers)

    def arrive(self, client: str) -> Connection:
        connection = arriving(FakeSocket(), client, f"node#{client}")
        self.connections.expect(connection)
        self.connections.attach(connection)
        return connection

    async def live(self, client: str) -> Connection:
        connection = self.arrive(client)
        await self.listener.join(connection.address)
        self.delivery.go_live(connection, [])
        return connection

    def wait(self, session: str = "s", target: str = FAR) -> PendingCall:
        """A client here waits for an answer."""
        waits = pending(session)
        self.pending.add(target, waits)
        return waits


async def _no_mail(address: str) -> list[bytes]:
    return []


def sent(connection: Connection) -> list[bytes]:
    assert isinstance(connection.socket, FakeSocket)
    return connection.socket.sent


def told(connection: Connection) -> list[tuple[str, str]]:
    """By which callbacks a caller was answered, and with what."""
    read = [READER.read(frame) for frame in sent(connection)]
    return [(each.envelope["method"], _text(each.body["args"][0])) for each in read]


def _text(value: Any) -> str:
    return rpc.error_text(value)


@pytest.fixture
async def rig() -> Rig:
    return Rig(MemoryBus())


# To whom.


async def test_who_is_here_gets_a_frame_at_once(rig: Rig) -> None:
    mine = await rig.live("me")

    rig.delivery.send(ME, note())

    assert sent(mine) == [note()]
    assert rig.publisher.published == []
    assert (rig.counts.frames_local, rig.counts.frames_bus) == (1, 0)


async def test_who_is_elsewhere_gets_it_over_the_bus(rig: Rig) -> None:
    there = Rig(rig.bus, "there")
    mine = await there.live("me")

    rig.delivery.send(ME, note())
    await rig.bus.settled()

    assert sent(mine) == [note()]
    assert (rig.counts.frames_local, rig.counts.frames_bus) == (0, 1)


async def test_a_node_itself_gets_what_is_for_it(rig: Rig) -> None:
    there = Rig(rig.bus, "there")

    rig.delivery.send("ann/~there", note("ann/~there"))
    await rig.bus.settled()

    assert there.own == [note("ann/~there")]


@pytest.mark.parametrize("stage", [Stage.SET_ASIDE, Stage.CLOSING, Stage.GONE])
async def test_who_is_about_to_go_gets_nothing_more(rig: Rig, stage: Stage) -> None:
    mine = await rig.live("me")
    rig.bus.known.add(ME)
    await rig.listener.leave(ME)
    mine.enter(stage)

    rig.delivery.send(ME, note())
    await rig.bus.settled()

    assert sent(mine) == []
    assert rig.bus.mail[ME] == [note()]
    assert rig.counts.mailed == 1


async def test_what_comes_for_who_is_closing_is_kept_for_its_mailbox(rig: Rig) -> None:
    mine = await rig.live("me")
    mine.enter(Stage.CLOSING)

    rig.delivery.send(ME, note())  # the bus brings it back, as this node still hears the address
    await rig.bus.settled()

    assert sent(mine) == []
    assert mine.waiting_from_bus == [note()]


async def test_the_hub_still_answers_who_is_set_aside(rig: Rig) -> None:
    mine = await rig.live("me")
    mine.enter(Stage.SET_ASIDE)

    rig.delivery.answer(ME, note())

    assert sent(mine) == [note()]


async def test_who_was_told_to_go_gets_answers_where_it_comes_back(rig: Rig) -> None:
    mine = await rig.live("me")
    await rig.listener.leave(ME)
    rig.bus.known.add(ME)
    mine.enter(Stage.CLOSING)

    rig.delivery.answer(ME, note())
    await rig.bus.settled()

    assert sent(mine) == []
    assert rig.bus.mail[ME] == [note()]


# In which order.


async def test_mail_comes_first_then_what_came_by_the_bus_then_what_came_from_here(
    rig: Rig,
) -> None:
    mine = rig.arrive("me")
    rig.delivery.send(ME, note(text="from here"))
    rig.delivery.receive(ME, note(text="by the bus"))
    assert sent(mine) == []

    rig.delivery.go_live(mine, [note(text="mail")])

    assert sent(mine) == [note(text=text) for text in ("mail", "by the bus", "from here")]
    assert mine.stage is Stage.LIVE


async def test_mail_of_who_was_told_to_go_meanwhile_is_kept(rig: Rig) -> None:
    mine = rig.arrive("me")
    rig.delivery.receive(ME, note(text="by the bus"))
    mine.enter(Stage.CLOSING)

    rig.delivery.go_live(mine, [note(text="mail")])

    assert sent(mine) == []
    assert mine.take_waiting() == ([note(text="mail"), note(text="by the bus")], [])


# What a client here has posted elsewhere.


class Box:
    """What was put into the postbox of a client."""

    def __init__(self) -> None:
        self.frames: list[tuple[str, bytes]] = []
        self.kept: list[bytes] = []

    def put(
        self, key: str, frame: bytes, settle: Callable[[Verdict], None], *, is_kept: bool = False
    ) -> None:
        self.frames.append((key, frame))
        if is_kept:
            self.kept.append(frame)
        settle(Verdict.ROUTED)


def posted(number: str = "17") -> bytes:
    return write_posted(Posted("key", "there", number, b"frame"))


async def test_a_posted_frame_is_put_into_the_postbox_and_its_asker_told(rig: Rig) -> None:
    mine, box, there = await rig.live("me"), Box(), Rig(rig.bus, "there")
    cast(FakeSocket, mine.socket).postbox = box

    rig.delivery.receive(ME, posted())
    await rig.bus.settled()

    assert box.frames == [("key", b"frame")]
    assert box.kept == []
    assert there.own == [write_event(TAKEN, "17", "routed")]
    assert sent(mine) == []


async def test_what_was_posted_before_a_client_came_back_is_in_its_mail(rig: Rig) -> None:
    mine, box = rig.arrive("me"), Box()
    cast(FakeSocket, mine.socket).postbox = box

    rig.delivery.receive(ME, posted())
    rig.delivery.go_live(mine, [posted(), note(text="mail")])

    assert box.frames == [("key", b"frame")] * 2
    assert box.kept == [b"frame"] * 2  # whoever posted it may have been told that it is kept
    assert sent(mine) == [note(text="mail")]


def unseen(number: int, connection: Connection, program: str = "") -> bytes:
    """A frame that a stream of a client may have lost."""
    sender = program or connection.attachment.program
    return write_unseen(Unseen(sender, number, note(text=f"n{number}")))


@pytest.mark.parametrize(("seen", "got"), [(0, [1, 2, 3]), (2, [3]), (3, []), (None, [])])
async def test_a_client_gets_what_it_has_not_seen_before_its_mail(
    seen: int | None, got: list[int], rig: Rig
) -> None:
    mine = rig.arrive("me")
    cast(FakeSocket, mine.socket).tail = Tail(seen, Room(TAILS))

    rig.delivery.go_live(mine, [*(unseen(each, mine) for each in (1, 2, 3)), note(text="mail")])

    assert sent(mine) == [*(note(text=f"n{each}") for each in got), note(text="mail")]


async def test_what_another_program_of_its_name_was_sent_a_client_does_not_get(rig: Rig) -> None:
    """It would do again what that has done."""
    mine, plain = rig.arrive("me"), rig.arrive("you")
    cast(FakeSocket, mine.socket).tail = Tail(0, Room(TAILS))

    rig.delivery.go_live(mine, [unseen(1, mine, "another")])
    rig.delivery.go_live(plain, [unseen(1, plain)])  # by a WebSocket, which says nothing of it

    assert (sent(mine), sent(plain)) == ([], [])


async def test_nothing_is_posted_for_a_client_with_a_websocket(rig: Rig) -> None:
    mine, there = await rig.live("me"), Rig(rig.bus, "there")

    rig.delivery.receive(ME, posted())
    await rig.bus.settled()

    assert there.own == [write_event(TAKEN, "17", "refused")]
    assert sent(mine) == []


# What comes by the bus.


async def test_an_answer_by_the_bus_settles_its_call(rig: Rig) -> None:
    mine = await rig.live("you")
    rig.wait()

    rig.delivery.receive(YOU, answer(YOU))

    assert sent(mine) == [answer(YOU)]
    assert len(rig.pending) == 0


async def test_a_frame_goes_after_a_client_that_has_gone(rig: Rig) -> None:
    there = Rig(rig.bus, "there")
    mine = await there.live("me")

    rig.delivery.receive(ME, note(text="1"))  # it is not here any more
    rig.delivery.receive(None, note(text="2"))  # nor is it known who was
    await rig.bus.settled()

    assert sent(mine) == [note(text="1"), note(text="2")]


async def test_what_a_client_waits_for_is_taken_over_with_it(rig: Rig) -> None:
    mine = await rig.live("you")

    rig.delivery.receive(YOU, write_calls([(FAR, "s", "s.reject")]))
    await rig.bus.settled()  # FAR is nowhere, which is noticed at once

    assert told(mine)[0][0] == "s.reject"
    assert len(rig.pending) == 0


@pytest.mark.parametrize("odd", [b"\xc1", b"\x80", b"\x81\xa4from\x01", pack([1]), pack([["a"]])])
async def test_what_is_odd_is_dropped_and_counted(rig: Rig, odd: bytes) -> None:
    mine = await rig.live("me")

    rig.delivery.receive(ME, odd)
    rig.delivery.receive(None, odd)

    assert sent(mine) == []
    assert rig.counts.dropped_messages["frame"] >= 1


# What comes to nothing.


async def test_a_call_to_nobody_is_rejected(rig: Rig) -> None:
    mine = await rig.live("you")
    rig.delivery.send_call(FAR, call(FAR), rig.wait())
    await rig.bus.settled()

    ((method, text),) = told(mine)
    assert method == "s.reject"
    assert text.startswith("Client not found: far")
    assert len(rig.pending) == 0
    assert rig.counts.rejects == 1


async def test_a_call_is_rejected_once(rig: Rig) -> None:
    mine = await rig.live("you")
    waits = rig.wait()
    rig.delivery.receive(YOU, answer(YOU))

    rig.delivery.send_call(FAR, call(FAR), waits)
    await rig.bus.settled()

    assert [method for method, _ in told(mine)] == ["s.resolve"]


@pytest.mark.parametrize(
    ("is_away", "is_recovering", "limit", "says"),
    [
        (True, False, 10, "unavailable"),
        (False, True, 10, "just come back"),
        (False, False, 0, "too much waits"),
    ],
)
async def test_it_is_said_why_a_call_comes_to_nothing(
    rig: Rig, is_away: bool, is_recovering: bool, limit: int, says: str
) -> None:
    errors: list[HubError] = []
    rig.bus.is_away, rig.publisher.is_recovering = is_away, is_recovering
    if not limit:
        rig.publisher.limits = Limits(0, 0, 1.0)
        rig.bus.known.add(FAR)

    rig.delivery.send(FAR, call(FAR), errors.append)
    await rig.bus.settled()

    assert says in str(errors[0])


class Purse:
    """An allowance of so many bytes."""

    spent = ("somebody",)

    def __init__(self, left: int) -> None:
        self.left = left

    def refusal(self) -> HubError | None:
        return TooMany("try again in 5 s", 5) if self.left <= 0 else None

    def spend(self, size: int) -> None:
        self.left -= size


async def test_who_has_filled_mailboxes_is_refused_and_nobody_else(rig: Rig) -> None:
    mine = await rig.live("you")
    purse = Purse(len(note(FAR)))
    rig.bus.known.add(FAR)
    rig.delivery.send(FAR, note(FAR), mail=purse)
    await rig.bus.settled()

    rig.delivery.send_call(FAR, call(FAR), rig.wait(), purse)
    rig.delivery.send(FAR, note(FAR, "of somebody else"))
    await rig.bus.settled()

    assert told(mine) == [("s.reject", "try again in 5 s")]
    assert rig.bus.mail[FAR] == [note(FAR), note(FAR, "of somebody else")]
    assert purse.left == 0


async def test_who_has_filled_mailboxes_reaches_those_who_are_there(rig: Rig) -> None:
    there = Rig(rig.bus, "there")
    target = await there.live("far")

    rig.delivery.send(FAR, note(FAR), mail=Purse(0))
    await rig.bus.settled()

    assert sent(target) == [note(FAR)]


async def test_what_nobody_waits_for_comes_to_nothing_without_a_word(rig: Rig) -> None:
    rig.delivery.send(FAR, note(FAR))
    await rig.bus.settled()

    assert rig.counts.rejects == 0


async def test_who_waits_for_a_client_that_has_left_is_told(rig: Rig) -> None:
    mine = await rig.live("you")
    rig.wait("a"), rig.wait("b"), rig.wait("c", ME)

    rig.delivery.rejects.target_left(FAR, ClientLeft("It left."))

    assert sorted(told(mine)) == [("a.reject", "It left."), ("b.reject", "It left.")]
    assert len(rig.pending) == 1


async def test_who_waits_for_a_node_that_has_ended_is_told(rig: Rig) -> None:
    mine = await rig.live("you")
    rig.wait("a", "ann/~there"), rig.wait("b", "bob/~there"), rig.wait("c", "ann/~other")
    rig.wait("d", "ann/there")

    rig.delivery.rejects.node_ended("there", ClientLeft("It ended."))

    assert sorted(told(mine)) == [("a.reject", "It ended."), ("b.reject", "It ended.")]
    assert len(rig.pending) == 2


@pytest.mark.parametrize(
    ("lost", "target"), [("nobody", FAR), ("mailbox_full", FAR), ("unavailable", FAR)]
)
async def test_an_answer_that_does_not_reach_its_caller_is_counted_and_told_of(
    rig: Rig, caplog: pytest.LogCaptureFixture, lost: str, target: str
) -> None:
    caplog.set_level("INFO")
    rig.bus.is_away = lost == "unavailable"
    if lost == "mailbox_full":
        rig.publisher.limits = Limits(0, 0, 1.0)
        rig.bus.known.add(FAR)

    rig.delivery.send(target, answer(target, source=ME))
    await rig.bus.settled()

    assert rig.counts.lost_frames == {lost: 1}
    assert f"A frame for {target} is lost: " in caplog.text


async def test_an_answer_to_a_node_that_has_ended_is_counted(rig: Rig) -> None:
    rig.delivery.send("ann/~gone", answer("ann/~gone", source=ME))
    await rig.bus.settled()

    assert rig.counts.lost_frames == {"nobody": 1}


async def test_what_has_a_caller_that_is_told_or_waits_in_a_mailbox_is_not_lost(rig: Rig) -> None:
    await rig.live("you")
    rig.delivery.send_call(FAR, call(FAR), rig.wait())
    rig.bus.known.add(ME)
    rig.delivery.send(ME, answer(ME))
    rig.delivery.tell(FAR, Note(YOU, "services.tool.run", "s"))
    await rig.bus.settled()

    assert not rig.counts.lost_frames


# A client that is slow.


async def slow(rig: Rig) -> Connection:
    mine = await rig.live("me")
    assert isinstance(mine.socket, FakeSocket)
    mine.socket.stuck = True
    mine.socket.send(bytes(600))
    return mine


async def test_a_call_to_who_is_slow_is_turned_away(rig: Rig) -> None:
    mine, yours = await slow(rig), await rig.live("you")
    rig.wait(target=ME)

    rig.delivery.send(ME, call())

    ((method, text),) = told(yours)
    assert method == "s.reject"
    assert "is busy" in text
    assert len(sent(mine)) == 1


async def test_an_answer_to_who_is_slow_passes(rig: Rig) -> None:
    mine = await slow(rig)

    rig.delivery.send(ME, answer(ME))

    assert sent(mine)[1:] == [answer(ME)]


async def test_what_nobody_waits_for_is_dropped_before_who_is_slow(rig: Rig) -> None:
    mine = await slow(rig)

    rig.delivery.send(ME, note())

    assert len(sent(mine)) == 1
    assert rig.counts.frames_refused == 1


# A page of an app that is new where another one was.


async def test_a_call_to_who_offers_nothing_yet_is_turned_away(rig: Rig) -> None:
    mine, yours = await rig.live("me"), await rig.live("you")
    mine.claimed({}, Offer.AWAITED)
    rig.wait(target=ME)

    rig.delivery.send(ME, call())

    assert told(yours) == [
        ("s.reject", f"Client {ME} has started anew, and offers nothing yet; try again.")
    ]
    assert sent(mine) == []
    mine.announce({})
    rig.delivery.send(ME, call())
    assert sent(mine) == []
    mine.announce({"s": "{}"})
    rig.delivery.send(ME, call())
    assert sent(mine) == [call()]


async def test_a_call_that_has_waited_for_who_offers_nothing_yet_is_turned_away(rig: Rig) -> None:
    mine, yours = rig.arrive("me"), await rig.live("you")
    mine.claimed({}, Offer.AWAITED)
    rig.ledger.follow(ME)
    rig.delivery.receive(ME, call(session="s2"))

    rig.delivery.go_live(mine, [call(session="s1"), note()])

    error = f"Client {ME} has started anew, and offers nothing yet; try again."
    assert told(yours) == [("s1.reject", error), ("s2.reject", error)]
    assert sent(mine) == [note()]
    assert not rig.ledger.owes(ME)  # else nobody could take its place soon


@pytest.mark.parametrize("method", ["services.built-in.get_service", "abc.callbacks.run"])
async def test_what_it_has_nevertheless_reaches_it(rig: Rig, method: str) -> None:
    mine = await rig.live("me")
    mine.claimed({}, Offer.AWAITED)
    body = {"args": [], "promise": rpc.promise(YOU, "s")}
    frame = Seal(YOU, {}).call(rpc.call_envelope(ME, method, "s"), pack(body))

    for each in (frame, answer(ME), note()):
        rig.delivery.send(ME, each)

    assert sent(mine) == [frame, answer(ME), note()]


async def test_a_call_in_chunks_is_turned_away_with_its_last_one(rig: Rig) -> None:
    mine, yours = await rig.live("me"), await rig.live("you")
    mine.claimed({}, Offer.AWAITED)
    append, process = (
        Seal(YOU, {}).call(
            rpc.call_envelope(ME, f"services.built-in.message_cache.{action}", "s"),
            pack({"args": [], "promise": rpc.promise(YOU, "s")}),
        )
        for action in ("append", "process")
    )

    rig.delivery.send(ME, append)
    rig.delivery.tell(ME, Note(YOU, "services.open.work", "t"))
    rig.delivery.send(ME, process)
    rig.delivery.tell(ME, Note(YOU, "t.resolve", ""))  # an answer, which it waits for
    rig.delivery.send(ME, process)

    assert told(yours) == [
        ("s.reject", f"Client {ME} has started anew, and offers nothing yet; try again.")
    ]
    assert sent(mine) == [append, process]


async def moved(rig: Rig) -> Connection:
    """A page that has the place of another one, and does not offer what it is there for."""
    mine = await rig.live("me")
    mine.wait_for("tool")
    return mine


def offers(page: Connection, *services: str) -> None:
    named = dict.fromkeys(services, "{}")
    page.announce({"old": "{}"} | named, named)


async def test_a_call_waits_until_the_next_page_offers_its_service(rig: Rig) -> None:
    mine = await moved(rig)

    rig.delivery.send(ME, call(session="s1"))
    rig.delivery.send(ME, call(session="s2"))
    offers(mine, "another")
    assert sent(mine) == []

    offers(mine, "another", "tool")
    rig.delivery.send(ME, call(session="s3"))
    assert sent(mine) == [call(session=f"s{number}") for number in (1, 2, 3)]


@pytest.mark.parametrize(("method", "waits"), [("get_service", True), ("ping", False)])
async def test_what_is_asked_of_any_client_waits_if_it_is_about_services(
    rig: Rig, method: str, waits: bool
) -> None:
    mine = await moved(rig)
    envelope = rpc.call_envelope(ME, f"services.built-in.{method}", "s")
    body = {"args": [], "promise": rpc.promise(YOU, "s")}

    rig.delivery.send(ME, Seal(YOU, {}).call(envelope, pack(body)))

    assert (len(mine.early.frames), len(sent(mine))) == (int(waits), int(not waits))


async def test_what_has_waited_for_the_next_page_stays_in_order(rig: Rig) -> None:
    mine = rig.arrive("me")
    mine.wait_for("tool")

    rig.delivery.send(ME, call(session="s2"))
    rig.delivery.go_live(mine, [call(session="s1"), note()])
    rig.delivery.send(ME, call(session="s3"))

    assert sent(mine) == [note()]
    offers(mine, "tool")
    assert sent(mine)[1:] == [call(session=f"s{number}") for number in (1, 2, 3)]


async def test_too_many_calls_that_wait_are_turned_away(rig: Rig) -> None:
    mine, yours = await moved(rig), await rig.live("you")

    for number in range(20):
        rig.wait(f"s{number}", ME)
        rig.delivery.send(ME, call(session=f"s{number}"))

    assert 500 < mine.early.size < 1_000
    assert len(told(yours)) == 20 - len(mine.early.frames)
    assert all("is busy" in text for _, text in told(yours))


async def test_calls_that_wait_for_a_page_that_goes_are_for_the_next_one(rig: Rig) -> None:
    mine = await moved(rig)
    rig.delivery.send(ME, call())

    assert mine.take_waiting() == ([call()], [])
    assert (mine.early.frames, mine.early.size) == ([], 0)


async def test_a_call_in_chunks_waits_with_its_last_one(rig: Rig) -> None:
    mine = await moved(rig)
    envelope = rpc.call_envelope(ME, "services.built-in.message_cache.process", "s")
    process = Seal(YOU, {}).call(envelope, pack({"args": [], "promise": rpc.promise(YOU, "s")}))

    rig.delivery.tell(ME, Note(YOU, "services.tool.work", "t"))
    rig.delivery.send(ME, process)

    assert sent(mine) == []
    offers(mine, "tool")
    assert sent(mine) == [process]


# Mailboxes.


async def test_a_frame_is_marked_by_whether_its_sender_can_be_told(rig: Rig) -> None:
    frames = [call(), note(), answer(ME), write_calls([]), b"\x80"]

    assert [rig.delivery.marked(each).mark for each in frames] == [CALL, *[OTHER] * 4]


async def test_a_call_that_waited_in_vain_is_given_up(rig: Rig) -> None:
    mine = await rig.live("you")

    rig.delivery.reject_mailed(ME, call("ann/me", "a"))
    rig.delivery.reject_mailed(ME, call("ann/me", "b"), RedisUnavailable("Redis is away."))

    (first, said), second = told(mine)
    assert (first, second) == ("a.reject", ("b.reject", "Redis is away."))
    assert "is away: its connection broke" in said


async def test_what_is_delivered_is_noted_once_a_drain_watches(rig: Rig) -> None:
    await rig.live("me")
    rig.delivery.send(ME, call(session="before"))
    rig.owed.watch()
    assert not rig.owed.is_awaited(ME)

    rig.delivery.send(ME, call(session="local"))
    rig.delivery.receive(ME, call(session="bus"))
    rig.ledger.answered(ME, YOU, "local.resolve")
    assert rig.owed.is_awaited(ME)
    rig.ledger.answered(ME, YOU, "bus.reject")

    assert not rig.owed.is_awaited(ME)
