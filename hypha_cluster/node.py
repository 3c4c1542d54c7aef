"""A node's life: its lease, its probes, its readiness, its drain (docs/architecture.md)."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from hypha_cluster import __version__
from hypha_cluster.clients.drain import Drain
from hypha_cluster.clients.life import GOING_AWAY, ClientLife
from hypha_cluster.clients.mail import Mail
from hypha_cluster.clients.presence import Presence
from hypha_cluster.errors import Conflict, RedisUnavailable
from hypha_cluster.links.recovery import Recovery
from hypha_cluster.links.shard import SLEEP
from hypha_cluster.metrics import Counts, Reading
from hypha_cluster.registry.nodes import Nodes, Renewal
from hypha_cluster.registry.reaper import Reaper
from hypha_cluster.relay.connections import Connections
from hypha_cluster.relay.listener import RedisListener
from hypha_cluster.relay.pending import PendingCalls
from hypha_cluster.relay.publisher import RedisPublisher
from hypha_cluster.supervision import Supervisor, Tasks

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a node is called, and when it does what, in seconds."""

    name: str
    lease_interval: float
    lease_ttl: float
    drain_delay: float
    drain_time: float


class Cluster(NamedTuple):
    """What a node knows of the others, and does for those that are dead."""

    nodes: Nodes
    reaper: Reaper


class Watched(NamedTuple):
    """The parts of the relay that a node watches."""

    publisher: RedisPublisher
    listener: RedisListener
    recovery: Recovery
    connections: Connections
    pending: PendingCalls
    counts: Counts


class Clients(NamedTuple):
    """The clients of a node: their lives, their mail, what is told of them, and their end here."""

    life: ClientLife
    mail: Mail
    presence: Presence
    drain: Drain


