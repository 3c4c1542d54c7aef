"""Sends the clients of a node to others, without losing a frame (docs/architecture.md)."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, NamedTuple

from hypha_cluster.clients.life import GOING_AWAY, ClientLife
from hypha_cluster.clients.places import Places
from hypha_cluster.hub.answering import HubClient
from hypha_cluster.hub.calling import HubCalls
from hypha_cluster.protocol.limits import BUSY_PATIENCE, QUIET_PATIENCE, YOUNGEST
from hypha_cluster.relay.connection import Connection
from hypha_cluster.relay.connections import Connections
from hypha_cluster.relay.pending import OwedAnswers, PendingCalls
from hypha_cluster.supervision import Supervisor, Tasks

_log = logging.getLogger(__name__)

QUIET: Final = 0.1  # seconds without a frame, after which a client counts as quiet
SLOWNESS: Final = 3  # so many times the time that a client takes for a pong, if that is longer
PATIENCE: Final = YOUNGEST + BUSY_PATIENCE + 2 * QUIET_PATIENCE  # seconds, for any one client
MAX_PAUSE: Final = 0.02  # seconds between two clients, when they are few
LOOK_EVERY: Final = 0.1  # seconds; for clients that come late


class Work(NamedTuple):
    """What may be under way at a node when it ends."""

    pending: PendingCalls
    owed: OwedAnswers
    hub: HubClient
    calls: HubCalls


class Drain:
    """Sets clients aside and closes their connections, each as soon as it is quiet."""

    def __init__(
        self,
        clients: ClientLife,
        places: Places,
        connections: Connections,
        work: Work,
        supervisor: Supervisor,
    ) -> None:
        self._places = places
        self._clients = clients
        self._connections = connections
        self._pending, self._owed, self._hub, self._calls = work
        self._departures = Tasks(supervisor)
        self._clock, self._sleep = supervisor.clock, supervisor.sleep
        self._began: float | None = None

    @property
    def is_on(self) -> bool:
        return self._began is not None

    def seconds(self) -> float:
        """For how long the drain has been going on."""
        return 0.0 if self._began is None else self._clock() - self._began

    def begin(self) -> None:
        """Note from now on what clients still have to answer."""
        self._began = self._clock()
        self._owed.watch()

    async def empty(self, seconds: float) -> None:
        """Send all clients to other gateways within that time, also those that come meanwhile.

        When the last of them have had PATIENCE, the connections that are left are cut off.
        """
        deadline = self._clock() + seconds + PATIENCE
        try:
            await self._send_all(seconds / 2, deadline)
        finally:
            await self._departures.stop()
        if self._connections:
            _log.warning("%d clients did not go in time.", len(self._connections))
        for connection in self._connections:
            self._clients.cut_off(connection)

    async def settle(self) -> None:
        """Set all clients aside where they are, when no other gateway would take them over.

        Calls that are under way get some time to end. Afterwards all connections end at once, with
        this gateway. If somebody holds its port open, clients wait there until its successor has
        started.
        """
        await self._wait_until(lambda: not (self._pending or self._calls), BUSY_PATIENCE)
        begun: set[Connection] = set()
        try:
            async with asyncio.timeout(PATIENCE):
                while late := [each for each in self._connections if each not in begun]:
                    begun.update(late)
                    for connection in late:
                        self._departures.spawn(
                            "departure", self._quieten(connection), detail=connection.address
                        )
                    await self._departures.settled()
        except TimeoutError:
            _log.warning("Not all clients came to rest in time.")
        finally:
            await self._departures.stop()
        # A client that became quiet first may be about to call again; and the client loses a call
        # that it sends while its connection ends.
        await self._wait_until(self._are_quiet, QUIET_PATIENCE)

    def _are_quiet(self) -> bool:
        return all(connection.quiet_for() > QUIET for connection in self._connections)

    async def _send_all(self, spread: float, deadline: float) -> None:
        pause = min(spread / max(len(self._connections), 1), MAX_PAUSE)
        begun: set[Connection] = set()
        while self._connections and self._clock() < deadline:
            for connection in self._connections:
                if connection not in begun:
                    begun.add(connection)
                    self._begin(connection)
                    await self._sleep(pause)
            await self._sleep(LOOK_EVERY)

    def _begin(self, connection: Connection) -> None:
        self._departures.spawn(
            "departure",
            self._send(connection),
            lambda error: connection.close(GOING_AWAY, "going away"),
            detail=connection.address,
        )

    async def _send(self, connection: Connection) -> None:
        """Set a client aside, wait until it is quiet, then tell it to go."""
        await self._quieten(connection)
        connection.close(GOING_AWAY, "going away")

    async def _quieten(self, connection: Connection) -> None:
        """Have frames for a client go to its mailbox; return when it has been quiet for a moment.

        It is quiet once it has answered the calls that it got, and waits for replies itself. A
        client that posts its frames may be told to go at any time: what it posts meanwhile is kept
        for its return.
        """
        await self._wait_with(connection, lambda: self._is_idle(connection), BUSY_PATIENCE)
        if connection.is_ending or connection.socket.postbox is not None:
            return
        quiet = max(QUIET, SLOWNESS * await self._time_to_answer(connection))
        await self._places.set_aside(connection)

        def is_waiting() -> bool:
            is_quiet = connection.quiet_for() > quiet
            is_awaited = self._owed.is_awaited(connection.address)
            # A page that asks to refresh just when it is told to go gets no answer, and stays away.
            is_busy = is_awaited or connection.is_to_refresh()
            return is_quiet and self._is_free(connection) and not is_busy

        await self._wait_with(connection, is_waiting, QUIET_PATIENCE)

    async def _time_to_answer(self, connection: Connection) -> float:
        """Seconds that a client takes for a pong: one that gets no processor is quiet, not idle."""
        started = self._clock()
        await self._calls.is_alive(connection.address)
        return self._clock() - started

    def _is_idle(self, connection: Connection) -> bool:
        """Whether it is old enough to be closed, and has nothing under way with the hub itself."""
        return connection.age() >= YOUNGEST and self._is_free(connection)

    def _is_free(self, connection: Connection) -> bool:
        """Whether nothing is under way between the client and the hub itself."""
        if connection.has_sent_chunks and len(connection.chunks):
            return False
        return not self._hub.is_serving(connection.address)

    async def _wait_with(
        self, connection: Connection, reached: Callable[[], bool], patience: float
    ) -> None:
        """Wait while a client is here; `patience` begins when it is old enough to be closed."""
        patience += max(0.0, YOUNGEST - connection.age())
        await self._wait_until(lambda: reached() or connection.is_ending, patience)

    async def _wait_until(self, reached: Callable[[], bool], patience: float) -> None:
        """Wait, but no longer than `patience`.

        It is looked at now and then, so that nothing on the path of a frame has to signal it.
        """
        deadline = self._clock() + patience
        while not reached() and self._clock() <= deadline:
            await self._sleep(QUIET / 4)
