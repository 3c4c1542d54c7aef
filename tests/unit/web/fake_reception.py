"""A reception that lets in whoever comes, or fails as a test says."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hypha_cluster.clients.admission import Admission
from hypha_cluster.errors import HubError, TooMany
from hypha_cluster.identity.access import Identity, own_workspace
from hypha_cluster.relay.allowance import UNBOUNDED, Allowance
from hypha_cluster.relay.connection import Connection
from hypha_cluster.web.reception import Arrival
from tests.fakes import FakeSocket
from tests.unit.relay.test_connection import connection

ANN = Identity("ann")


class FakeReception:
    """Lets everybody in, or fails with `error`; `room` is how many may wait."""

    def __init__(
        self, error: Exception | None = None, room: int = 1, *, is_lasting: bool = False
    ) -> None:
        self.error = error
        self.room = room
        self.is_lasting = is_lasting
        self.routed: list[bytes | str] = []
        self.endings: list[int] = []
        self.asked: list[Mapping[str, str]] = []
        self.arrivals: list[Arrival] = []
        self.refusals: list[HubError] = []
        self.alive: list[Connection] = []

    async def admit(self, asked: Mapping[str, str], scope: Any) -> Admission:
        self.asked.append(asked)
        if self.error is not None:
            raise self.error
        return Admission(ANN, own_workspace(ANN), asked["client_id"])

    async def attach(self, arrival: Arrival) -> Connection:
        self.arrivals.append(arrival)
        await arrival.accept()
        return connection(FakeSocket(), arrival.admission.client)

    async def live(self, attached: Connection, socket: Any) -> None:
        self.alive.append(attached)
        if self.is_lasting:
            socket.start(self.routed.append, lambda: None)
            await socket.outlive(lambda code, reason: self.endings.append(code))

    def refused(self, error: HubError) -> None:
        self.refusals.append(error)

    @contextmanager
    def waiting(self, error: TooMany) -> Iterator[Any]:
        if not self.room:
            raise error
        yield lambda frames, size: 0.0

    async def allowance(self, token: str, scope: Any) -> Allowance:
        return UNBOUNDED
