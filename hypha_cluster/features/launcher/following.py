"""Follows what instances log, whoever runs them: Redis tells a gateway when there is more.

Being told only makes it quick. Whoever follows also looks now and then, since a change of state is
not told, and a message may be lost.
"""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final

from hypha_cluster.errors import Overloaded
from hypha_cluster.features.feature import Grounds
from hypha_cluster.features.launcher.shares import Shares
from hypha_cluster.links.recovery import Recovery
from hypha_cluster.links.subscriptions import Subscriptions
from hypha_cluster.protocol.limits import APP_FOLLOWERS
from hypha_cluster.registry.instance import OVER
from hypha_cluster.registry.instance_logs import Cursor, Entry, InstanceLogs
from hypha_cluster.supervision import Tasks

_LOOKING: Final = 2.0  # seconds between two looks at an instance that logs nothing
_PAUSE: Final = 0.1  # seconds between two readings of one that logs much
_SILENCE: Final = 15.0  # seconds after which an item is sent, so that no proxy cuts the stream off


class Following:
    """Those who follow logs at one gateway."""

    def __init__(self, logs: InstanceLogs, grounds: Grounds) -> None:
        self._logs = logs
        self._instances = grounds.instances
        self._servers = grounds.servers
        self._keys = grounds.keys
        self._node = grounds.node
        self._leaving = Tasks(grounds.supervisor)
        self._news: defaultdict[bytes, set[asyncio.Event]] = defaultdict(set)
        self._following = Shares()
        self._is_over = False
        self._subscriptions: Subscriptions | None = None

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Meanwhile hear from Redis when something is logged; RedisUnavailable if that fails."""
        name = f"hypha-{self._node}-logs"
        subscriptions = Subscriptions(
            self._servers, name, lambda channel, _: self._tell(channel), self._tell, Recovery()
        )
        try:
            await subscriptions.start([*self._news])
            self._subscriptions = subscriptions
            yield
        finally:
            self._subscriptions = None
            await self._leaving.stop()
            await subscriptions.aclose()

    def end(self) -> None:
        """Let go of all who follow: they find another gateway."""
        self._is_over = True
        for channel in self._news:
            self._tell(channel)

    def _tell(self, channel: bytes) -> None:
        for news in self._news.get(channel, ()):
            news.set()

    @contextlib.asynccontextmanager
    async def _hearing(self, address: str, user: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set when an instance has logged something; Overloaded."""
        if not self._following.has_room(user, APP_FOLLOWERS):
            raise Overloaded(
                "Logs are followed by too many, here or for you; try again in a moment."
            )
        with self._following.taken(user):
            async with self._told(address) as news:
                yield news

    @contextlib.asynccontextmanager
    async def _told(self, address: str) -> AsyncIterator[asyncio.Event]:
        channel, news = self._keys.log_channel(address).encode(), asyncio.Event()
        is_first = channel not in self._news
        self._news[channel].add(news)
        try:
            if is_first and self._subscriptions is not None:
                await self._subscriptions.join(channel)
            yield news
        finally:
            self._news[channel].discard(news)
            if not self._news[channel]:
                del self._news[channel]
                self._leave(channel)

    def _leave(self, channel: bytes) -> None:
        self._leaving.spawn("unfollow", self._unsubscribe(channel))

    async def _unsubscribe(self, channel: bytes) -> None:
        """Hear a channel no more, unless somebody has come for it meanwhile."""
        if self._subscriptions is not None and channel not in self._news:
            await self._subscriptions.leave(channel)

    async def follow(
        self, address: str, cursor: Cursor, user: str
    ) -> AsyncGenerator[dict[str, Any]]:
        """What an instance has logged, and logs until it is over; and its state, as it changes.

        user: the family of whoever follows.
        """
        said, said_at = "", 0.0
        async with self._hearing(address, user) as news:
            while not self._is_over:
                news.clear()
                instance = await self._instances.find(address)
                for entry, place in await self._logs.since(address, cursor):
                    yield written(entry, place)
                    cursor, said_at = place, time.monotonic()
                state = str(instance.state) if instance else "forgotten"
                if state != said or time.monotonic() - said_at > _SILENCE:
                    said, said_at = state, time.monotonic()
                    yield written(Entry(time.time(), "state", state), cursor)
                if instance is None or instance.state in OVER:
                    return
                await asyncio.sleep(_PAUSE)
                await _heard(news, _LOOKING)

    async def more(
        self, address: str, cursor: Cursor, user: str, patience: float
    ) -> list[tuple[Entry, Cursor]]:
        """What an instance has logged meanwhile, waiting so many seconds until there is some."""
        end = time.monotonic() + patience
        async with self._hearing(address, user) as news:
            while True:
                news.clear()
                found = await self._logs.since(address, cursor)
                left = end - time.monotonic()
                if found or left <= 0 or self._is_over:
                    return found
                await _heard(news, min(left, _LOOKING))


async def _heard(news: asyncio.Event, patience: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            await news.wait()


def written(entry: Entry, cursor: Cursor) -> dict[str, Any]:
    """An entry as a follower gets it; `after` its cursor comes the next one."""
    about = {"time": entry.at, "type": entry.kind, "text": entry.text}
    return {**about, "cursor": str(cursor)}
