"""Some nodes in one process, with all that makes a client's life, and a registry in memory."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from hypha_cluster.clients.admission import Admission, Claims, Move
from hypha_cluster.clients.events import Asked, Events
from hypha_cluster.clients.handover import Handover
from hypha_cluster.clients.life import ClientLife, Records, Terms
from hypha_cluster.clients.mail import Mail
from hypha_cluster.clients.moves import PlannedMoves
from hypha_cluster.clients.places import Places, Relay
from hypha_cluster.clients.presence import Presence
from hypha_cluster.errors import ClientLeft, Conflict, HubError, RedisUnavailable, StillOnline
from hypha_cluster.hub.answering import HubClient
from hypha_cluster.hub.calling import HubCalls
from hypha_cluster.hub.chunk_relay import ChunkRelay
from hypha_cluster.identity.access import Identity, Origin, own_workspace
from hypha_cluster.identity.tokens import APP
from hypha_cluster.links.recovery import Recovery
from hypha_cluster.metrics import Counts
from hypha_cluster.protocol.envelope import FrameReader, Seal
from hypha_cluster.protocol.limits import TAILS
from hypha_cluster.protocol.room import Room
from hypha_cluster.registry.clients import (
    Attachment,
    Claim,
    ClaimMode,
    ClientRegistry,
    Previous,
)
from hypha_cluster.registry.departed import Departure
from hypha_cluster.registry.encoding import Infos
from hypha_cluster.registry.mailboxes import Mailboxes, Marked
from hypha_cluster.registry.services import RecentlyFound, Services
from hypha_cluster.relay.bus import Outcome, Receivers
from hypha_cluster.relay.connection import Connection, Way
from hypha_cluster.relay.connections import Connections
from hypha_cluster.relay.delivery import Delivery
from hypha_cluster.relay.ledger import Ledger
from hypha_cluster.relay.pending import OwedAnswers, PendingCalls
from hypha_cluster.relay.posts import Posts
from hypha_cluster.relay.tail import Tail
from hypha_cluster.relay.tracing import NullTracer
from hypha_cluster.supervision import Supervisor
from tests.fakes import FakeClock, FakeSocket, MemoryBus, MemoryListener, MemoryPublisher

ANN = Identity("ann")
PAGE = Identity("ann", origin=Origin(f"{APP}1", 0.0))  # of an app
ME = "ann/me"


class Gate:
    """Stops whoever comes by, until it is opened."""

    def __init__(self) -> None:
        self.reached, self.opened = asyncio.Event(), asyncio.Event()

    async def passed(self) -> None:
        self.reached.set()
        await self.opened.wait()


class FakeRegistry:
    """Who is attached where, in all of a cluster; `gates` stop a command before it is done."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self.records: dict[str, Attachment] = {}
        self.states: dict[str, str] = {}
        self.services: defaultdict[str, Infos] = defaultdict(dict)
        self.gates: dict[str, Gate] = {}
        self.is_away = False

    async def _reached(self, command: str) -> None:
        if self.is_away:
            raise RedisUnavailable("Redis is away.")
        gate = self.gates.pop(command, None)
        if gate is not None:
            await gate.passed()

    async def claim(self, attachment: Attachment, mode: ClaimMode) -> Claim:
        await self._reached(f"claim {mode}")
        address, old = attachment.address, self.records.get(attachment.address)
        if old is not None:
            if mode is ClaimMode.ASSERT and old.holder != attachment.holder:
                raise Conflict("It is somebody else's.")
            if mode is ClaimMode.NEW and self.states[address] == "online":
                raise StillOnline("It is connected already.")
        self.records[address], self.states[address] = attachment, "online"
        self._bus.known.add(address)
        claim = Claim(
            old is not None,
            Previous(old.holder, old.node) if old is not None else None,
            dict(self.services[address]),
        )
        await self._reached("claimed")
        return claim

    async def noted(self, claim: Claim) -> None:
        await self._reached("noted")

    async def leave(self, address: str, holder: str) -> Departure | None:
        await self._reached("leave")
        old = self.records.get(address)
        if old is None or old.holder != holder:
            return None
        del self.records[address], self.states[address]
        self.services.pop(address, None)
        self._bus.known.discard(address)
        self._bus.mail.pop(address, None)
        return Departure(address, old.identity.id, old.node, holder)

    async def suspend(self, address: str, *, holder: str, grace: float) -> bool:
        await self._reached("suspend")
        old = self.records.get(address)
        if old is None or old.holder != holder:
            return False
        self.states[address] = "suspended"
        return True

    async def holders(self, addresses: Sequence[str]) -> list[str | None]:
        return [self.records[each].holder if each in self.records else None for each in addresses]

    async def register(self, attachment: Attachment, put: Infos, remove: Any = ()) -> None:
        await self._reached("register")
        if self.records.get(attachment.address, attachment).holder != attachment.holder:
            raise ClientLeft("It is attached elsewhere.")
        self.services[attachment.address] |= put


