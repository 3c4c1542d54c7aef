"""How calls may be traced on their way; by default they are not.

A call has a span where it is taken, one where it is relayed to another node and one where it is
delivered there. `spans.CallTracer` makes them; it needs packages that nothing else needs.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Protocol

from hypha_cluster.protocol.envelope import Frame


class Tracer(Protocol):
    """Begins and ends the spans of calls."""

    def take(self, read: Frame, caller: str, frame: bytes, *, waits: bool) -> bytes:
        """A client of this node makes a call; return its frame as it travels on."""

    def relay(self, frame: bytes, target: str) -> bytes:
        """A frame goes over the bus; return it as it travels on."""

    def deliver(self, envelope: dict[str, Any], target: str, frame: bytes) -> bytes:
        """A frame came over the bus for a client of this node; return it as the client gets it."""

    def answered(self, callee: str, caller: str, method: str) -> None:
        """A call is answered, by its callee or by the hub in its place."""

    def forget(self, client: str) -> None:
        """A client is not here any more; how its calls end is not seen."""

    def place(self, envelope: dict[str, Any]) -> AbstractContextManager[None]:
        """The hub calls a client, perhaps in the course of a request."""

    def send(self, envelope: dict[str, Any], frame: bytes) -> bytes:
        """A call of the hub's, as it travels on."""

    def answer(self, envelope: dict[str, Any], source: str) -> AbstractContextManager[None]:
        """The hub is called by a client."""


_NOTHING: Final = nullcontext()


class NullTracer:
    """Traces nothing, and takes no time for it."""

    def take(self, read: Frame, caller: str, frame: bytes, *, waits: bool) -> bytes:
        return frame

    def relay(self, frame: bytes, target: str) -> bytes:
        return frame

    def deliver(self, envelope: dict[str, Any], target: str, frame: bytes) -> bytes:
        return frame

    def answered(self, callee: str, caller: str, method: str) -> None:
        """Does nothing."""

    def forget(self, client: str) -> None:
        """Does nothing: no call is kept."""

    def place(self, envelope: dict[str, Any]) -> AbstractContextManager[None]:
        return _NOTHING

    def send(self, envelope: dict[str, Any], frame: bytes) -> bytes:
        return frame

    def answer(self, envelope: dict[str, Any], source: str) -> AbstractContextManager[None]:
        return _NOTHING
