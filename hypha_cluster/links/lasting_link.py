"""A connection that is opened again whenever it is lost, and closed when it looks half-dead."""

import asyncio
import logging
import time
from collections.abc import Iterator
from typing import Any, Final, Protocol

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.links.link import Conversation, Endpoint, Link
from hypha_cluster.links.servers import Servers
from hypha_cluster.supervision import Tasks

_log = logging.getLogger(__name__)

_FIRST_DELAYS: Final = (0.05, 0.1, 0.2, 0.5)  # seconds
PING_INTERVAL: Final = 1.0  # seconds
PATIENCE: Final = 2.0  # seconds that a server may leave a ping without an answer


class User(Protocol):
    """Whose connection it is."""

    def on_reply(self, reply: Any) -> None:
        """Take a reply; they come in order."""

    async def on_open(self) -> None:
        """Use the connection that was just opened; RedisUnavailable when it is no good."""

    def on_lost(self) -> None:
        """The connection is lost; another one will be opened."""


class LastingLink:
    """Keeps one connection to one server open."""

    def __init__(self, address: Endpoint, servers: Servers, name: str, user: User) -> None:
        self.address = address
        self._servers = servers
        self._name = name
        self._user = user
        self._link: Link | None = None
        self._lost = asyncio.Event()
        self._opened = asyncio.Event()
        self._failure = ""
        self._awaiting_since: float | None = None
        self._tasks = Tasks(servers.supervisor)
        self._tasks.keep("link", self._keep_open, f"{name} to {address}")

    @property
    def is_open(self) -> bool:
        return self._link is not None and self._link.is_open

    def send(self, commands: list[tuple[Any, ...]]) -> None:
        """Write commands to a connection that is open."""
        assert self._link is not None
        if self._awaiting_since is None or self._link.heard_at >= self._awaiting_since:
            self._awaiting_since = time.monotonic()
        self._link.send(commands)

    async def opened(self) -> None:
        """Wait until it is open; RedisUnavailable if that takes too long."""
        try:
            async with asyncio.timeout(self._servers.access.timeout):
                await self._opened.wait()
        except TimeoutError:
            failure = self._failure or f"Redis at {self.address} does not answer."
            raise RedisUnavailable(failure) from None

    def drop(self) -> None:
        """Close the connection; another one will be opened."""
        if self._link is not None:
            self._link.close()

    def drop_if_silent(self, now: float) -> None:
        """Close a connection that answers no ping; nobody may ever say that the server is gone."""
        if self._link is None or self._awaiting_since is None:
            return
        if self._link.heard_at < self._awaiting_since < now - PATIENCE:
            _log.warning("Redis at %s does not answer; connecting anew.", self.address)
            self.drop()

    async def aclose(self) -> None:
        """Close it for good; what was written before is still sent."""
        await self._tasks.stop()
        if self._link is not None:
            self._link.hand_over(lambda reply: None, lambda: None)
            self._link.close()
            self._link = None
            self._user.on_lost()

    async def _keep_open(self) -> None:
        self.drop()  # in case an unexpected failure has left it half open
        delays = _retry_delays()
        while True:
            try:
                await self._open()
                if self._failure:
                    _log.info("Redis at %s is there again, for %s.", self.address, self._name)
                delays, self._failure = _retry_delays(), ""
                await self._lost.wait()
            except RedisUnavailable as error:
                self._say(str(error))
                self._servers.doubt()
                self.drop()
                await asyncio.sleep(next(delays))

    def _say(self, failure: str) -> None:
        """Warn once of a lost server, not each second, and not when only the reason changes."""
        if failure != self._failure:
            level = logging.INFO if self._failure else logging.WARNING
            _log.log(level, "%s It is tried again, for %s.", failure, self._name)
        self._failure = failure

    async def _open(self) -> None:
        conversation = Conversation(self.address, self._servers.access)
        await conversation.begin(self._name, must_be_master=self._servers.needs_role)
        self._lost.clear()
        self._awaiting_since = None
        self._link = conversation.link
        self._link.hand_over(self._user.on_reply, self._on_lost)
        await self._user.on_open()
        self._opened.set()

    def _on_lost(self) -> None:
        self._link = None
        self._lost.set()
        self._opened.clear()
        self._servers.doubt()
        self._user.on_lost()


def _retry_delays() -> Iterator[float]:
    yield from _FIRST_DELAYS
    while True:
        yield 1.0
