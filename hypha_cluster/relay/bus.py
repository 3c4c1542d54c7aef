"""What the relay needs of the bus, which brings frames from node to node.

Delivery is at most once and in order per sender and target. `RedisPublisher` (publisher.py) and
`RedisListener` (listener.py) are the real bus; the unit tests have one in memory (tests/fakes.py),
which keeps the same contract (tests/integration/test_bus.py).
"""

from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import NamedTuple, Protocol


class Outcome(IntEnum):
    """What became of a frame that nobody has taken (registry/deliver.lua)."""

    NOBODY = 0  # there is no such client
    MAILED = -1  # it waits for a client that is suspended
    MAILBOX_FULL = -2
    UNAVAILABLE = -3  # Redis did not answer in time
    AWAY = -4  # a call, and its target has been suspended for too long
    UNHEARD = -5  # it waits for a client that is online, but did not hear it; told as MAILED


OnNotTaken = Callable[[Outcome], None]


class Publisher(Protocol):
    """Sends frames and events to other nodes."""

    @property
    def is_recovering(self) -> bool:
        """Whether Redis is back, but perhaps not all that it knew before."""

    def deliver_or_mail(
        self,
        address: str,
        frame: bytes,
        on_not_taken: OnNotTaken | None = None,
        *,
        is_call: bool = False,
        may_mail: bool = True,
    ) -> None:
        """Send a frame to whoever has joined `address`, or put it into the mailbox there.

        on_not_taken: told later, when nobody has taken it at once. is_call: somebody waits for an
        answer and can be told that there will be none, so the frame is not kept for a client that
        stays away. may_mail: else there is no room for it in a mailbox.
        """

    def publish_to_node(
        self, node: str, frame: bytes, on_not_taken: OnNotTaken | None = None
    ) -> None:
        """Send a frame or an event to a node itself."""

    def announce(self, event: bytes) -> None:
        """Tell all nodes, this one included, what changed."""


class Listener(Protocol):
    """Hears the frames for addresses that are joined."""

    async def join(self, address: str) -> None:
        """Take the frames for an address; returns when they will come."""

    async def leave(self, address: str) -> list[bytes]:
        """Take no more frames for an address; return when none can be on its way here.

        Returns the frames that still came meanwhile.
        """

    async def echoed(self, address: str) -> None:
        """Return when everything has come back that this node published for a joined address."""


class Receivers(NamedTuple):
    """To whom a listener hands what it hears.

    frame (Delivery.receive): takes the address for which a frame came, None if that has been left
    meanwhile, and the sealed frame. own (Intake.receive_own): takes a frame for this node itself.
    event (Events.dispatch): takes what a node tells all nodes, or this one. missed
    (Mail.collect_missed): returns the mail of an address that could not be heard for a while, which
    is handed on before what comes anew.
    """

    frame: Callable[[str | None, bytes], None]
    own: Callable[[bytes], None]
    event: Callable[[bytes], None]
    missed: Callable[[str], Awaitable[list[bytes]]]
