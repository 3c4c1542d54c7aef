"""What clients send: checked, sealed and sent on; or refused, and who waits is told."""

import random
from collections.abc import Set
from typing import Any

import pytest

from hypha_cluster.errors import PermissionDenied
from hypha_cluster.identity.access import Identity
from hypha_cluster.protocol import rpc
from hypha_cluster.protocol.address import MANAGER
from hypha_cluster.protocol.chunks import Step
from hypha_cluster.protocol.envelope import Frame, pack
from hypha_cluster.protocol.guard import CACHE
from hypha_cluster.protocol.limits import ADDRESS, PENDING_CALLS
from hypha_cluster.protocol.references import Reference
from hypha_cluster.relay.connection import Connection
from hypha_cluster.relay.intake import Intake, Onward
from hypha_cluster.relay.pending import PendingCall
from hypha_cluster.relay.publisher import Limits
from hypha_cluster.relay.rights_queue import RightsQueue
from hypha_cluster.supervision import Supervisor
from tests.fakes import FakeSocket, MemoryBus
from tests.unit.relay.test_delivery import ME, READER, YOU, Rig as DeliveryRig, sent, told

FAR = "ann/far"


class FakeHub:
    """Notes what comes to the hub."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str, str]] = []
        self.chunks: list[str] = []
        self.removed: list[str] = []

    def receive(self, frame: Frame, source: str, target: str) -> None:
        self.received.append((frame.envelope["method"], source, target))

    def relay_chunk(
        self,
        connection: Connection,
        frame: Frame,
        target: str,
        step: Step,
        call: PendingCall | None,
    ) -> None:
        self.chunks.append(target)

    def clear_away(self, connection: Connection) -> None:
        self.removed += [leftover.target for leftover in connection.chunks.take_leftovers()]


class NoRights:
    """Nobody may pass on anything."""

    def is_open(self, address: str, service: str) -> bool:
        return service == "open"

    async def require(self, identity: Identity, references: Set[Reference]) -> None:
        raise PermissionDenied("You may not.")


class Rig(DeliveryRig):
    """One node, with the way in."""

    def __init__(self) -> None:
        super().__init__(MemoryBus())
        self.hub = FakeHub()
        onward = Onward(self.hub, self.hub, self.delivery, self.ledger)
        rights_queue = RightsQueue(NoRights(), Supervisor())
        self.intake = Intake("here", onward, self.counts, READER, rights_queue)

    async def make(self, client: str, what: str) -> None:
        """Have a client be where a call comes to nothing."""
        self.bus.is_away = what == "unavailable"
        if what == "full":
            self.publisher.limits = Limits(0, 0, 1.0)
        if what in ("full", "away"):
            self.bus.known.add(f"ann/{client}")
        if what == "away":
            self.bus.away.add(f"ann/{client}")
        if what == "busy":
            socket = (await self.live(client)).socket
            assert isinstance(socket, FakeSocket)
            socket.stuck, socket.sent = True, [b"x" * 1_000]


def frame(to: object = "you", method: str = "services.tool.run", **body: Any) -> bytes:
    """A call as a client sends it."""
    return pack({"type": "method", "from": "me", "to": to, "method": method}) + pack(body)


def call(to: str = "you", session: str = "s", method: str = "services.tool.run") -> bytes:
    envelope = {"type": "method", "from": "me", "to": to, "method": method, "session": session}
    return pack(envelope) + pack({"args": [1], "promise": rpc.promise("me", session)})


def is_held(connection: Connection) -> bool:
    """Whether one of its frames waits for the registry."""
    return connection.waiting_to_route is not None


@pytest.fixture
async def rig() -> Rig:
    return Rig()


async def test_a_frame_goes_on_with_who_sent_it(rig: Rig) -> None:
    mine, yours = await rig.live("me"), await rig.live("you")

    rig.intake.route(mine, frame(args=[1]))

    (received,) = [READER.read(each) for each in sent(yours)]
    assert received.envelope["from"] == ME
    assert received.envelope["to"] == YOU
    assert received.envelope["user"]["id"] == "ann"
    assert received.body == {"args": [1]}


async def test_a_call_is_waited_for_until_it_is_answered(rig: Rig) -> None:
    mine, yours = await rig.live("me"), await rig.live("you")

    rig.intake.route(mine, call())
    assert rig.pending.is_waiting(YOU, ME, "s")
    rig.intake.route(yours, frame("me", "s.resolve", args=[2]))

    assert len(rig.pending) == 0
    assert told(mine)[0][0] == "s.resolve"


async def test_an_answer_of_somebody_else_settles_nothing(rig: Rig) -> None:
    mine, other = await rig.live("me"), await rig.live("other")
    await rig.live("you")
    rig.intake.route(mine, call())

    rig.intake.route(other, frame("me", "s.resolve", args=[2]))

    assert rig.pending.is_waiting(YOU, ME, "s")


async def test_a_call_to_nobody_is_rejected(rig: Rig) -> None:
    mine = await rig.live("me")

    rig.intake.route(mine, call("far"))
    await rig.bus.settled()

    ((method, text),) = told(mine)
    assert method == "s.reject"
    assert "Client not found: far" in text


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("nobody", "Client not found: far"),
        ("full", "too much waits"),
        ("away", "is away"),
        ("unavailable", "unavailable"),
        ("busy", "is busy"),
    ],
)
async def test_a_caller_with_too_many_calls_is_still_told_that_one_comes_to_nothing(
    rig: Rig, what: str, says: str
) -> None:
    mine = await rig.live("me")
    for number in range(PENDING_CALLS):
        rig.pending.add("ann/silent", PendingCall(ME, str(number), f"{number}.reject", 0.0))
    await rig.make("far", what)

    rig.intake.route(mine, call("far", "last"))
    await rig.bus.settled()

    ((method, text),) = told(mine)
    assert method == "last.reject"
    assert says in text
    assert len(rig.pending) == PENDING_CALLS


async def test_a_caller_with_too_many_calls_gets_their_answers(rig: Rig) -> None:
    mine, yours = await rig.live("me"), await rig.live("you")
    for number in range(PENDING_CALLS):
        rig.pending.add("ann/silent", PendingCall(ME, str(number), f"{number}.reject", 0.0))

    rig.intake.route(mine, call("you", "last"))
    rig.intake.route(yours, frame("me", "last.resolve", args=[2]))

    assert [method for method, _ in told(mine)] == ["last.resolve"]


async def test_when_a_client_was_heard_is_known(rig: Rig) -> None:
    mine = await rig.live("me")
    mine.heard_at = 0.0

    rig.intake.route(mine, b"\xc1")

    assert mine.heard_at > 0.0


# For the hub.


@pytest.mark.parametrize("to", ["workspace-manager", "ann/workspace-manager", "ann/~here"])
async def test_what_is_for_the_hub_goes_to_the_hub(rig: Rig, to: str) -> None:
    mine = await rig.live("me")

    rig.intake.route(mine, frame(to, "services.default.echo", args=[1]))

    target = to if "/" in to else f"ann/{to}"
    assert rig.hub.received == [("services.default.echo", ME, target)]
    assert rig.counts.frames_hub == 1


async def test_what_is_for_the_hub_on_another_node_goes_there(rig: Rig) -> None:
    mine = await rig.live("me")

    rig.intake.route(mine, frame("ann/~there", "s.resolve", args=[1]))
    await rig.bus.settled()

    assert rig.hub.received == []
    assert rig.counts.frames_bus == 1


async def test_a_chunk_is_passed_on_by_the_hub(rig: Rig) -> None:
    mine = await rig.live("me")

    create = "services.built-in.message_cache.create"
    rig.intake.route(mine, call("you", method=create).replace(b"\x91\x01", b"\x91\xa1k"))

    assert rig.hub.chunks == [YOU]


async def test_an_answer_to_a_call_of_the_hub_is_none_that_a_client_owes(rig: Rig) -> None:
    mine = await rig.live("me")
    rig.owed.watch()
    envelope = {"type": "method", "to": ME, "method": "services.tool.run", "session": "s"}
    rig.delivery.send(ME, mine.seal.call(envelope, b""))
    assert rig.owed.is_awaited(ME)

    rig.intake.route(mine, frame("ann/~here", "s.resolve", args=[1]))

    assert not rig.owed.is_awaited(ME)


async def test_what_comes_over_the_bus_for_the_hub_is_checked_again(rig: Rig) -> None:
    sealed = READER.read(frame("ann/~here", "s.resolve", args=[1])).envelope
    fine = pack({**sealed, "from": FAR}) + pack({"args": [1]})

    rig.intake.receive_own(fine)

    assert rig.hub.received == [("s.resolve", FAR, "ann/~here")]
    for odd in (b"\xc1", pack(sealed | {"from": 1}), pack({**sealed, "from": FAR, "method": 1})):
        rig.intake.receive_own(odd)
    assert len(rig.hub.received) == 1
    assert rig.counts.dropped_messages == {"frame": 3}


# What may not pass.


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        pack([1]),
        pack({"to": "you"})[:-1],
        b"\x81\x01\x02",
        pack({"to": "a"}) + b"x",
    ],
)
async def test_what_cannot_be_read_is_ignored(rig: Rig, data: bytes) -> None:
    mine = await rig.live("me")

    rig.intake.route(mine, data)

    assert rig.counts.frames_ignored == 1
    assert sent(mine) == []


@pytest.mark.parametrize("to", [None, "", 7, ["you"]])
async def test_what_is_for_nobody_goes_nowhere(rig: Rig, to: object) -> None:
    mine = await rig.live("me")

    rig.intake.route(mine, frame(to, args=[]))

    assert rig.counts.frames_ignored == rig.counts.frames_refused == 0


@pytest.mark.parametrize("to", [None, "", 7, ["you"], f"ann/{'y' * ADDRESS}"])
async def test_a_call_of_nobody_is_rejected_by_the_hub(rig: Rig, to: object) -> None:
    mine = await rig.live("me")

    rig.intake.route(mine, frame(to, args=[], promise=rpc.promise("me", "s")))

    ((method, text),) = told(mine)
    assert method == "s.reject"
    assert f"'to' of a call is an address of at most {ADDRESS} characters" in text
    assert READER.read(sent(mine)[0]).envelope["from"] == f"ann/{MANAGER}"
    assert rig.counts.frames_refused == 1


async def test_a_call_that_may_not_pass_is_rejected_with_the_reason(rig: Rig) -> None:
    mine, yours = await rig.live("me"), await rig.live("you")

    rig.intake.route(mine, call(method="services.tool.__class__"))

    ((method, text),) = told(mine)
    assert method == "s.reject"
    assert "leads out of its service" in text
    assert sent(yours) == []
    assert rig.counts.frames_refused == 1


async def test_an_answer_that_may_not_pass_rejects_its_call(rig: Rig) -> None:
    mine, yours = await rig.live("me"), await rig.live("you")
    rig.intake.route(mine, call())

    rig.intake.route(yours, frame("me", "s.resolve", args=[{"__proto__": 1}]))

    ((method, text),) = told(mine)
    assert method == "s.reject"
    assert "was refused" in text
    assert len(rig.pending) == 0


async def test_a_function_of_others_waits_for_the_verdict(rig: Rig) -> None:
    mine, yours = await rig.live("me"), await rig.live("you")
    theirs = {"_rtype": "method", "_rtarget": "bob/client", "_rmethod": "services.theirs.run"}
    promise = rpc.promise("me", "s")
    envelope = {"type": "method", "to": "you", "method": "services.tool.run", "session": "s"}

    rig.intake.route(mine, pack(envelope) + pack({"args": [theirs], "promise": promise}))
    rig.intake.route(mine, frame(args=["behind it"]))
    assert sent(yours) == []
    while is_held(mine):
        await rig.bus.settled()

    assert told(mine) == [("s.reject", "You may not.")]
    assert [READER.read(each).body["args"] for each in sent(yours)] == [["behind it"]]


async def test_nothing_that_a_client_sends_is_more_than_refused(rig: Rig) -> None:
    mine = await rig.live("me")
    await rig.live("you")
    chance = random.Random(7)
    whole = [call(), frame(args=[{"a": [1, b"x"]}]), frame("ann/~here", "s.resolve", args=[])]
    for _ in range(3_000):
        data = bytearray(chance.choice(whole))
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        rig.intake.route(mine, bytes(data))
        rig.intake.receive_own(bytes(data))
        rig.delivery.receive(ME, bytes(data))
        rig.delivery.receive(None, bytes(data))
    await rig.bus.settled()


async def test_what_is_left_of_a_message_that_was_refused_is_removed(rig: Rig) -> None:
    sender = await rig.live("me")
    rig.intake.route(sender, frame(YOU, f"{CACHE}create", args=["key", False]))

    rig.intake.route(sender, frame(YOU, f"{CACHE}append", args=["key", b"\xc1", False]))

    assert rig.hub.removed == [YOU]
