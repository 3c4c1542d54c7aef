"""Admits and attaches clients, and runs their connections, by whichever way they come."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from hypha_cluster import log_fields
from hypha_cluster.clients.admission import Admission
from hypha_cluster.clients.life import ClientLife
from hypha_cluster.errors import HubError, InvalidToken, TooMany
from hypha_cluster.hub.quotas import Quotas
from hypha_cluster.identity.tokens import Reconnection
from hypha_cluster.protocol.limits import SHOWN
from hypha_cluster.relay.allowance import Allowance
from hypha_cluster.relay.connection import Connection, Offer, Share, Way
from hypha_cluster.relay.intake import Intake
from hypha_cluster.supervision import Supervisor, Tasks
from hypha_cluster.web.lookup import Gatekeeper
from hypha_cluster.web.pace import Pace, Spend
from hypha_cluster.web.sockets import LiveSocket

Recover = Callable[[Connection], Coroutine[None, None, None]]


class Arrival(NamedTuple):
    """A client that comes. accept: lets it in, once it has its address."""

    admission: Admission
    socket: LiveSocket
    accept: Callable[[], Awaitable[None]]
    way: Way


class Reception:
    """Takes clients in. recover: asks one that came back what it offers, if the hub forgot it."""

    def __init__(
        self,
        gatekeeper: Gatekeeper,
        clients: ClientLife,
        intake: Intake,
        recover: Recover,
        quotas: Quotas,
        supervisor: Supervisor,
    ) -> None:
        self._quotas = quotas
        self._charge = quotas.pace  # once, not for each connection
        self._gatekeeper = gatekeeper
        self._clients = clients
        self._intake = intake
        self._recover = recover
        self._recoveries = Tasks(supervisor)

    async def admit(self, asked: Mapping[str, str], scope: Mapping[str, Any]) -> Admission:
        """Admit a client by what it asks for in its query, or raise a HubError.

        scope: of its request, as ASGI has it.
        """
        log_fields.client.set(asked.get("client_id", "")[:SHOWN])  # its own word, not checked yet
        sources = self._quotas.sources(scope)
        reconnection = self._recognize(asked, sources)
        admission = await self._gatekeeper.admit(asked, reconnection)
        log_fields.client.set(f"{admission.workspace.name}/{admission.client}")
        subjects = self._quotas.subjects(admission.identity, sources)
        if reconnection is None and admission.identity.origin is not None:
            self._quotas.admit(subjects[:1])
        return admission._replace(share=Share(subjects, self._quotas.allowance(subjects)))

    def _recognize(self, asked: Mapping[str, str], sources: Sequence[str]) -> Reconnection | None:
        """Who comes back, if anybody does; count them before Redis is asked about them."""
        try:
            reconnection = self._gatekeeper.recognize(asked)
        except InvalidToken:
            self._quotas.admit(sources)
            raise
        if reconnection is None:
            self._quotas.admit(sources)
            return None
        identity = reconnection.identity
        subjects = self._quotas.subjects(identity, sources)
        try:
            self._quotas.admit(sources if identity.origin is None else subjects)
        except TooMany as error:
            raise error.of(subjects) from None
        return reconnection

    async def attach(self, arrival: Arrival) -> Connection:
        """Attach a client; raises what `ClientLife.attach` does, and TooMany."""
        self._enter(arrival.admission)
        try:
            connection = await self._clients.attach(
                arrival.admission,
                arrival.socket,
                arrival.accept,
                arrival.way,
            )
        except BaseException:
            self._quotas.leave(arrival.admission.share.subjects)
            raise
        self._quotas.came_back(connection.address)
        self._quotas.offered(connection, connection.services)
        return connection

    def _enter(self, admission: Admission) -> None:
        try:
            self._quotas.enter(admission.share.subjects)
        except TooMany as error:
            if admission.program:  # it has proved that it comes back
                raise error.of(admission.share.subjects) from None
            raise

    @contextlib.contextmanager
    def waiting(self, error: TooMany) -> Iterator[Spend]:
        """Count a client that is put off as a connection meanwhile; TooMany if too many are."""
        subjects = error.subjects or ()
        self._quotas.wait(subjects)
        try:
            yield partial(self._quotas.pace, subjects)
        finally:
            self._quotas.leave(subjects)

    async def allowance(self, token: str, scope: Mapping[str, Any]) -> Allowance:
        """What whoever posts with a token, or without, may put into mailboxes."""
        sources = self._quotas.sources(scope)
        if token:
            with contextlib.suppress(HubError):  # the key of the stream decides, not the token
                identity = await self._gatekeeper.identify(token)
                return self._quotas.allowance(self._quotas.subjects(identity, sources))
        return self._quotas.allowance(sources)

    def refused(self, error: HubError) -> None:
        """Somebody was not let in, or is put off."""
        self._clients.refused(error)

    async def live(self, connection: Connection, socket: LiveSocket) -> None:
        """Route the client's frames; the connection may outlive this call (LiveSocket.outlive)."""
        visit = Visit(
            self, self._intake, connection, Pace(socket, self._charge, connection.subjects)
        )
        try:
            socket.start(visit.take, _nothing)
        except BaseException:
            self.over(connection, 1006)
            raise
        if connection.offer is Offer.FORGOTTEN:
            visit.recovery = self._recoveries.spawn(
                "recovery", self._recover(connection), detail=connection.address
            )
        await socket.outlive(visit.end)

    def over(self, connection: Connection, code: int) -> None:
        """A connection is over; services of a client that may come back go on counting."""
        self._quotas.gone(connection, keeps_place=self._clients.keeps_place(connection, code))
        self._clients.detach_soon(connection, code)


class Visit:
    """A client that is in, until its connection ends; it takes less memory than closures would.

    recovery: asks it what it offers, if the hub forgot it.
    """

    __slots__ = ("_connection", "_intake", "_pace", "_reception", "_request_id", "recovery")

    def __init__(
        self, reception: Reception, intake: Intake, connection: Connection, pace: Pace
    ) -> None:
        self._reception = reception
        self._intake = intake
        self._connection = connection
        self._pace = pace
        self._request_id = log_fields.request_id.get()
        self.recovery: asyncio.Task[None] | None = None

    def take(self, message: bytes | str) -> None:
        """Route a message; a text frame is not of this protocol and is ignored."""
        self._pace.count(len(message))
        if message.__class__ is not str:
            self._intake.route(self._connection, message)  # type: ignore[arg-type]  # costs no call

    def end(self, code: int, _reason: str) -> None:
        """The connection is over, with the peer's close code."""
        if self.recovery is not None:
            self.recovery.cancel()
        with log_fields.about(self._request_id, self._connection.address):
            self._reception.over(self._connection, code)


def _nothing() -> None:
    """Do nothing when a socket is writable: Connections bounds the outbox by its size."""
