"""The way of frames from one client to where they go on, without a network, Redis or a loop."""

import secrets
from collections.abc import Callable, Set
from typing import Any, NamedTuple, cast

from hypha_cluster.errors import HubError
from hypha_cluster.identity.access import Identity, own_workspace
from hypha_cluster.metrics import Counts
from hypha_cluster.protocol.chunks import Step
from hypha_cluster.protocol.dialects.imjoy import IMJOY
from hypha_cluster.protocol.envelope import Frame, FrameReader
from hypha_cluster.protocol.guard import CACHE
from hypha_cluster.protocol.limits import CLIENT_FRAME
from hypha_cluster.protocol.references import Reference
from hypha_cluster.registry.clients import Attachment
from hypha_cluster.relay.allowance import Allowance
from hypha_cluster.relay.connection import Connection, Speech, Stage, Way
from hypha_cluster.relay.delivery import Delivery
from hypha_cluster.relay.intake import Intake, Onward
from hypha_cluster.relay.ledger import Ledger
from hypha_cluster.relay.pending import PendingCall
from hypha_cluster.relay.rights_queue import RightsQueue
from tests.fakes import FakeSocket

HOME = "ann"
ME = f"{HOME}/me"
USER = Identity(HOME)
MAX_MESSAGE = 1_000_000


class Passed(NamedTuple):
    """A frame that goes on. asked: what its sender has to have a right to; see RightsQueue."""

    target: str
    sealed: bytes
    asked: Set[Reference]


class Whole(NamedTuple):
    """A message in chunks, as its target puts it together."""

    target: str
    message: bytes
    asked: Set[Reference]


class FramePath:
    """Everything that looks at a client's frame, and keeps what comes of it.

    has_rights: whether the client may call, and pass on, what others offer.
    """

    def __init__(self, *, has_rights: bool = True) -> None:
        self.passed: list[Passed] = []
        self.to_hub: list[Frame] = []
        self.whole: list[Whole] = []
        self.refusals: list[HubError] = []
        self._has_rights = has_rights
        self._asked: Set[Reference] = frozenset()
        self._begun: dict[tuple[str, str], tuple[bytearray, set[Reference]]] = {}
        self.rejects = self  # of the delivery, which this is too
        ways = Onward(self, self, cast(Delivery, self), cast(Ledger, self))
        self._intake = Intake(
            "here", ways, Counts(), FrameReader(CLIENT_FRAME), cast(RightsQueue, self)
        )
        self.connection = _connection()

    def route(self, raw: bytes) -> None:
        """Have a frame of the client routed."""
        self._intake.route(self.connection, raw)

    # As what decides.

    def is_open(self, address: str, service: str) -> bool:
        return False

    def hold_back(
        self,
        connection: Connection,
        references: Set[Reference],
        settle: Callable[[HubError | None], None],
        route: Callable[[Connection, bytes], None],
    ) -> None:
        if self._has_rights:
            self._asked = references
            settle(None)
            self._asked = frozenset()
        else:  # what goes on instead, such as a reject, has nothing to do with them
            settle(HubError("You may not."))

    # As what frames go on to.

    def send(self, target: str, sealed: bytes, *, mail: Allowance) -> None:
        self.passed.append(Passed(target, sealed, self._asked))

    def receive(self, frame: Frame, source: str, target: str) -> None:
        assert source == ME
        self.to_hub.append(frame)

    def relay_chunk(
        self,
        connection: Connection,
        frame: Frame,
        target: str,
        step: Step,
        call: PendingCall | None,
    ) -> None:
        """Do what a client does with a part of a message, and say that it has arrived."""
        key, *rest = step.args
        action = frame.envelope["method"].removeprefix(CACHE)
        if action == "create":
            self._begun[target, key] = bytearray(), set()
        data, asked = self._begun[target, key]
        asked |= self._asked
        data += rest[0] if action == "append" else b""
        if action == "process":
            self.whole.append(Whole(target, bytes(data), frozenset(asked)))
        if action in ("process", "remove"):
            del self._begun[target, key]
        connection.chunks.arrived(step)

    def clear_away(self, connection: Connection) -> None:
        for leftover in connection.chunks.take_leftovers():
            self._begun.pop((leftover.target, leftover.key), None)

    def tell(self, target: str, event: object) -> None:
        """Other nodes need not know."""

    def reject(self, frame: Frame, caller: str, target: str, error: HubError) -> None:
        self.refusals.append(error)

    # As the book of calls.

    def called(
        self, connection: Connection, target: str, frame: Frame, sealed: bytes
    ) -> tuple[bytes, PendingCall | None]:
        return sealed, None

    def called_in_chunks(self, connection: Connection, target: str, call: Any) -> None:
        return None

    def answered(self, callee: str, caller: str, method: str) -> None:
        """Nobody waits."""

    def told_hub(self, callee: str, method: str) -> None:
        """Nobody owes anything."""


def _connection() -> Connection:
    workspace = own_workspace(USER)
    attachment = Attachment(ME, "me", workspace, USER, secrets.token_hex(4), "node")
    made = Connection(
        attachment,
        FakeSocket(),
        speech=Speech(IMJOY, MAX_MESSAGE),
        way=Way(""),
    )
    made.enter(Stage.LIVE)
    return made
