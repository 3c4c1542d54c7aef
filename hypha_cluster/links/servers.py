"""Which Redis servers there are behind a URL, and which of them has a slot at the moment.

One server has everything. Behind Sentinels, whatever is the master now has everything. In a
Redis Cluster, each primary has some of the 16384 slots; slots move, and primaries are replaced.
"""

import asyncio
import binascii
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Final

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.links.link import Access, Conversation, Endpoint
from hypha_cluster.supervision import Supervisor, Tasks

_log = logging.getLogger(__name__)

SLOTS: Final = 16384
_LOOK_INTERVAL: Final = 1.0  # seconds
_LOOK_PATIENCE: Final = 1.0  # seconds
_LOOK_PAUSE: Final = 0.1  # seconds, between two looks when something is wrong


class Servers(ABC):
    """Knows which server has which slot, and keeps looking; `changed` tells when one moves.

    supervisor: also of the connections to these servers.
    """

    is_cluster = False
    needs_role = False  # whether a server has to prove that it is the master

    def __init__(self, access: Access, supervisor: Supervisor) -> None:
        self.access = access
        self.supervisor = supervisor
        self._changed = asyncio.Event()
        self._doubted = asyncio.Event()
        self._tasks = Tasks(supervisor)
        self._is_looking = False

    @abstractmethod
    def server_of(self, slot: int) -> Endpoint | None:
        """The server that has a slot; None if it is not known."""

    @abstractmethod
    def in_use(self) -> Iterable[Endpoint]:
        """All servers that have slots."""

    def slot(self, key: str | bytes) -> int:
        """The slot of a key or channel."""
        return 0

    def some_slots(self) -> Iterable[int]:
        """One slot of each server."""
        return [0]

    @abstractmethod
    def moved(self, slot: int, address: Endpoint) -> None:
        """Take note that a server said who has this slot now."""

    @abstractmethod
    async def look(self, *, elsewhere: bool = False) -> None:
        """Ask who has which slot; RedisUnavailable if nobody says it.

        elsewhere: ask another server than last time.
        """

    async def start(self) -> None:
        """Find the servers; RedisUnavailable if that fails."""
        if not self._is_looking:
            await self.look()
            self._is_looking = True
            self._tasks.keep("servers", self._keep_looking)

    async def aclose(self) -> None:
        await self._tasks.stop()

    def doubt(self) -> None:
        """What is known seems to be wrong: look again soon."""
        self._doubted.set()

    async def _keep_looking(self) -> None:
        failure = ""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_INTERVAL):
                    await self._doubted.wait()
            is_doubted = self._doubted.is_set()
            self._doubted.clear()
            try:
                await self.look(elsewhere=is_doubted)
            except RedisUnavailable as error:
                if failure != str(error):  # said once, not at each look
                    _log.warning("%s", error)
                failure = str(error)
            else:
                failure = ""
            await asyncio.sleep(_LOOK_PAUSE)

    @property
    def changed(self) -> asyncio.Event:
        """Set when somebody else has a slot than at the time when this was asked for."""
        return self._changed

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class OneServer(Servers):
    """A server that is always at the same place."""

    def __init__(self, access: Access, supervisor: Supervisor, address: Endpoint) -> None:
        super().__init__(access, supervisor)
        self._address = address

    def server_of(self, slot: int) -> Endpoint | None:
        return self._address

    def in_use(self) -> Iterable[Endpoint]:
        return [self._address]

    def moved(self, slot: int, address: Endpoint) -> None:
        raise RedisUnavailable(f"{self._address} is in a cluster: write redis+cluster://…")

    async def look(self, *, elsewhere: bool = False) -> None:
        """There is nothing to look for."""

    async def start(self) -> None:
        """There is nothing to look for."""


class _Inquiry:
    """Asks whichever of several servers answers; goes on with that one, unless it is doubted."""

    def __init__(self, access: Access) -> None:
        self._access = access._replace(timeout=min(access.timeout, _LOOK_PATIENCE))
        self._conversation: Conversation | None = None

    async def ask(
        self, addresses: Iterable[Endpoint], *command: str, elsewhere: bool
    ) -> tuple[Endpoint, Any]:
        last = self._conversation
        if last is not None and not elsewhere:
            with contextlib.suppress(RedisUnavailable):
                return last.address, await last.ask(*command)
        self.close()
        # The server that was asked last time comes last.
        candidates = sorted(
            dict.fromkeys(addresses), key=lambda a: last is not None and a == last.address
        )
        failures = []
        for address in candidates:
            conversation = Conversation(address, self._access)
            try:
                await conversation.begin("hypha-look")
                answer = await conversation.ask(*command)
            except RedisUnavailable as error:
                conversation.link.close()
                failures.append(str(error))
            else:
                self._conversation = conversation
                return address, answer
        raise RedisUnavailable(" ".join(failures) or "No Redis is known.")

    def close(self) -> None:
        if self._conversation is not None:
            self._conversation.link.close()
            self._conversation = None


