"""What the relay needs of the bus: frames go to other nodes, and come from them.

Delivery is at most once and in order per sender and target. `RedisPublisher` and `RedisListener`
are the real bus; the unit tests have one in memory, which keeps the same contract
(tests/integration/test_bus.py).
"""

from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import NamedTuple, Protocol


class Outcome(IntEnum):
    """What became of a frame that was published; more than 0 is the number of takers."""

    TAKEN = 1
    NOBODY = 0
    MAILED = -1
    MAILBOX_FULL = -2
    UNAVAILABLE = -3
    AWAY = -4


OnOutcome = Callable[[Outcome], None]


class Publisher(Protocol):
    """Sends frames and events to other nodes."""

    @property
    def is_recovering(self) -> bool:
        """Whether Redis is back, but perhaps not all that it knew before."""

    def publish(
        self,
        address: str,
        frame: bytes,
        on_outcome: OnOutcome | None = None,
        *,
        is_call: bool = False,
    ) -> None:
        """Send a frame to whoever has joined `address`; later, say what became of it.

        is_call: somebody waits for an answer and can be told that there will be none, so the
        frame is not kept for a client that stays away.
        """

    def publish_to_node(self, node: str, frame: bytes, on_outcome: OnOutcome | None = None) -> None:
        """Send a frame or an event to a node itself."""

    def announce(self, event: bytes) -> None:
        """Tell all nodes, this one included, what changed."""


class Listener(Protocol):
    """Hears the frames for addresses that are joined."""

    async def join(self, address: str) -> None:
        """Take the frames for an address; returns when they will come."""

    async def leave(self, address: str) -> list[bytes]:
        """Take no more frames for an address; return when none can be on its way here.

        Answers the frames that still came meanwhile.
        """

    async def echoed(self, address: str) -> None:
        """Return when all has come back that this node published for an address it has joined."""


class Receivers(NamedTuple):
    """Where what a listener hears goes.

    frame: a frame, after the address that it came for, None when that has been left meanwhile.
    own: a frame for this node itself. event: what a node tells all nodes, or this one.
    missed: answers the mail of an address that could not be heard for a while; it is received
    before what comes anew.
    """

    frame: Callable[[str | None, bytes], None]
    own: Callable[[bytes], None]
    event: Callable[[bytes], None]
    missed: Callable[[str], Awaitable[list[bytes]]]
