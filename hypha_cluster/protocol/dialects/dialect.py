"""What is particular to a generation of clients.

A connection has one dialect, chosen when its client is admitted. Intake and delivery ask it and
know no generation themselves. Its functions are fields, so a frame costs no call more than if they
were named there.
"""

from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Any

from hypha_cluster.protocol.chunks import ChunkGuard
from hypha_cluster.protocol.envelope import Frame, Seal
from hypha_cluster.protocol.references import Reference


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """How clients of one generation are known, read, checked and answered.

    greets: whether a WebSocket with this query string is of one of them (protocol.md 1.1).
    manager: the client in each workspace that the hub plays for them.

    read: a frame from its bytes; BadFrame for what the others could not read. salvage: what can be
    read of such a frame, to tell who waits. check_call: a call from a source to a target; returns
    the body that may go on, and the functions of others in it. check_message: any other frame.
    service_called: the service that a call is for, None for a callback.

    seal: writes who sends, from the sender's address and user as others see it.

    cache: begins the methods by which messages come in chunks. chunks: follows those that one
    address sends, of so many bytes at most.
    """

    name: str
    greets: Callable[[bytes], bool]
    manager: str

    read: Callable[[bytes], Frame]
    salvage: Callable[[bytes], Frame | None]
    check_call: Callable[[Frame, str, str], tuple[bytes | memoryview, Set[Reference]]]
    check_message: Callable[[Frame], None]
    service_called: Callable[[dict[str, Any], dict[str, Any]], str | None]

    seal: Callable[[str, dict[str, Any]], Seal]

    cache: str
    chunks: Callable[[str, int], ChunkGuard]
