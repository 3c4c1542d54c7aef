"""Takes connections on a socket, and can leave the port to others while its connections go on.

`hypercorn.asyncio.serve` does only the first. This relies on two things in Hypercorn: `TCPServer`
serves one connection, and `WorkerContext.terminated` tells all of them that it is time to end.
"""

import asyncio
import socket
from typing import Any, Final

import hypercorn
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio import run as hypercorns_run
from hypercorn.asyncio.worker_context import WorkerContext

from hypha_cluster.protocol.limits import DEAD_HOST

UNLIMITED: Final = None  # requests of a connection


class Listening:
    """The connections of one application on one port."""

    def __init__(self, app: Any, settings: hypercorn.Config) -> None:
        self._app = ASGIWrapper(app)
        self._settings = settings
        self._context = WorkerContext(UNLIMITED)
        self._connections: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        """Take connections from now on."""
        settings = self._settings
        sockets = settings.create_sockets()
        if settings.ssl_enabled:
            tls: dict[str, Any] = {
                "ssl": settings.create_ssl_context(),
                "ssl_handshake_timeout": settings.ssl_handshake_timeout,
            }
        else:
            tls = {}
        for listener in [*sockets.secure_sockets, *sockets.insecure_sockets]:
            _notice_dead_peers(listener)
            server = await asyncio.start_server(
                self._serve, sock=listener, backlog=settings.backlog, **tls
            )
            self._servers.append(server)

    def leave_port(self) -> None:
        """Take no more connections; others that hold the port get them all."""
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def close(self, patience: float) -> None:
        """End the connections; after `patience` seconds cut off those that have not ended."""
        self.leave_port()
        await self._context.terminated.set()
        if self._connections:
            await asyncio.wait(self._connections, timeout=patience)
        for connection in self._connections:
            connection.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=patience)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        loop = asyncio.get_running_loop()
        serve = vars(hypercorns_run)["TCPServer"]  # Hypercorn's, or ours (http11/server.py)
        await serve(self._app, loop, self._settings, self._context, {}, reader, writer)


def _notice_dead_peers(listener: socket.socket) -> None:
    """Have the kernel end connections whose peer takes nothing; what is accepted inherits this.

    A program that computes for minutes answers no ping either, but its host acknowledges them: so
    pings can be patient with programs, and need not be with hosts.
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)  # Linux has it
    if option is not None and listener.family in (socket.AF_INET, socket.AF_INET6):
        listener.setsockopt(socket.IPPROTO_TCP, option, int(DEAD_HOST * 1000))