class Node:
    """Keeps a node alive and says whether it is ready."""

    def __init__(
        self,
        cluster: Cluster,
        watched: Watched,
        clients: Clients,
        terms: Terms,
        supervisor: Supervisor,
    ) -> None:
        self.name = terms.name
        self._nodes, self._reaper = cluster
        self._publisher, self._listener, self._recovery = watched[:3]
        self._connections, self._pending, self._counts = watched[3:]
        self._clients, self._mail, self._presence, self._drain = clients
        self._terms = terms
        self._supervisor = supervisor
        self._tasks = Tasks(supervisor)
        self._lease: dict[str, Any] = {}
        self._renewed = 0.0
        self._complaint = ""  # why the lease could not be renewed last time
        self._lag = 0.0

    async def start(self, *, address: str, public_url: str, version: str) -> None:
        """Take the lease, open the bus, and go on until `stop`.

        address: where this node is. public_url: where users reach the hub; empty if unknown.
        """
        started = int(time.time())
        self._lease = {
            "address": address,
            "public_url": public_url,
            "version": version,
            "started": started,
        }
        await self._publisher.start()
        await self._listener.start()
        await self._take_over()
        self._renewed = time.monotonic()
        self._tasks.keep("bus", self._listener.run)
        self._tasks.keep("handover", self._clients.run)
        self._tasks.keep("lease", self._keep_lease)
        self._tasks.keep("reassertion", self._reassert)
        self._keep_doing("mail", self._see_to_mail)
        self._keep_doing("overdue", self._remove_overdue)
        self._keep_doing("reaper", self._reap)
        self._keep_doing("unheard", lambda: self._reaper.suspend_unheard())
        self._keep_doing("untold", lambda: self._presence.tell_again())

    async def _take_over(self) -> None:
        """Take the lease; before that, clean up after an earlier node of this name.

        Nobody else would, once this node has the lease. Conflict when the other one is running.
        """
        await self._nodes.wait_for(self.name)
        silent = await self._nodes.silent(self.name)
        if silent is not None:
            self._presence.announce_end(self.name)
        await self._reaper.succeed(self.name, silent=silent or 0.0)
        await self._nodes.take_lease(self.name, self._about())

    def _keep_doing(self, name: str, step: Callable[[], Awaitable[None]]) -> None:
        """Do something again and again; wait while Redis is away, which the links log."""

        async def work() -> None:
            while True:
                await asyncio.sleep(self._terms.lease_interval)
                with contextlib.suppress(RedisUnavailable):
                    await step()

        self._tasks.keep(name, work)

    async def stop(self) -> None:
        """End the background tasks; give the lease back, so that nobody has to wait for its end."""
        await self._listener.deafen()
        await self._tasks.stop()
        self._presence.announce_end(self.name)
        if self._renewed:
            await self._drop_lease()
        await self._listener.stop()
        await self._publisher.aclose()

    def _about(self) -> dict[str, Any]:
        return {**self._lease, "draining": self._drain.is_on}

    async def _drop_lease(self) -> None:
        try:
            await self._reaper.succeed(self.name)
            await self._nodes.drop_lease(self.name)
        except RedisUnavailable as error:
            _log.warning("The lease of this node stays until it ends: %s", error)

    # Liveness among nodes.

    async def _keep_lease(self) -> None:
        while True:
            due = time.monotonic() + self._terms.lease_interval
            await asyncio.sleep(self._terms.lease_interval)
            self._lag = time.monotonic() - due
            self._counts.loop_delays.observe(self._lag)
            if self._lag > SLEEP:
                self._listener.excuse()
            self._listener.probe()
            self._connections.drop_stalled()
            await self._renew()
            await self._check()

    async def _renew(self, *, anew: bool = False) -> None:
        try:
            if anew:
                await self._nodes.take_lease(self.name, self._about())
            elif await self._nodes.renew_lease(self.name) is not Renewal.RENEWED:
                _log.warning("The lease of this node was lost; it takes a new one.")
                await self._nodes.take_lease(self.name, self._about())
                self._on_lost_lease()
        except (Conflict, RedisUnavailable) as error:
            # Logged once, not each second; and the links log that Redis is away.
            level = logging.ERROR if isinstance(error, Conflict) else logging.INFO
            if self._complaint != str(error):
                _log.log(level, "The lease of this node could not be renewed: %s", error)
            self._complaint = str(error)
        else:
            self._renewed, self._complaint = time.monotonic(), ""

    def _on_lost_lease(self) -> None:
        """The lease was not there: this process has slept, or Redis has forgotten it."""
        if time.monotonic() - self._renewed > self._terms.lease_ttl:
            self._recovery.doubt()
        else:
            self._recovery.restored()

    async def _check(self) -> None:
        """Look whether Redis still knows who is here; it may have lost a part silently."""
        try:
            if not await self._presence.are_known(self._connections):
                _log.warning("Redis does not know clients that are attached here.")
                self._recovery.restored()
        except RedisUnavailable as error:
            _log.debug("Nothing could be checked: %s", error)

    async def _see_to_mail(self) -> None:
        await self._mail.recover()
        await self._mail.give_up_calls()

    async def _reap(self) -> None:
        verdicts = await self._reaper.clean_up(self.name)
        for name in verdicts.misjudged:
            self._presence.announce_misjudgement(name)
        for name in verdicts.ended:
            self._presence.announce_end(name)

    async def _remove_overdue(self) -> None:
        for departure in await self._reaper.remove_overdue():
            address = departure.address
            self._counts.reaped += 1
            _log.info("%s did not come back in time.", address, extra={"client": address})

    async def _reassert(self) -> None:
        while True:
            await self._recovery.needed()
            try:
                await self._nodes.take_lease(self.name, self._about())
                await self._clients.reassert()
            except (Conflict, RedisUnavailable) as error:
                _log.info("Redis is not told yet who is here: %s", error)
                await asyncio.sleep(self._terms.lease_interval)
                self._recovery.doubt()

    def unready_because(self) -> list[str]:
        """What keeps this node from being ready; empty when nothing does."""
        now, terms = time.monotonic(), self._terms
        reasons = self._supervisor.unready_because()
        if self._drain.is_on:
            reasons.append("draining")
        if now - self._renewed > terms.lease_ttl:
            reasons.append("lease not renewed")
        if now - self._listener.last_probe > 2 * terms.lease_interval + 1:
            reasons.append("relay does not answer")
        return reasons

    def dead_because(self) -> list[str]:
        """What only a new process may help; empty while there is hope."""
        return self._supervisor.dead_because()

    def readings(self) -> dict[str, Reading]:
        """What the metrics of this node are read from."""
        return {
            **self._counts.readings(),
            "info": lambda: {__version__: 1},
            "connections": lambda: len(self._connections),
            "outbox_bytes": self._connections.waiting,
            "pending_calls": lambda: len(self._pending),
            "relay_age_seconds": lambda: time.monotonic() - self._listener.last_probe,
            "loop_lag_seconds": lambda: self._lag,
            "tasks": lambda: len(asyncio.all_tasks()),
            "ready": lambda: not self.unready_because(),
            "draining_seconds": self._drain.seconds,
            "bus_lag_seconds": lambda: self._listener.lags,
        }

    # The end.

    async def drain(self, *, for_successor: bool = False) -> None:
        """Send the clients to other nodes, without losing what they sent or are waiting for.

        Not so where no other node goes on, for they would only come back to this one; nor where
        somebody holds the port for a successor: there they wait until this node has ended.
        """
        self._drain.begin()
        self._counts.drains += 1
        await self._renew(anew=True)
        _log.info("Draining %d clients.", len(self._connections))
        if for_successor:
            _log.info("Its successor gets the clients: this one ends when they are at rest.")
        elif await self._has_siblings():
            await asyncio.sleep(self._terms.drain_delay)
            await self._send_away()
        else:
            _log.info("No other gateway is there: this one ends when its clients are at rest.")
        await self._drain.settle()

    def dismiss(self) -> None:
        """End the connections that are left, once the port is closed: nobody comes back by it."""
        for connection in self._connections:
            connection.close(GOING_AWAY, "going away")

    async def _send_away(self) -> None:
        """Drain clients for as long as other nodes go on; those may be told to stop too."""
        tasks = Tasks(self._supervisor)
        sending = tasks.spawn("drain", self._drain.empty(self._terms.drain_time))
        try:
            while not sending.done() and await self._has_siblings():
                await asyncio.wait([sending], timeout=self._terms.lease_interval)
        finally:
            await tasks.stop()

    async def _has_siblings(self) -> bool:
        """Whether other nodes go on; that is taken for granted while Redis is away."""
        try:
            alive = await self._nodes.alive()
        except RedisUnavailable:
            return True
        return any(node.name != self.name and not node.draining for node in alive)
