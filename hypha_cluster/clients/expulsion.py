"""Ends the connections of those whose token was revoked, on every gateway within a second."""

import asyncio
import contextlib
import logging
import time
from typing import Final

from hypha_cluster.clients.life import GOING_AWAY, ClientLife
from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.protocol.limits import EXPULSION
from hypha_cluster.registry.revocations import Revocations
from hypha_cluster.relay.connections import Connection, Connections
from hypha_cluster.supervision import Supervisor, Tasks

_log = logging.getLogger(__name__)

LOOK_EVERY: Final = 0.4  # seconds


class Expulsion:
    """Looks for revocations, and at all connections when there are new ones."""

    def __init__(
        self,
        revocations: Revocations,
        connections: Connections,
        clients: ClientLife,
        supervisor: Supervisor,
    ) -> None:
        self._revocations = revocations
        self._connections = connections
        self._clients = clients
        self._tasks = Tasks(supervisor)
        self._seen = revocations.version
        self._changed_at = float("-inf")

    def start(self) -> None:
        """Go on until `stop`."""
        self._tasks.keep("revocations", self._run)

    async def stop(self) -> None:
        await self._tasks.stop()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            with contextlib.suppress(RedisUnavailable):  # its links say so
                await self._revocations.load()
            if self._revocations.version != self._seen:  # also what this very gateway has noted
                self._seen = self._revocations.version
                self._changed_at = time.monotonic()
            if time.monotonic() - self._changed_at < EXPULSION:
                self._look_at_all()

    def _look_at_all(self) -> None:
        book = self._revocations.book
        for connection in self._connections:
            identity = connection.attachment.identity
            if book.is_revoked(identity):
                self._expel(connection, "its token has been revoked")
            elif book.is_kicked(connection.address, time.time() - connection.age()):
                self._expel(connection, "it was told to by an operator")
            elif (left := book.admit(identity)) is not identity:
                self._narrow(connection, left.scopes)

    def _narrow(self, connection: Connection, scopes: tuple[str, ...]) -> None:
        """It may go on with what is left of its token: with that it comes back by itself."""
        lost = set(connection.attachment.identity.scopes).difference(scopes)
        if connection.attachment.workspace.name in lost:
            self._expel(connection, "its token has been revoked")
        else:
            connection.close(GOING_AWAY, "revoked in part")

    def _expel(self, connection: Connection, reason: str) -> None:
        _log.info("%s goes: %s.", connection.address, reason)
        self._tasks.spawn("expel", self._clients.expel(connection), detail=connection.address)
