"""What the relay asks of the connection of a client, whatever kind it is of."""

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from hypha_cluster.relay.tail import Tail


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

    @property
    def tail(self) -> Tail | None:
        """What was sent lately, if the client says what it has got of that when it is back."""

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
