"""A client attached to this node: its stage, what it offers, and what waits for it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Any, Final, NamedTuple

from hypha_cluster.identity.access import Guests
from hypha_cluster.protocol.chunks import ChunkGuard
from hypha_cluster.protocol.dialects.dialect import Dialect
from hypha_cluster.registry.clients import Attachment
from hypha_cluster.registry.encoding import Infos
from hypha_cluster.registry.public import as_listed
from hypha_cluster.relay.allowance import UNBOUNDED, Allowance
from hypha_cluster.relay.events import Unseen, write_unseen
from hypha_cluster.relay.flag import Flag
from hypha_cluster.relay.sealing import seal_of
from hypha_cluster.relay.sockets import Socket

REFRESHED: Final = 0.8  # of `refresh_after`, when clients ask for their connection info again
REFRESHING: Final = 1.0  # seconds; a client asks at most so much before or after that

Clock = Callable[[], float]  # seconds, of which only differences count


class Stage(Enum):
    """Where in its life a connection is (docs/pictures/client-life.svg)."""

    ARRIVING = auto()  # its client is being attached; what comes for it waits
    LIVE = auto()
    SET_ASIDE = auto()  # frames for it go to its mailbox; what it sends is still routed
    CLOSING = auto()  # it was told to go
    GONE = auto()  # all that its client sent has been routed


_ARRIVING: Final = Stage.ARRIVING  # asked for each frame
_TAKES_FROM_HERE: Final = (Stage.ARRIVING, Stage.LIVE)
_TAKES_FROM_BUS: Final = (Stage.LIVE, Stage.SET_ASIDE)
_NEXT: Final = {
    Stage.ARRIVING: {Stage.LIVE, Stage.CLOSING, Stage.GONE},
    Stage.LIVE: {Stage.SET_ASIDE, Stage.CLOSING, Stage.GONE},
    Stage.SET_ASIDE: {Stage.CLOSING, Stage.GONE},
    Stage.CLOSING: {Stage.GONE},
    Stage.GONE: set(),
}


class Offer(Enum):
    """How far the hub knows what a client offers."""

    KNOWN = auto()
    # It has taken an address over and has announced nothing yet: published clients never answer a
    # call of a service that they do not offer.
    AWAITED = auto()
    MOVED = auto()  # the same, as was planned: calls wait until it offers what it is there for
    FORGOTTEN = auto()  # it came back, but the hub no longer knew what it offers, and asks


class Early:
    """Calls that wait until a client offers a service. size: their bytes."""

    __slots__ = ("frames", "service", "size")

    def __init__(self, service: str) -> None:
        self.service = service
        self.frames, self.size = list[bytes](), 0

    def put(self, frame: bytes) -> None:
        self.frames.append(frame)
        self.size += len(frame)

    def take(self) -> list[bytes]:
        frames, self.frames, self.size = self.frames, [], 0
        return frames


class Speech(NamedTuple):
    """How a client speaks. max_message_size: bytes of a message in chunks."""

    dialect: Dialect
    max_message_size: int


class Way(NamedTuple):
    """The URL by which a client came, and how often it should refresh its connection info.

    refresh_after: seconds after which it should; 0: only before its reconnection token expires.
    """

    base_url: str
    refresh_after: float = 0.0


class Share(NamedTuple):
    """The users and addresses as which a client counts for limits, and what it may still mail."""

    subjects: Sequence[str] = ()
    mail: Allowance = UNBOUNDED


UNCOUNTED: Final = Share()


# Of nearly all connections: nothing is ever put there, and an empty set takes 216 bytes.
_NOT_MOVED: Final = Early("")
_NOBODY: Final = frozenset[str]()


class Connection:
    """A client attached to this node."""

    __slots__ = (
        "_chunks",
        "_max_message_size",
        "_registering",
        "address",
        "announced",
        "at_home",
        "attachment",
        "base_url",
        "clock",
        "dialect",
        "early",
        "attached_at",
        "heard_at",
        "gone",
        "home",
        "is_barred",
        "mail",
        "offer",
        "offered",
        "open_services",
        "progress",
        "refresh_after",
        "refreshed_at",
        "routed",
        "seal",
        "sent",
        "services",
        "socket",
        "stage",
        "subjects",
        "takes_from_bus",
        "takes_from_here",
        "too_early",
        "waiting_from_bus",
        "waiting_local",
        "waiting_to_route",
    )

    def __init__(
        self,
        attachment: Attachment,
        socket: Socket,
        *,
        speech: Speech,
        way: Way,
        share: Share = UNCOUNTED,
        clock: Clock = time.monotonic,
    ) -> None:
        self.attachment = attachment
        self.address = attachment.address
        # The beginning of the addresses of its workspace, and the slice of an address that it is.
        self.home = f"{attachment.workspace.name}/"
        self.at_home = slice(len(self.home))
        self.dialect = speech.dialect
        self.base_url, self.refresh_after = way
        self.socket = socket
        self.stage = Stage.ARRIVING
        # Whether frames from clients of this node go straight to it: while it is ARRIVING or LIVE.
        # In later stages they go by the bus, and so to its mailbox, behind what is there.
        self.takes_from_here = True
        # Whether frames from the bus go straight to it: while it is LIVE, and the last ones when it
        # is SET_ASIDE. While it is ARRIVING they wait behind its mail; while it is CLOSING they
        # wait, and go back to its mailbox.
        self.takes_from_bus = False
        self.gone = Flag()
        self.services: Infos = {}
        # Service id → its info if it is public, '' if not; of those that were asked for.
        self.open_services: Infos = {}
        self.subjects, self.mail = share
        self._registering: asyncio.Lock | None = None
        # Service id → the service as the client last announced it, and its info as JSON.
        self.announced: dict[str, tuple[dict[str, Any], str]] = {}
        self.seal = seal_of(attachment.address, attachment.identity, speech.dialect)
        # Whether it may speak to nobody but the hub, so that it can log in.
        self.is_barred = attachment.identity.guest is Guests.OFF
        self._chunks: ChunkGuard | None = None
        self._max_message_size = speech.max_message_size
        # Frames that wait until its mail is delivered; those from the bus are older than the local.
        self.waiting_from_bus, self.waiting_local = list[bytes](), list[bytes]()
        # Frames that it has sent behind one that waits for the registry; None when none waits.
        self.waiting_to_route: list[bytes] | None = None
        self.routed = Flag(is_set=True)  # while none waits
        self.offer, self.early = Offer.KNOWN, _NOT_MOVED
        self.too_early = _NOBODY  # whose calls in chunks are on their way before that
        self.clock = clock
        self.attached_at = self.refreshed_at = self.heard_at = clock()
        self.sent = self.offered = 0  # bytes; services, as they are counted
        # Of a slow client: the bytes that it has taken so far, and since when it has taken no more.
        self.progress: tuple[int, float] | None = None

    # Made when they are first needed, since most connections are idle and need neither.

    @property
    def registering(self) -> asyncio.Lock:
        """The lock of `services`, which change together with Redis."""
        self._registering = self._registering or asyncio.Lock()
        return self._registering

    @property
    def has_sent_chunks(self) -> bool:
        """Whether there is anything in `chunks`."""
        return self._chunks is not None

    @property
    def chunks(self) -> ChunkGuard:
        """Follows what it sends in chunks."""
        if self._chunks is None:
            self._chunks = self.dialect.chunks(self.address, self._max_message_size)
        return self._chunks

    def enter(self, stage: Stage) -> None:
        """Go on to another stage; the only place where that changes."""
        if stage not in _NEXT[self.stage]:
            raise ValueError(f"{self.address} cannot be {stage.name}: it is {self.stage.name}.")
        self.stage = stage
        self.takes_from_here = stage in _TAKES_FROM_HERE
        self.takes_from_bus = stage in _TAKES_FROM_BUS
        if stage is Stage.GONE:
            self.gone.set()

    @property
    def is_ending(self) -> bool:
        """Whether it was told to go, or is gone."""
        return self.stage in (Stage.CLOSING, Stage.GONE)

    def close(self, code: int, reason: str) -> None:
        """Tell the client to go, unless it has been told."""
        if Stage.CLOSING in _NEXT[self.stage]:
            self.enter(Stage.CLOSING)
            self.socket.close(code, reason)

    def claimed(self, services: Infos, offer: Offer) -> None:
        """The client has its address now, and offers what was offered there before."""
        self.services, self.offer = services, offer

    def wait_for(self, service: str) -> None:
        """Calls of the client wait from now on, until it offers a service."""
        self.offer, self.early = Offer.MOVED, Early(service)

    def announce(self, services: Infos, named: Infos | None = None) -> None:
        """The client offers these services from now on. named: those that it has just said."""
        self.services, named = services, services if named is None else named
        if self.offer is not Offer.KNOWN and named and self.early.service in ("", *named):
            self.offer = Offer.KNOWN
            for frame in self.early.take():
                self.send(frame)

    def refreshed(self) -> None:
        """The client has just asked for its connection info."""
        self.refreshed_at = self.clock()

    def is_open(self, service: str) -> bool:
        """Whether it offers a service to everybody."""
        info = self.services.get(service)
        if info is None:
            return False
        if len(self.open_services) > len(self.services):  # some of them are offered no more
            self.open_services.clear()
        if self.open_services.get(service) is not info:
            self.open_services[service] = as_listed(info) and info
        return bool(self.open_services[service])

    def age(self) -> float:
        """Seconds since it was attached."""
        return self.clock() - self.attached_at

    def quiet_for(self) -> float:
        """Seconds since the client last sent anything."""
        return self.clock() - self.heard_at

    def is_to_refresh(self) -> bool:
        """Whether a client that refreshes its connection info often is about to do so."""
        if not self.refresh_after:
            return False
        due = self.refreshed_at + REFRESHED * self.refresh_after
        return abs(self.clock() - due) < REFRESHING

    def send(self, frame: bytes) -> None:
        if self.stage is _ARRIVING:
            self.waiting_local.append(frame)
        else:
            self.sent += len(frame)
            self.socket.send(frame)

    def hold_back(self) -> None:
        """Make later frames of the client wait, because one waits for the registry."""
        self.waiting_to_route = []
        self.routed.clear()
        self.socket.pause()

    def let_go(self) -> list[bytes]:
        """Return the frames that have waited behind that one, to be routed now."""
        unread, self.waiting_to_route = self.waiting_to_route or [], None
        self.socket.resume()
        return unread

    def take_unseen(self) -> list[bytes]:
        """What the client may not have got of what it was sent, for wherever it will be."""
        tail, program = self.socket.tail, self.attachment.program
        sent = tail.take() if tail is not None else ()
        return [write_unseen(Unseen(program, number, frame)) for number, frame in sent]

    def has_missed(self, unseen: Unseen) -> bool:
        """Whether the client has not got what it was sent by a stream before this one."""
        tail = self.socket.tail
        if tail is None or tail.seen is None or unseen.program != self.attachment.program:
            return False
        return unseen.number > tail.seen

    def take_waiting(self) -> tuple[list[bytes], list[bytes]]:
        """The frames that wait for it: those that came by the bus, and those from here."""
        from_bus, local = [*self.early.take(), *self.waiting_from_bus], self.waiting_local
        self.waiting_from_bus, self.waiting_local = [], []
        return from_bus, local
