"""What comes from other nodes, over Redis sharded pub/sub channels keyed by client.

Delivery is at most once and in order per sender and target.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.links.recovery import Recovery
from hypha_cluster.links.servers import Servers
from hypha_cluster.links.shard import unavailable
from hypha_cluster.links.subscriptions import Subscriptions
from hypha_cluster.metrics import Histogram
from hypha_cluster.protocol.envelope import is_frame
from hypha_cluster.registry.keys import Keys
from hypha_cluster.relay.publisher import Publisher
from hypha_cluster.relay.recent import RecentFrames

_log = logging.getLogger(__name__)

_PAUSE: Final = 1.0  # seconds until mail is asked for again
_MANY: Final = 100  # mailboxes that are collected at once
_PROBE_PATIENCE: Final = 4.0  # seconds after which frames are taken not to come through at all

# The address that a frame came for, None when it has been left meanwhile; and the frame.
Receive = Callable[[str | None, bytes], None]


async def _no_mail(address: str) -> list[bytes]:
    """Collect nothing."""
    return []


class Listener:
    """Hands on the frames of other nodes that come for clients which have joined.

    receive(address, frame) is called for each, on_event(event) for what nodes announce to all or
    to this one, on_node_frame(frame) for frames to this node itself.
    collect(address) answers the mail of an address that could not be heard for a while; it is
    received before what comes anew.
    """

    def __init__(
        self,
        servers: Servers,
        keys: Keys,
        node: str,
        publisher: Publisher,
        recovery: Recovery,
    ) -> None:
        self._servers = servers
        self._keys = keys
        self._publisher = publisher
        self._subscriptions = Subscriptions(
            servers,
            f"hypha-{node}-subscribe",
            self._on_message,
            self._on_rejoined,
            recovery,
        )
        self._addresses: dict[bytes, str] = {}
        self._rejoined: asyncio.Queue[bytes] = asyncio.Queue()
        # What came before the mail was collected, or while a channel was being left.
        self._kept: dict[bytes, list[bytes]] = {}
        self._echoes: dict[bytes, asyncio.Future[None]] = {}
        self._recent = RecentFrames()
        self._node_channel = keys.node_channel(node).encode()
        self._events_channel = keys.events().encode()
        self._own_channels = (self._node_channel, self._events_channel)
        self._listening_since = 0.0
        self._probed_at: float | None = None  # when the probe was sent that is under way
        self.last_probe = 0.0
        self.lags = Histogram()

    def attach(
        self,
        receive: Receive,
        on_node_frame: Callable[[bytes], None],
        on_event: Callable[[bytes], None],
        collect: Callable[[str], Awaitable[list[bytes]]] = _no_mail,
    ) -> None:
        """Say where frames go; before `start`."""
        self._receive = receive
        self._on_node_frame = on_node_frame
        self._on_event = on_event
        self._collect = collect

    async def start(self) -> None:
        """Connect and subscribe; RedisUnavailable if Redis is not there."""
        await self._subscriptions.start(self._own_channels)
        self.last_probe = time.monotonic()

    async def run(self) -> None:
        """Collect what could not be heard, for as long as the node lives."""
        while True:
            channels = [await self._rejoined.get()]
            while not self._rejoined.empty() and len(channels) < _MANY:
                channels.append(self._rejoined.get_nowait())
            await asyncio.gather(*map(self._catch_up, channels))

    async def _catch_up(self, channel: bytes) -> None:
        address = self._addresses.get(channel)
        if address is None:
            return  # it is left, and with it what was kept
        mail: list[bytes] = []
        try:
            mail = await self._collect(address)
        except RedisUnavailable as error:
            _log.warning("The mail of %s is left for later: %s", address, error)
            asyncio.get_running_loop().call_later(_PAUSE, self._rejoined.put_nowait, channel)
        # A primary that became a replica goes on saying what is said at the new one, where it
        # went to the mailbox as well.
        new = [frame for frame in mail if frame not in self._recent]
        if channel not in self._addresses:  # it is being left, which answers what is kept
            self._kept[channel][:0] = new
            return
        for frame in (*new, *self._kept.pop(channel, ())):
            self._receive(self._addresses[channel], frame)

    async def deafen(self) -> None:
        """Be no longer there for other nodes: they are told so, and do not wait for an answer."""
        await self._subscriptions.leave(self._node_channel)

    async def stop(self) -> None:
        """End the connections."""
        await self._subscriptions.aclose()

    # Subscriptions.

    async def join(self, address: str) -> None:
        """Take the frames for an address; returns when Redis has acknowledged it."""
        channel = self._keys.channel(address).encode()
        self._addresses[channel] = address
        await self._subscriptions.join(channel)

    async def leave(self, address: str) -> list[bytes]:
        """Take no more frames for an address; return when none can be on its way here.

        Answers the frames that still came meanwhile.
        """
        channel = self._keys.channel(address).encode()
        if self._addresses.pop(channel, None) is None:
            return []
        self._kept.setdefault(channel, [])
        await self._subscriptions.leave(channel)
        return self._kept.pop(channel)

    async def echoed(self, address: str) -> None:
        """Return when all has come back that this node published for an address it has joined."""
        channel = self._keys.channel(address).encode()
        echo = self._echoes[channel] = asyncio.get_running_loop().create_future()
        self._publisher.say(channel, b"")
        try:
            async with asyncio.timeout(self._servers.access.timeout):
                await echo
        except TimeoutError:
            raise unavailable() from None
        finally:
            self._echoes.pop(channel, None)

    def _on_message(self, channel: bytes, payload: bytes) -> None:
        if channel in self._own_channels:
            self._on_own_channel(channel, payload)
            return
        if not payload:
            self._on_echo(channel)
            return
        if self._servers.is_cluster and self._recent.repeats(payload):
            return
        if self._kept and channel in self._kept:
            self._kept[channel].append(payload)
        else:
            self._receive(self._addresses.get(channel), payload)

    def _on_echo(self, channel: bytes) -> None:
        echo = self._echoes.get(channel)
        if echo is not None and not echo.done():
            echo.set_result(None)

    def _on_own_channel(self, channel: bytes, payload: bytes) -> None:
        if channel == self._events_channel:
            self._on_event(payload)
        elif not payload:
            self._on_probe()
        elif is_frame(payload):
            self._on_node_frame(payload)
        else:
            self._on_event(payload)

    def _on_probe(self) -> None:
        self.last_probe = time.monotonic()
        if self._probed_at is not None:
            self.lags.observe(self.last_probe - self._probed_at)
            self._probed_at = None

    def _on_rejoined(self, channel: bytes) -> None:
        if channel == self._node_channel:
            self._listening_since = time.monotonic()
        elif channel in self._addresses and channel not in self._kept:
            self._kept[channel] = []
            self._rejoined.put_nowait(channel)

    # Probes.

    def probe(self) -> None:
        """Send this node an empty message by the way that frames go."""
        self._publisher.say(self._node_channel, b"")
        if self._probed_at is None:  # else that one is late, and counts
            self._probed_at = time.monotonic()
        if time.monotonic() - max(self.last_probe, self._listening_since) > _PROBE_PATIENCE:
            # Whatever the connections look like, nothing comes through.
            self._listening_since = time.monotonic()
            self._servers.doubt()
            self._subscriptions.reconnect()

    def excuse(self) -> None:
        """This process itself has slept: that nothing was heard says nothing of Redis."""
        self._listening_since = time.monotonic()