class FakeMailboxes:
    """The mailboxes of the bus in memory, which have no marks."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self.given_up: list[tuple[str, list[bytes]]] = []
        self.recovered: list[tuple[str, list[Marked]]] = []
        self.is_away = False

    async def take(self, address: str) -> list[bytes]:
        return self._bus.mail.pop(address, [])

    async def put_back(self, address: str, frames: Sequence[Marked]) -> list[Marked]:
        if self.is_away:
            raise RedisUnavailable("Redis is away.")
        before = self._bus.mail.pop(address, [])
        rejected = [
            each
            for each in frames
            if self._bus.deliver_or_mail(address, each.frame, limits=self._bus.limits)
            is Outcome.NOBODY
        ]
        if before:
            self._bus.mail.setdefault(address, []).extend(before)
        return rejected

    async def recover(self) -> list[tuple[str, list[Marked]]]:
        recovered, self.recovered = self.recovered, []
        return recovered

    async def give_up_calls(self) -> list[tuple[str, list[bytes]]]:
        given_up, self.given_up = self.given_up, []
        return given_up


class FakeChunkRelay:
    """Passes nothing on."""

    def forget(self, connection: Connection) -> None:
        """There is nothing."""


class FakeHub:
    """The hub as a peer, and its calls: of which there are none."""

    def __init__(self) -> None:
        self.left: list[str] = []
        self.forgotten: list[str] = []
        self.serving: set[str] = set()
        self.alive: Callable[[str], Awaitable[bool]] = _yes

    def forget(self, address: str) -> None:
        self.forgotten.append(address)

    def target_left(self, address: str, error: HubError) -> None:
        self.left.append(address)

    def is_serving(self, address: str) -> bool:
        return address in self.serving

    async def is_alive(self, address: str) -> bool:
        return await self.alive(address)

    def __bool__(self) -> bool:
        return False


async def _yes(address: str) -> bool:
    return True


class ClientSocket(FakeSocket):
    """A network behind which a client closes its half at once, when it is told to."""

    def __init__(self, node: "Node") -> None:
        super().__init__()
        self._node = node
        self.connection: Connection | None = None
        self.is_prompt = True

    def close(self, code: int, reason: str = "") -> None:
        if not self.closed:
            super().close(code, reason)
            if self.is_prompt:
                self.end(code)

    def abort(self) -> None:
        super().abort()
        self.end(1006)

    def end(self, code: int) -> None:
        """The connection is over."""
        if self.connection is not None:
            self._node.life.detach_soon(self.connection, code)
            self.connection = None


class Node:
    """One node, wired as app.py does it."""

    def __init__(self, cluster: "Cluster", name: str) -> None:
        self.name = name
        self.counts, self.clock = Counts(), cluster.clock
        self.supervisor = Supervisor(clock=self.clock, sleep=self.clock.sleep)
        self.hub = FakeHub()
        bus, registry = cluster.bus, cluster.registry
        self.publisher = MemoryPublisher(bus)
        self.connections = Connections(10_000, 10.0, self.clock)
        reader = FrameReader(100_000)
        self.pending, self.owed = PendingCalls(self.counts.calls), OwedAnswers(reader)
        self.ledger = Ledger(self.pending, self.owed, NullTracer())
        self.delivery = Delivery(
            self.connections, self.publisher, self.ledger, self.owed, self.counts, reader
        )
        self.handover = Handover(name, self.publisher, self.connections)
        self.mailboxes = FakeMailboxes(bus)
        self.mail = Mail(cast(Mailboxes, self.mailboxes), self.connections, self.delivery)
        self.presence = Presence(
            cast(ClientRegistry, registry),
            cast(Services, registry),
            self.publisher,
            self.counts,
            60.0,
        )
        self.recovery = Recovery(self.clock)
        events = Events(
            Asked(self.handover, Posts(name, self.publisher)),
            self.delivery.rejects,
            cast(HubClient, self.hub),
            RecentlyFound(),
            self.recovery,
            self.counts,
        )
        self.own: list[bytes] = []
        receivers = Receivers(
            self.delivery.receive, self.own.append, events.dispatch, self.mail.collect_missed
        )
        self.listener = MemoryListener(bus, name, receivers)
        relay = Relay(
            self.listener,
            self.connections,
            self.delivery,
            self.ledger,
            self.counts,
            cast(ChunkRelay, FakeChunkRelay()),
        )
        self.places = Places(relay, cast(HubClient, self.hub), self.presence, self.mail)
        moves = PlannedMoves(
            self.places,
            self.connections,
            self.ledger,
            self.presence,
            self.handover,
            self.clock,
        )
        clients = cast(ClientRegistry, registry)
        claims = Claims(clients, self.presence, cast(HubCalls, self.hub), name)
        self.life = ClientLife(
            Records(clients, claims, self.presence, self.mail, self.handover),
            relay,
            self.places,
            moves,
            Terms(name, 10_000, self.clock),
            self.supervisor,
        )

    async def attach(
        self,
        *,
        program: str = "",
        refresh_after: float = 0.0,
        seen: int | None = None,
        accept: Callable[[], Awaitable[None]] | None = None,
    ) -> Connection:
        """seen: the number of the last event that its client has got, of those of a stream."""
        admission = Admission(ANN, own_workspace(ANN), "me", program)
        return await self._attach(admission, refresh_after, seen, accept or _accept)

    async def attach_page(self, move: Move | None = None) -> Connection:
        """The page of an app comes; move: in the place of another one."""
        admission = Admission(PAGE, own_workspace(ANN), "me", takes=True, move=move)
        return await self._attach(admission, 0.0, None, _accept)

    async def _attach(
        self,
        admission: Admission,
        refresh_after: float,
        seen: int | None,
        accept: Callable[[], Awaitable[None]],
    ) -> Connection:
        socket = ClientSocket(self)
        socket.tail = Tail(seen, Room(TAILS))
        connection = await self.life.attach(admission, socket, accept, Way("", refresh_after))
        if connection.is_ending:  # it was told to go before anybody could listen
            self.life.detach_soon(connection, 1006)
        else:
            socket.connection = connection
        return connection


async def _accept() -> None:
    """There is no handshake."""


class Cluster:
    """Nodes that share a bus and a registry."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.bus = MemoryBus()
        self.registry = FakeRegistry(self.bus)
        self._runs: list[asyncio.Task[None]] = []

    def node(self, name: str) -> Node:
        node = Node(self, name)
        self._runs.append(asyncio.create_task(node.life.run()))
        return node

    def gate(self, command: str) -> Gate:
        gate = self.registry.gates[command] = Gate()
        return gate

    async def stop(self) -> None:
        for run in self._runs:
            run.cancel()
        await asyncio.wait(self._runs)


def note(number: int = 0, *, to: str = ME, source: str = "ann/you") -> bytes:
    """A sealed frame to a client; nobody waits for an answer to it."""
    envelope = {"type": "method", "to": to, "method": f"services.tool.note{number}"}
    return Seal(source, {}).call(envelope, b"\x81\xa4args\x90")


def sent(connection: Connection) -> list[bytes]:
    socket = connection.socket
    assert isinstance(socket, FakeSocket)
    return socket.sent


def closed(connection: Connection) -> list[Any]:
    socket = connection.socket
    assert isinstance(socket, FakeSocket)
    return socket.closed
