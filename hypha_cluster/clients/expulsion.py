"""Ends the connections of those who may not be here any longer, on every gateway.

Clients whose token was revoked go within a second, pages of apps that are over within a few.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from hypha_cluster.clients.life import GOING_AWAY, ClientLife
from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.identity.tokens import is_page_of_app
from hypha_cluster.protocol.limits import EXPULSION
from hypha_cluster.registry.clients import Attachment
from hypha_cluster.registry.revocations import Revocations
from hypha_cluster.relay.connection import Connection
from hypha_cluster.relay.connections import Connections
from hypha_cluster.supervision import Supervisor, Tasks

_log = logging.getLogger(__name__)

LOOK_EVERY: Final = 0.4  # seconds
LOOK_AT_PAGES_EVERY: Final = 2.0  # seconds


class Expulsion:
    """Looks for revocations, and at all connections when there are new ones.

    is_over: whether a client is the page of an app that does not run any more. Its runner closes
    such a page, but the page may have given its reconnection token to a program elsewhere.
    """

    def __init__(
        self,
        revocations: Revocations,
        connections: Connections,
        clients: ClientLife,
        supervisor: Supervisor,
        is_over: Callable[[Attachment], Awaitable[bool]],
    ) -> None:
        self._is_over = is_over
        self._revocations = revocations
        self._connections = connections
        self._clients = clients
        self._tasks = Tasks(supervisor)
        self._seen = revocations.version
        self._changed_at = float("-inf")

    def start(self) -> None:
        """Go on until `stop`."""
        self._tasks.keep("revocations", self._run)
        self._tasks.keep("pages", self._look_at_pages)

    async def stop(self) -> None:
        await self._tasks.stop()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            with contextlib.suppress(RedisUnavailable):  # the links log that
                await self._revocations.load()
            if self._revocations.version != self._seen:  # this gateway's own revocations count too
                self._seen = self._revocations.version
                self._changed_at = time.monotonic()
            if time.monotonic() - self._changed_at < EXPULSION:
                self._look_at_all()

    async def _look_at_pages(self) -> None:
        while True:
            await asyncio.sleep(LOOK_AT_PAGES_EVERY)
            pages = [c for c in self._connections if is_page_of_app(c.attachment.identity)]
            with contextlib.suppress(RedisUnavailable):  # its links say so
                for page in pages:
                    if await self._is_over(page.attachment):
                        self._expel(page, "its app does not run any more")

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
        """Close a client whose token lost some scopes; it comes back by itself with the others.

        One that has lost the workspace that it is in is removed.
        """
        lost = set(connection.attachment.identity.scopes).difference(scopes)
        if connection.attachment.workspace.name in lost:
            self._expel(connection, "its token has been revoked")
        else:
            connection.close(GOING_AWAY, "revoked in part")

    def _expel(self, connection: Connection, reason: str) -> None:
        _log.info("%s goes: %s.", connection.address, reason)
        self._tasks.spawn("expel", self._clients.expel(connection), detail=connection.address)
