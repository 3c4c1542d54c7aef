"""The clients attached to this node by their addresses, each with its bounded outbox."""

import time
from collections.abc import Iterator

from hypha_cluster.protocol.limits import OUTBOXES
from hypha_cluster.relay.connection import Clock, Connection


class Connections:
    """Finds the connection of an address, and keeps slow clients within bounds.

    outbox_size: bytes that may wait for one client before new calls to it are rejected; at twice
    that the client is dropped, as is one that takes nothing for `send_timeout` seconds.
    """

    def __init__(
        self, outbox_size: int, send_timeout: float, clock: Clock = time.monotonic
    ) -> None:
        self._connections: dict[str, Connection] = {}  # by their addresses
        # By holder: each connection from when it arrives until all that was its own is cleaned up.
        self._holders: dict[str, Connection] = {}
        self._outbox_size = outbox_size
        self._send_timeout = send_timeout
        self._clock = clock
        self._stalled: set[Connection] = set()

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._connections.values()))

    def get(self, address: str) -> Connection | None:
        return self._connections.get(address)

    def has(self, connection: Connection) -> bool:
        """Whether a connection is the one of its address."""
        return self._connections.get(connection.address) is connection

    def held_by(self, holder: str) -> Connection | None:
        """The connection with this holder, if it is here."""
        return self._holders.get(holder)

    def known(self) -> int:
        """How many connections there are, also those without a place yet, or any more."""
        return len(self._holders)

    def expect(self, connection: Connection) -> None:
        """Note a connection that arrives, and may get its place."""
        self._holders[connection.attachment.holder] = connection

    def attach(self, connection: Connection) -> Connection | None:
        """Put a connection in its place; return the one that had it, which is forgotten."""
        previous = self._connections.get(connection.address)
        if previous is not None:
            self.forget(previous)
        self._connections[connection.address] = connection
        return previous

    def forget(self, connection: Connection) -> None:
        """Forget a connection of which nothing is left to be cleaned up."""
        self._holders.pop(connection.attachment.holder, None)

    def detach(self, connection: Connection) -> bool:
        """Take a connection from its place; say whether it still had it."""
        self._stalled.discard(connection)
        if self._connections.get(connection.address) is not connection:
            return False
        del self._connections[connection.address]
        return True

    def waiting(self) -> int:
        """Bytes that wait for slow clients."""
        return sum(connection.socket.buffered for connection in self._stalled)

    def offer(self, connection: Connection, frame: bytes) -> bool:
        """Send a frame unless too much waits for the client already; say whether it was sent."""
        waiting = connection.socket.buffered
        if waiting:
            self._stalled.add(connection)
            if waiting > self._outbox_size:
                return False
        connection.send(frame)
        return True

    def keep_early(self, connection: Connection, frame: bytes) -> bool:
        """Keep a call until its client is ready, unless too much waits; say whether it is kept."""
        if connection.early.size > self._outbox_size:
            return False
        connection.early.put(frame)
        return True

    def force(self, connection: Connection, frame: bytes) -> None:
        """Send a frame that must not be lost; drop a client for which twice the bound waits."""
        if connection.socket.buffered > 2 * self._outbox_size:
            _drop(connection)
        else:
            connection.send(frame)

    def drop_stalled(self) -> None:
        """Drop clients that have taken nothing for too long; to be called now and then.

        When too much waits for all together, drop those for whom most waits.
        """
        now = self._clock()
        waiting = self.waiting()
        for connection in sorted(self._stalled, key=_waits_for, reverse=True):
            if waiting <= OUTBOXES:
                break
            waiting -= _waits_for(connection)
            _drop(connection)
        for connection in list(self._stalled):
            buffered = connection.socket.buffered
            taken = connection.sent - buffered
            if not buffered:
                self._stalled.discard(connection)
                connection.progress = None
            elif connection.progress is None or taken != connection.progress[0]:
                connection.progress = (taken, now)
            elif now - connection.progress[1] > self._send_timeout:
                _drop(connection)


def _waits_for(connection: Connection) -> int:
    return connection.socket.buffered


def _drop(connection: Connection) -> None:
    connection.close(1013, "too slow")
    connection.socket.abort()
