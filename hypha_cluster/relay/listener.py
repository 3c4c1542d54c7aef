"""Hears what other nodes publish, by Redis sharded pub/sub channels keyed by client."""

import asyncio
import logging
import time
from typing import Final

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.links.recovery import Recovery
from hypha_cluster.links.servers import Servers
from hypha_cluster.links.shard import unavailable
from hypha_cluster.links.subscriptions import Subscriptions
from hypha_cluster.metrics import Histogram
from hypha_cluster.protocol.envelope import is_frame
from hypha_cluster.protocol.limits import CAUGHT_UP
from hypha_cluster.registry.keys import Keys
from hypha_cluster.relay.bus import Receivers
from hypha_cluster.relay.publisher import RedisPublisher
from hypha_cluster.relay.recent import RecentFrames

_log = logging.getLogger(__name__)

_PAUSE: Final = 1.0  # seconds before mail is asked for again
_PROBE_PATIENCE: Final = 4.0  # seconds after which frames are taken not to come through at all


class _Channel:
    """The channel of one address that a node has joined, until it has left."""

    __slots__ = ("_catching_up", "address", "echo", "is_left", "kept")

    def __init__(self, address: str) -> None:
        self.address = address
        self.is_left = False
        # What comes while older frames are collected, or while it is being left.
        self.kept: list[bytes] | None = None
        self._catching_up: asyncio.Lock | None = None  # made when it is first needed
        self.echo: asyncio.Future[None] | None = None

    @property
    def catching_up(self) -> asyncio.Lock:
        """Held while what could not be heard is collected, and handed on or given back."""
        self._catching_up = self._catching_up or asyncio.Lock()
        return self._catching_up

    def keep(self) -> None:
        """Keep what comes from now on."""
        if self.kept is None:
            self.kept = []

    def take_kept(self) -> list[bytes]:
        """What was kept; from now on nothing is."""
        kept, self.kept = self.kept, None
        return kept or []


