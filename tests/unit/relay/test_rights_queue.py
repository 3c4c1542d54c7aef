"""What a client sends while one of its frames waits for the registry."""

import asyncio
from collections.abc import Callable, Set

from hypha_cluster.errors import HubError, PermissionDenied
from hypha_cluster.identity.access import Identity
from hypha_cluster.protocol.references import Reference
from hypha_cluster.relay.connection import Connection
from hypha_cluster.relay.rights_queue import RightsQueue
from hypha_cluster.supervision import Supervisor
from tests.fakes import FakeSocket
from tests.unit.relay.test_connection import connection

REFERENCES = frozenset({Reference("away/other", "open")})


class FakeRights:
    """Answers when it is told to."""

    def __init__(self, verdict: HubError | None = None) -> None:
        self.verdict = verdict
        self.may_answer = asyncio.Event()
        self.asked: list[tuple[str, Set[Reference]]] = []

    def is_open(self, address: str, service: str) -> bool:
        return False

    async def require(self, identity: Identity, references: Set[Reference]) -> None:
        self.asked.append((identity.id, references))
        await self.may_answer.wait()
        if self.verdict is not None:
            raise self.verdict


class Sender:
    """Routes as the intake does: what begins with `?` has to be asked about."""

    def __init__(self, rights: FakeRights) -> None:
        self.socket = FakeSocket()
        self.connection = connection(self.socket)
        self.passed: list[object] = []
        self.rights_queue = RightsQueue(rights, Supervisor())

    def route(self, connection: Connection, raw: bytes) -> None:
        if connection.waiting_to_route is not None:
            connection.waiting_to_route.append(raw)
        elif raw.startswith(b"?"):
            self.rights_queue.hold_back(connection, REFERENCES, self.settled(raw), self.route)
        else:
            self.passed.append(raw)

    def settled(self, raw: bytes) -> Callable[[HubError | None], None]:
        return lambda error: self.passed.append(error or raw)

    def send(self, *frames: bytes) -> None:
        for raw in frames:
            self.route(self.connection, raw)

    async def settled_all(self) -> None:
        """Wait for the end of all that is asked."""
        while tasks := [*self.rights_queue._tasks]:
            await asyncio.wait(tasks)


async def test_what_comes_later_waits_and_keeps_its_order() -> None:
    rights = FakeRights()
    sender = Sender(rights)

    sender.send(b"1", b"?2", b"3", b"?4", b"5")
    await asyncio.sleep(0)
    waiting = list(sender.passed)
    rights.may_answer.set()
    await sender.settled_all()

    assert waiting == [b"1"]
    assert sender.passed == [b"1", b"?2", b"3", b"?4", b"5"]
    assert rights.asked == [(sender.connection.attachment.identity.id, REFERENCES)] * 2


async def test_nothing_is_read_meanwhile() -> None:
    rights = FakeRights()
    sender = Sender(rights)

    sender.send(b"?1")
    was_paused = sender.socket.is_paused
    rights.may_answer.set()
    await sender.settled_all()

    assert (was_paused, sender.socket.is_paused) == (True, False)
    assert sender.connection.waiting_to_route is None


async def test_a_refusal_holds_up_nothing_else() -> None:
    error = PermissionDenied("no")
    rights = FakeRights(error)
    sender = Sender(rights)
    rights.may_answer.set()

    sender.send(b"?1", b"2")
    await sender.settled_all()

    assert sender.passed == [error, b"2"]


async def test_all_is_routed_once_the_last_verdict_is_there() -> None:
    rights = FakeRights()
    sender = Sender(rights)
    sender.send(b"?1", b"?2", b"3")
    rights.may_answer.set()

    await sender.connection.routed.wait()

    assert sender.passed == [b"?1", b"?2", b"3"]


async def test_it_ends_with_the_node() -> None:
    sender = Sender(FakeRights())
    sender.send(b"?1", b"2")

    await sender.rights_queue.stop()

    assert b"?1" not in sender.passed
