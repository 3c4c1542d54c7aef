"""The clients attached to this node, each with its bounded outbox."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from enum import Enum, StrEnum, auto
from typing import Any, Final, NamedTuple, Protocol

from hypha_cluster.errors import HubError
from hypha_cluster.identity.access import Guests
from hypha_cluster.protocol.dialects.dialect import Dialect
from hypha_cluster.protocol.limits import OUTBOXES
from hypha_cluster.registry.clients import Attachment
from hypha_cluster.registry.encoding import Infos
from hypha_cluster.registry.public import as_listed
from hypha_cluster.relay.sealing import seal_of

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


class Verdict(StrEnum):
    """What became of a frame that a client has posted."""

    ROUTED = "routed"
    KEPT = "kept"  # it is routed when the client is back, or is on its way still
    REFUSED = "refused"  # the stream is another client's
    BUSY = "busy"  # too much waits already
    OVER = "over"  # the stream has ended; another one may have begun


class Postbox(Protocol):
    """Takes the frames of a client that does not send them by its connection, as of events."""

    def put(
        self, key: str, frame: bytes, settle: Callable[[Verdict], None], *, is_kept: bool = False
    ) -> None:
        """Have a frame routed in its turn, if `key` is the stream's; tell `settle` the verdict.

        is_kept: whoever posted it has been told that it is KEPT, so it is taken however much waits.
        """


class Socket(Protocol):
    """A connection as the relay sees it.

    DirectWebSocket (serving/http11/websocket_connection.py), AsgiSocket (web/sockets.py) and
    EventStream (web/event_stream.py).
    """

    @property
    def postbox(self) -> Postbox | None:
        """Takes what the client posts by other connections; None if it sends on this one."""

    def send(self, frame: bytes) -> None:
        """Send one binary message; never waits, does nothing once closed."""

    @property
    def buffered(self) -> int:
        """Bytes that were sent and not yet taken by the network."""

    def pause(self) -> None:
        """Read no more from the client."""

    def resume(self) -> None:
        """Go on reading."""

    def close(self, code: int, reason: str = "") -> None:
        """Begin the closing handshake."""

    def abort(self) -> None:
        """End the connection at once."""


class Allowance(Protocol):
    """What a client may yet put into mailboxes: MailAllowance (hub/quotas.py).

    spent: all users and addresses that have spent theirs; while it is empty, `refusal` is None.
    """

    @property
    def spent(self) -> Collection[str]: ...

    def refusal(self) -> HubError | None:
        """Why it may put nothing there now, and when it may again; None if it may."""

    def spend(self, size: int) -> None:
        """Note that it has put so many bytes there."""


class Unbounded:
    """The allowance of the hub itself, and of whoever has no limit."""

    spent: Collection[str] = ()

    def refusal(self) -> None:
        return None

    def spend(self, size: int) -> None:
        pass


UNBOUNDED: Final = Unbounded()


class Speech(NamedTuple):
    """How a client speaks. max_message_size: bytes of a message in chunks."""

    dialect: Dialect
    max_message_size: int


class Connection:
    """A client attached to this node.

    base_url: the URL by which it came. refresh_after: seconds after which it should refresh its
    connection info; 0: only before its reconnection token expires.
    """

    __slots__ = (
        "address",
        "announced",
        "at_home",
        "attachment",
        "base_url",
        "chunks",
        "clock",
        "dialect",
        "attached_at",
        "heard_at",
        "gone",
        "home",
        "is_amnesic",
        "is_barred",
        "is_unready",
        "mail",
        "offered",
        "open_services",
        "progress",
        "refresh_after",
        "refreshed_at",
        "registering",
        "routed",
        "seal",
        "sent",
        "services",
        "socket",
        "stage",
        "subjects",
        "takes_from_bus",
        "takes_from_here",
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
        base_url: str,
        refresh_after: float,
        clock: Clock = time.monotonic,
    ) -> None:
        self.attachment = attachment
        self.address = attachment.address
        # The beginning of the addresses of its workspace, and the slice of an address that it is.
        self.home = f"{attachment.workspace.name}/"
        self.at_home = slice(len(self.home))
        self.dialect = speech.dialect
        self.base_url, self.refresh_after = base_url, refresh_after
        self.socket = socket
        self.stage = Stage.ARRIVING
        # Whether frames from clients of this node go straight to it: while it is ARRIVING or LIVE.
        # In later stages they go by the bus, and so to its mailbox, behind what is there.
        self.takes_from_here = True
        # Whether frames from the bus go straight to it: while it is LIVE, and the last ones when it
        # is SET_ASIDE. While it is ARRIVING they wait behind its mail; while it is CLOSING they
        # wait, and go back to its mailbox.
        self.takes_from_bus = False
        self.gone = asyncio.Event()
        self.services: Infos = {}
        # Service id → its info if it is public, '' if not; of those that were asked for.
        self.open_services: Infos = {}
        # The users and addresses as which it counts for the limits of what one may use.
        self.subjects: Sequence[str] = ()
        self.mail: Allowance = UNBOUNDED
        self.registering = asyncio.Lock()  # of `services`, which change together with Redis
        # Service id → the service as the client last announced it, and its info as JSON.
        self.announced: dict[str, tuple[dict[str, Any], str]] = {}
        self.seal = seal_of(attachment.address, attachment.identity, speech.dialect)
        # Whether it may speak to nobody but the hub, so that it can log in.
        self.is_barred = attachment.identity.guest is Guests.OFF
        self.chunks = speech.dialect.chunks(attachment.address, speech.max_message_size)
        # Frames that wait until its mail is delivered; those from the bus are older than the local.
        self.waiting_from_bus, self.waiting_local = list[bytes](), list[bytes]()
        # Frames that it has sent behind one that waits for the registry; None when none waits.
        self.waiting_to_route: list[bytes] | None = None
        self.routed = asyncio.Event()  # set while none waits
        self.routed.set()
        # Whether it has taken an address over and offers nothing yet: published clients never
        # answer a call of a service that they do not offer.
        self.is_unready = False
        self.is_amnesic = False  # it came back, but the hub no longer knew what it offers
        self.clock = clock
        self.attached_at = self.refreshed_at = self.heard_at = clock()
        self.sent = self.offered = 0  # bytes; services, as they are counted
        # Of a slow client: the bytes that it has taken so far, and since when it has taken no more.
        self.progress: tuple[int, float] | None = None

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

    def claimed(self, services: Infos, *, is_amnesic: bool) -> None:
        """The client has its address now, and offers what it offered before.

        is_amnesic: the client came back, but the hub no longer knew it.
        """
        self.services = services
        self.is_amnesic = is_amnesic

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

    def take_waiting(self) -> tuple[list[bytes], list[bytes]]:
        """The frames that wait for it: those that came by the bus, and those from here."""
        from_bus, local = self.waiting_from_bus, self.waiting_local
        self.waiting_from_bus, self.waiting_local = [], []
        return from_bus, local


class Connections:
    """Finds the connection of an address, and keeps slow clients within bounds.

    outbox_size: bytes that may wait for one client before new calls to it are rejected; at twice
    that the client is dropped, as is one that takes nothing for `send_timeout` seconds.
    """

    def __init__(
        self, outbox_size: int, send_timeout: float, clock: Clock = time.monotonic
    ) -> None:
        self._connections: dict[str, Connection] = {}  # by their addresses
        # By holder: each connection from when it arrives until all that was its own is cleaned up.
        self._holders: dict[str, Connection] = {}
        self._outbox_size = outbox_size
        self._send_timeout = send_timeout
        self._clock = clock
        self._stalled: set[Connection] = set()

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._connections.values()))

    def get(self, address: str) -> Connection | None:
        return self._connections.get(address)

    def has(self, connection: Connection) -> bool:
        """Whether a connection is the one of its address."""
        return self._connections.get(connection.address) is connection

    def held_by(self, holder: str) -> Connection | None:
        """The connection with this holder, if it is here."""
        return self._holders.get(holder)

    def known(self) -> int:
        """How many connections there are, also those without a place yet, or any more."""
        return len(self._holders)

    def expect(self, connection: Connection) -> None:
        """Note a connection that arrives, and may get its place."""
        self._holders[connection.attachment.holder] = connection

    def attach(self, connection: Connection) -> Connection | None:
        """Put a connection in its place; return the one that had it, which is forgotten."""
        previous = self._connections.get(connection.address)
        if previous is not None:
            self.forget(previous)
        self._connections[connection.address] = connection
        return previous

    def forget(self, connection: Connection) -> None:
        """Forget a connection of which nothing is left to be cleaned up."""
        self._holders.pop(connection.attachment.holder, None)

    def detach(self, connection: Connection) -> bool:
        """Take a connection from its place; say whether it still had it."""
        self._stalled.discard(connection)
        if self._connections.get(connection.address) is not connection:
            return False
        del self._connections[connection.address]
        return True

    def waiting(self) -> int:
        """Bytes that wait for slow clients."""
        return sum(connection.socket.buffered for connection in self._stalled)

    def offer(self, connection: Connection, frame: bytes) -> bool:
        """Send a frame unless too much waits for the client already; say whether it was sent."""
        waiting = connection.socket.buffered
        if waiting:
            self._stalled.add(connection)
            if waiting > self._outbox_size:
                return False
        connection.send(frame)
        return True

    def force(self, connection: Connection, frame: bytes) -> None:
        """Send a frame that must not be lost; drop a client for which twice the bound waits."""
        if connection.socket.buffered > 2 * self._outbox_size:
            _drop(connection)
        else:
            connection.send(frame)

    def drop_stalled(self) -> None:
        """Drop clients that have taken nothing for too long; to be called now and then.

        When too much waits for all together, drop those for whom most waits.
        """
        now = self._clock()
        waiting = self.waiting()
        for connection in sorted(self._stalled, key=_waits_for, reverse=True):
            if waiting <= OUTBOXES:
                break
            waiting -= _waits_for(connection)
            _drop(connection)
        for connection in list(self._stalled):
            buffered = connection.socket.buffered
            taken = connection.sent - buffered
            if not buffered:
                self._stalled.discard(connection)
                connection.progress = None
            elif connection.progress is None or taken != connection.progress[0]:
                connection.progress = (taken, now)
            elif now - connection.progress[1] > self._send_timeout:
                _drop(connection)


def _waits_for(connection: Connection) -> int:
    return connection.socket.buffered


def _drop(connection: Connection) -> None:
    connection.close(1013, "too slow")
    connection.socket.abort()