class RedisListener:
    """Hands on what is published for the addresses that are joined, and for the node itself."""

    def __init__(
        self,
        servers: Servers,
        keys: Keys,
        node: str,
        publisher: RedisPublisher,
        receivers: Receivers,
        recovery: Recovery,
    ) -> None:
        self._servers = servers
        self._keys = keys
        self._publisher = publisher
        self._receivers = receivers
        self._subscriptions = Subscriptions(
            servers, f"hypha-{node}-subscribe", self._on_message, self._on_rejoined, recovery
        )
        self._channels: dict[bytes, _Channel] = {}
        self._rejoined: asyncio.Queue[_Channel] = asyncio.Queue()
        self._recent = RecentFrames()
        self._node_channel = keys.node_channel(node).encode()
        self._events_channel = keys.events().encode()
        self._own_channels = (self._node_channel, self._events_channel)
        self._listening_since = 0.0
        self._probed_at: float | None = None  # when the probe was sent that is under way
        self.last_probe = 0.0
        self.lags = Histogram()

    async def start(self) -> None:
        """Connect and subscribe; RedisUnavailable if Redis is not there."""
        await self._subscriptions.start(self._own_channels)
        self.last_probe = time.monotonic()

    async def run(self) -> None:
        """Collect what could not be heard, for as long as the node lives."""
        while True:
            channels = [await self._rejoined.get()]
            while not self._rejoined.empty() and len(channels) < CAUGHT_UP:
                channels.append(self._rejoined.get_nowait())
            await asyncio.gather(*map(self._catch_up, channels))

    async def deafen(self) -> None:
        """Leave the node's own channel, so that whoever asks this node is told that it is gone."""
        await self._subscriptions.leave(self._node_channel)

    async def stop(self) -> None:
        """End the connections."""
        await self._subscriptions.aclose()

    # Addresses.

    async def join(self, address: str) -> None:
        """Take the frames for an address; returns when Redis has acknowledged it."""
        channel = self._keys.channel(address).encode()
        self._channels[channel] = _Channel(address)
        await self._subscriptions.join(channel)

    async def leave(self, address: str) -> list[bytes]:
        """Take no more frames for an address; return when none can be on its way here.

        Returns the frames that still came meanwhile.
        """
        name = self._keys.channel(address).encode()
        channel = self._channels.get(name)
        if channel is None or channel.is_left:
            return []
        channel.is_left = True
        channel.keep()
        await self._subscriptions.leave(name)
        async with channel.catching_up:  # what it has collected belongs to what is answered
            if self._channels.get(name) is channel:
                del self._channels[name]
            return channel.take_kept()

    async def echoed(self, address: str) -> None:
        """Return when everything has come back that this node published for a joined address."""
        name = self._keys.channel(address).encode()
        channel = self._channels[name]
        channel.echo = asyncio.get_running_loop().create_future()
        self._publisher.publish(name, b"")
        try:
            async with asyncio.timeout(self._servers.access.timeout):
                await channel.echo
        except TimeoutError:
            raise unavailable() from None
        finally:
            channel.echo = None

    # What could not be heard for a while.

    def _on_rejoined(self, name: bytes) -> None:
        if name == self._node_channel:
            self._listening_since = time.monotonic()
            return
        channel = self._channels.get(name)
        if channel is not None and not channel.is_left:
            channel.keep()
            self._rejoined.put_nowait(channel)

    async def _catch_up(self, channel: _Channel) -> None:
        async with channel.catching_up:
            if channel.is_left:
                return  # whoever left it has what was kept
            channel.keep()
            # A former primary of a cluster repeats what is published at the new one; so a frame may
            # have been heard although it went into the mailbox.
            mail = [frame for frame in await self._missed(channel) if frame not in self._recent]
            self._hand_on(channel, mail)

    def _hand_on(self, channel: _Channel, mail: list[bytes]) -> None:
        """Hand on the mail of a channel, then the frames that were kept meanwhile."""
        frames = [*mail, *channel.take_kept()]
        if channel.is_left:  # meanwhile
            channel.kept = frames
            return
        for frame in frames:
            self._receivers.frame(channel.address, frame)

    async def _missed(self, channel: _Channel) -> list[bytes]:
        is_done = False
        try:
            mail = await self._receivers.missed(channel.address)
            is_done = True
        except RedisUnavailable as error:
            _log.warning("The mail of %s is left for later: %s", channel.address, error)
            return []
        finally:
            if not is_done:
                asyncio.get_running_loop().call_later(_PAUSE, self._rejoined.put_nowait, channel)
        return mail

    # What is said.

    def _on_message(self, name: bytes, message: bytes) -> None:
        channel = self._channels.get(name)
        if channel is None:
            self._on_other_message(name, message)
        elif not message:
            if channel.echo is not None and not channel.echo.done():
                channel.echo.set_result(None)
        elif self._servers.is_cluster and self._recent.repeats(message):
            return
        elif channel.kept is not None:
            channel.kept.append(message)
        else:
            self._receivers.frame(channel.address, message)

    def _on_other_message(self, name: bytes, message: bytes) -> None:
        """Take what is for this node itself, for all nodes, or for an address that was left."""
        if name == self._events_channel:
            self._receivers.event(message)
        elif name != self._node_channel:
            if message and not (self._servers.is_cluster and self._recent.repeats(message)):
                self._receivers.frame(None, message)
        elif not message:
            self._on_probe()
        elif is_frame(message):
            self._receivers.own(message)
        else:
            self._receivers.event(message)

    # Probes.

    def probe(self) -> None:
        """Send this node an empty message by the way that frames go."""
        self._publisher.publish(self._node_channel, b"")
        if self._probed_at is None:  # else that one is late, and counts
            self._probed_at = time.monotonic()
        if time.monotonic() - max(self.last_probe, self._listening_since) > _PROBE_PATIENCE:
            # Nothing comes through, even if the connections look sound.
            self._listening_since = time.monotonic()
            self._servers.doubt()
            self._subscriptions.reconnect()

    def excuse(self) -> None:
        """Begin to count anew: this process was frozen, so its silence says nothing of Redis."""
        self._listening_since = time.monotonic()

    def _on_probe(self) -> None:
        self.last_probe = time.monotonic()
        if self._probed_at is not None:
            self.lags.observe(self.last_probe - self._probed_at)
            self._probed_at = None
