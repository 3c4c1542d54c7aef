"""What a node listens to: channels, each at the server that has its slot at the moment."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from hypha_cluster.links.lasting_link import PING_INTERVAL, LastingLink
from hypha_cluster.links.link import Endpoint
from hypha_cluster.links.recovery import Recovery
from hypha_cluster.links.servers import Servers
from hypha_cluster.links.shard import SLEEP, TICK, unavailable
from hypha_cluster.supervision import Tasks

_log = logging.getLogger(__name__)

SUBSCRIBE_BATCH: Final = 512
_PAUSE: Final = 0.05  # seconds before channels are asked for again
_LINGERING: Final = 3.0  # seconds, in which all nodes have looked where the master is


class _Station:
    """One server that is listened to.

    asked: channels whose subscription it has not acknowledged yet. heard: those it has.
    """

    def __init__(self, address: Endpoint, subscriptions: "Subscriptions", name: str) -> None:
        self._subscriptions = subscriptions
        self._on_message = subscriptions.on_message
        self.asked: set[bytes] = set()
        self.heard: set[bytes] = set()
        self.link = LastingLink(address, subscriptions.servers, name, self)

    def ask(self, channels: Iterable[bytes]) -> None:
        """Subscribe; one command takes channels of one slot only."""
        by_slot = defaultdict(list)
        for channel in channels:
            by_slot[self._subscriptions.servers.slot(channel)].append(channel)
            self.asked.add(channel)
        self.link.send([("SSUBSCRIBE", *group) for group in by_slot.values()])

    def on_reply(self, reply: Any) -> None:
        if isinstance(reply, Exception):
            self._subscriptions.on_refused(self, reply)
            return
        kind, channel = reply[0], reply[1]
        if kind == b"smessage":
            self._on_message(channel, reply[2])
        elif kind == b"ssubscribe":
            self.asked.discard(channel)
            self.heard.add(channel)
            self._subscriptions.on_heard(channel)
        elif kind == b"sunsubscribe":
            self.heard.discard(channel)
            self._subscriptions.on_end(channel)

    async def on_open(self) -> None:
        await self._subscriptions.resume(self)

    def on_lost(self) -> None:
        channels = self.asked | self.heard
        self.asked.clear()
        self.heard.clear()
        self._subscriptions.on_lost(channels)


class Subscriptions:
    """Keeps the channels of a node subscribed, wherever their slots go.

    on_rejoined: called with a channel that is heard again after it could not be for a while.
    recovery: told when all channels of a server are heard again.
    """

    def __init__(
        self,
        servers: Servers,
        name: str,
        on_message: Callable[[bytes, bytes], None],
        on_rejoined: Callable[[bytes], None],
        recovery: Recovery,
    ) -> None:
        self.servers = servers
        self.on_message = on_message
        self._name = name
        self._on_rejoined = on_rejoined
        self._recovery = recovery
        self._wanted: dict[bytes, None] = {}  # a set that keeps its order
        self._missed: set[bytes] = set()  # wanted, heard once, and not heard now
        self._strays: set[bytes] = set()  # wanted, and to be asked for anew
        self._awaited: dict[bytes, asyncio.Future[None]] = {}
        self._ends: dict[bytes, asyncio.Future[None]] = {}
        self._stations: dict[Endpoint, _Station] = {}
        self._tasks = Tasks(servers.supervisor)
        self._pinged_at = 0.0
        self._clock: asyncio.TimerHandle | None = None
        self._ticked_at = 0.0
        self._searching: asyncio.TimerHandle | None = None

    async def start(self, channels: Iterable[bytes]) -> None:
        """Subscribe to the first channels; RedisUnavailable if that fails."""
        self._wanted.update(dict.fromkeys(channels))
        self._tick()
        self._follow()
        self._tasks.keep("servers' slots", self._keep_following)
        for station in list(self._stations.values()):
            await station.link.opened()

    async def aclose(self) -> None:
        if self._clock is None:
            return
        self._clock.cancel()
        if self._searching is not None:
            self._searching.cancel()
        self._wanted.clear()
        await self._tasks.stop()
        for station in self._stations.values():
            await station.link.aclose()

    async def join(self, channel: bytes) -> None:
        """Listen to a channel; returns when the server has acknowledged it."""
        self._wanted[channel] = None
        self._ask([channel])
        try:
            async with asyncio.timeout(self.servers.access.timeout):
                while not self._hears(channel):
                    await asyncio.shield(self._news(channel))
        except TimeoutError:
            raise unavailable() from None

    def _hears(self, channel: bytes) -> bool:
        return any(channel in station.heard for station in self._stations.values())

    async def leave(self, channel: bytes) -> None:
        """Listen no more; returns when nothing can be on its way here."""
        self._wanted.pop(channel, None)
        self._missed.discard(channel)
        self._strays.discard(channel)
        self._awaited.pop(channel, None)
        for station in list(self._stations.values()):
            if channel in station.asked or channel in station.heard:
                station.asked.discard(channel)
                station.heard.discard(channel)
                await self._end(station, channel)

    async def _end(self, station: _Station, channel: bytes) -> None:
        if station.link.is_open:
            ended = self._ends[channel] = asyncio.get_running_loop().create_future()
            station.link.send([("SUNSUBSCRIBE", channel)])
            await asyncio.wait([ended], timeout=self.servers.access.timeout)

    def reconnect(self) -> None:
        """Open all connections anew."""
        for station in self._stations.values():
            station.link.drop()

    def _news(self, channel: bytes) -> asyncio.Future[None]:
        """A future that is done when the server has answered about a channel, or will not."""
        news = self._awaited.get(channel)
        if news is None:
            news = self._awaited[channel] = asyncio.get_running_loop().create_future()
        return news

    def _announce(self, channel: bytes) -> None:
        news = self._awaited.pop(channel, None)
        if news is not None and not news.done():
            news.set_result(None)

    def _ask(self, channels: Iterable[bytes]) -> None:
        """Subscribe where the channels are now; those that cannot be asked for become strays."""
        by_server = defaultdict(list)
        for channel in channels:
            by_server[self._server_of(channel)].append(channel)
        for server, theirs in by_server.items():
            station = self._stations.get(server) if server is not None else None
            if station is not None and station.link.is_open:
                station.ask(theirs)
            elif station is None:
                self._stray(theirs)

    # What the servers say.

    def on_heard(self, channel: bytes) -> None:
        self._announce(channel)
        if channel in self._missed:
            self._missed.discard(channel)
            self._on_rejoined(channel)

    def on_end(self, channel: bytes) -> None:
        ended = self._ends.pop(channel, None)
        if ended is not None and not ended.done():
            ended.set_result(None)
        if channel in self._wanted:
            # It was joined again meanwhile, or Redis ended it: the channel's slot went elsewhere.
            self._missed.add(channel)
            if ended is None:
                self.servers.doubt()
            self._stray([channel])

    def on_refused(self, station: _Station, error: Exception) -> None:
        """Ask anew for all that wait for an answer: an error does not say which one is refused."""
        text = str(error)
        if text.startswith("MOVED"):
            self.servers.doubt()
        else:
            _log.error("Redis at %s refused a subscription: %s", station.link.address, text)
        asked = station.asked & self._wanted.keys()
        station.asked.clear()
        self._stray(asked)
        for channel in asked:
            self._announce(channel)

    def on_lost(self, channels: set[bytes]) -> None:
        self._missed |= channels & self._wanted.keys()
        for channel in channels:
            self._announce(channel)
        for channel in channels & self._ends.keys():
            self.on_end(channel)
        for ended in self._ends.values():
            if not ended.done():
                ended.set_result(None)

    async def resume(self, station: _Station) -> None:
        """Subscribe to all that a server has, a batch at a time, and wait until it has done so."""
        address = station.link.address
        mine = [each for each in self._wanted if self._server_of(each) == address]
        has_missed = not self._missed.isdisjoint(mine)
        for batch in _batches(mine):
            news = [self._news(channel) for channel in batch]
            station.ask(batch)
            await asyncio.wait(news, timeout=self.servers.access.timeout)
            if not station.link.is_open:
                raise unavailable()
        if has_missed:
            self._recovery.restored()

    def _server_of(self, channel: bytes) -> Endpoint | None:
        return self.servers.server_of(self.servers.slot(channel))

    # Slots that go elsewhere.

    def _stray(self, channels: Iterable[bytes]) -> None:
        self._strays.update(channels)
        if self._searching is None:
            self._searching = asyncio.get_running_loop().call_later(_PAUSE, self._search)

    def _search(self) -> None:
        self._searching = None
        strays, self._strays = self._strays & self._wanted.keys(), set()
        self._ask(strays)

    async def _keep_following(self) -> None:
        while True:
            changed = self.servers.changed
            self._follow()
            await changed.wait()

    def _follow(self) -> None:
        """Listen to all servers that have slots, and no more to others."""
        in_use = set(self.servers.in_use())
        for address in self._stations.keys() - in_use:
            station = self._stations.pop(address)
            channels = station.asked | station.heard
            station.asked.clear()
            station.heard.clear()
            self._missed |= channels & self._wanted.keys()
            self._stray(channels)
            self._leave_behind(station)
        for address in in_use - self._stations.keys():
            self._stations[address] = _Station(address, self, self._name)

    def _leave_behind(self, station: _Station) -> None:
        # A former primary of a cluster is a replica, and repeats what is published at the new one.
        # But a former master behind Sentinels goes on by itself, with what nodes publish there that
        # do not know the new one yet.
        after = 0.0 if self.servers.is_cluster else _LINGERING
        self._tasks.spawn("link end", _close(station.link, after=after))

    def _tick(self) -> None:
        self._clock = asyncio.get_running_loop().call_later(TICK, self._tick)
        last, now = self._ticked_at, time.monotonic()
        self._ticked_at = now
        if now - last > SLEEP:
            return  # first read what came while this process slept
        is_due = now - self._pinged_at > PING_INTERVAL
        if is_due:
            self._pinged_at = now
        for station in self._stations.values():
            if is_due and station.link.is_open:
                station.link.send([("PING",)])
            station.link.drop_if_silent(now)


async def _close(link: LastingLink, *, after: float) -> None:
    try:
        await asyncio.sleep(after)
    finally:
        await link.aclose()


def _batches(channels: list[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(channels), SUBSCRIBE_BATCH):
        yield channels[start : start + SUBSCRIBE_BATCH]