class SentinelServers(Servers):
    """The master of a service, as Sentinels know it."""

    needs_role = True

    def __init__(
        self,
        access: Access,
        supervisor: Supervisor,
        sentinels: list[Endpoint],
        service: str,
        inquiry: Access,
    ) -> None:
        super().__init__(access, supervisor)
        self._sentinels = sentinels
        self._service = service
        self._access = inquiry
        self._inquiry = _Inquiry(inquiry)
        self._news: Conversation | None = None
        self._master: Endpoint | None = None

    def server_of(self, slot: int) -> Endpoint | None:
        return self._master

    def in_use(self) -> Iterable[Endpoint]:
        return [self._master] if self._master else []

    def moved(self, slot: int, address: Endpoint) -> None:
        self.doubt()

    async def look(self, *, elsewhere: bool = False) -> None:
        command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._service)
        sentinel, answer = await self._inquiry.ask(self._sentinels, *command, elsewhere=elsewhere)
        if answer is None:
            self._inquiry.close()  # so that the next look asks another Sentinel, which may know
            raise RedisUnavailable(f"Sentinel {sentinel} knows no master {self._service!r}.")
        await self._listen(sentinel)
        master = Endpoint(answer[0].decode(), int(answer[1]))
        if master != self._master:
            _log.info("The master of %s is %s.", self._service, master)
            self._master = master
            self._tell()

    async def _listen(self, sentinel: Endpoint) -> None:
        """Have a Sentinel say when it changes: what goes to the old master meanwhile is lost."""
        if self._news is not None and self._news.link.is_open:
            return
        self._news = Conversation(sentinel, self._access)
        await self._news.begin("hypha-listen")
        await self._news.ask("SUBSCRIBE", "+switch-master")
        self._news.link.hand_over(lambda news: self.doubt(), lambda: None)

    async def aclose(self) -> None:
        await super().aclose()
        self._inquiry.close()
        if self._news is not None:
            self._news.link.close()


class ClusterServers(Servers):
    """The primaries of a Redis Cluster."""

    is_cluster = True

    def __init__(self, access: Access, supervisor: Supervisor, seeds: list[Endpoint]) -> None:
        super().__init__(access, supervisor)
        self._seeds = seeds
        self._inquiry = _Inquiry(access)
        self._slots: list[Endpoint | None] = [None] * SLOTS
        self._in_use: list[Endpoint] = []

    def server_of(self, slot: int) -> Endpoint | None:
        return self._slots[slot]

    def in_use(self) -> Iterable[Endpoint]:
        return self._in_use

    def some_slots(self) -> Iterable[int]:
        return [self._slots.index(address) for address in self._in_use]

    def slot(self, key: str | bytes) -> int:
        return slot_of(key if isinstance(key, bytes) else key.encode())

    def moved(self, slot: int, address: Endpoint) -> None:
        self._slots[slot] = address
        if address not in self._in_use:
            self._in_use.append(address)
            self._tell()
        self.doubt()

    async def look(self, *, elsewhere: bool = False) -> None:
        candidates = [*self._in_use, *self._seeds]
        asked, ranges = await self._inquiry.ask(candidates, "CLUSTER", "SLOTS", elsewhere=elsewhere)
        slots: list[Endpoint | None] = [None] * SLOTS
        for first, last, primary, *_ in ranges:
            # A server that does not know its own name leaves it out.
            host = primary[0].decode() if primary[0] else asked.host
            address = Endpoint(host, primary[1])
            slots[first : last + 1] = [address] * (last + 1 - first)
        if slots != self._slots:
            self._slots = slots
            self._in_use = [address for address in dict.fromkeys(slots) if address]
            self._tell()

    async def aclose(self) -> None:
        await super().aclose()
        self._inquiry.close()


def slot_of(key: bytes) -> int:
    """The slot of a key, which is that of its hash tag when it has one."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return binascii.crc_hqx(key, 0) % SLOTS
