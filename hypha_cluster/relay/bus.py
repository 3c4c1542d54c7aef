"""Frames between nodes, over Redis sharded pub/sub channels keyed by client.

Delivery is at most once and in order per sender and target. Frames are gathered per tick of the
event loop and written in one go; what Redis answers says what became of each. A frame for a
client that is between two connections goes to its mailbox, in the same script (deliver.lua).
"""

import asyncio
import hashlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from typing import Any, Final, NamedTuple

from hypha_cluster.errors import RelayUnavailable
from hypha_cluster.relay.link import Link, open_link
from hypha_cluster.store.connection import read_script
from hypha_cluster.store.keys import Keys

_log = logging.getLogger(__name__)

SUBSCRIBE_BATCH: Final = 512
_FIRST_DELAYS: Final = (0.05, 0.1, 0.2, 0.5)  # seconds


class Outcome(IntEnum):
    """What became of a frame that was published; more than 0 is the number of takers."""

    TAKEN = 1
    NOBODY = 0
    MAILED = -1
    MAILBOX_FULL = -2
    UNAVAILABLE = -3


OnOutcome = Callable[[Outcome], None]
# The address that a frame came for, None when it has been left meanwhile; and the frame.
Receive = Callable[[str | None, bytes], None]


class Limits(NamedTuple):
    """mailbox_size in bytes, mail_lifetime in seconds."""

    mailbox_size: int
    mailbox_frames: int
    mail_lifetime: float
    relay_timeout: float


class _Pending(NamedTuple):
    command: tuple[Any, ...]
    on_outcome: OnOutcome | None
    since: float


class Bus:
    """Publishes frames to other nodes, and hands on those that come for clients that joined.

    receive(address, frame) is called for each, on_event(event) for what nodes announce,
    on_node_frame(frame) for frames to this node itself, on_restored() when Redis is back.
    """

    def __init__(self, url: str, keys: Keys, node: str, limits: Limits) -> None:
        self._url = url
        self._keys = keys
        self._node = node
        self._limits = limits
        script = read_script("hypha_cluster.relay", "deliver")
        self._script = script.encode()
        self._sha = hashlib.sha1(self._script).hexdigest().encode()
        self._channels: dict[bytes, str] = {}
        self._acks: dict[bytes, asyncio.Future[None]] = {}
        self._ends: dict[bytes, asyncio.Future[None]] = {}
        self._queued: deque[_Pending] = deque()
        self._written: deque[_Pending] = deque()
        self._flush_scheduled = False
        self._publisher: Link | None = None
        self._subscriber: Link | None = None
        self._lost = asyncio.Event()
        self._node_channel = keys.node_channel(node).encode()
        self._events_channel = keys.events().encode()
        self._own_channels = (self._node_channel, self._events_channel)
        self.last_probe = 0.0

    def attach(
        self,
        receive: Receive,
        on_node_frame: Callable[[bytes], None],
        on_event: Callable[[bytes], None],
        on_restored: Callable[[], None],
    ) -> None:
        """Say where frames go; before `start`."""
        self._receive = receive
        self._on_node_frame = on_node_frame
        self._on_event = on_event
        self._on_restored = on_restored

    async def start(self) -> None:
        """Connect and subscribe; RelayUnavailable if Redis is not there."""
        await self._open_publisher()
        await self._open_subscriber()

    async def stop(self) -> None:
        """End both connections, after what is queued was written."""
        self._flush()
        for link in (self._publisher, self._subscriber):
            if link is not None:
                link.close()

    # Subscriptions.

    async def join(self, address: str) -> None:
        """Take the frames for an address; returns when Redis has acknowledged it."""
        channel = self._keys.channel(address).encode()
        self._channels[channel] = address
        await self._subscribe([channel])

    async def _subscribe(self, channels: Iterable[bytes]) -> None:
        loop = asyncio.get_running_loop()
        acks = {channel: self._acks.get(channel) or loop.create_future() for channel in channels}
        self._acks.update(acks)
        if self._subscriber is not None and self._subscriber.is_open:
            self._subscriber.send([("SSUBSCRIBE", *acks)])
        try:
            async with asyncio.timeout(self._limits.relay_timeout):
                await asyncio.gather(*acks.values())
        except TimeoutError:
            raise RelayUnavailable("The hub cannot reach its Redis; try again.") from None

    async def leave(self, address: str) -> None:
        """Take no more frames for an address; returns when none can be on its way here."""
        channel = self._keys.channel(address).encode()
        if self._channels.pop(channel, None) is None:
            return
        if self._subscriber is None or not self._subscriber.is_open:
            return
        ended = self._ends[channel] = asyncio.get_running_loop().create_future()
        self._subscriber.send([("SUNSUBSCRIBE", channel)])
        await asyncio.wait([ended], timeout=self._limits.relay_timeout)

    def _on_push(self, reply: Any) -> None:
        if isinstance(reply, Exception):
            _log.error("Redis refused a subscription: %s", reply)
            return
        kind, channel = reply[0], reply[1]
        if kind == b"smessage":
            if channel in self._own_channels:
                self._on_own_channel(channel, reply[2])
            else:
                self._receive(self._channels.get(channel), reply[2])
        elif kind == b"ssubscribe":
            ack = self._acks.pop(channel, None)
            if ack is not None and not ack.done():
                ack.set_result(None)
        elif kind == b"sunsubscribe":
            self._on_end(channel)

    def _on_own_channel(self, channel: bytes, payload: bytes) -> None:
        if channel == self._events_channel:
            self._on_event(payload)
        elif channel == self._node_channel:
            if payload:
                self._on_node_frame(payload)
            else:
                self.last_probe = time.monotonic()

    def _on_end(self, channel: bytes) -> None:
        ended = self._ends.pop(channel, None)
        if ended is not None and not ended.done():
            ended.set_result(None)
        if channel in self._channels and self._subscriber is not None:
            # It was joined again meanwhile, or Redis ended it: the channel's slot went elsewhere.
            self._subscriber.send([("SSUBSCRIBE", channel)])

    # Publishing.

    def publish(self, address: str, frame: bytes, on_outcome: OnOutcome | None = None) -> None:
        """Send a frame to whoever has joined `address`; later, say what became of it."""
        keys, limits = self._keys, self._limits
        channel = keys.channel(address)
        command = (
            b"EVALSHA",
            self._sha,
            3,
            channel,
            keys.mail(address),
            keys.mail_size(address),
            channel,
            frame,
            limits.mailbox_size,
            limits.mailbox_frames,
            int(limits.mail_lifetime * 1000),
        )
        self._enqueue(command, on_outcome)

    def publish_to_node(self, node: str, frame: bytes, on_outcome: OnOutcome | None = None) -> None:
        self._enqueue((b"SPUBLISH", self._keys.node_channel(node), frame), on_outcome)

    def announce(self, event: bytes) -> None:
        """Tell all nodes, this one included, what changed."""
        self._enqueue((b"SPUBLISH", self._events_channel, event), None)

    def probe(self) -> None:
        """Send this node an empty message by the way that frames go."""
        self._enqueue((b"SPUBLISH", self._node_channel, b""), None)

    def _enqueue(self, command: tuple[Any, ...], on_outcome: OnOutcome | None) -> None:
        self._queued.append(_Pending(command, on_outcome, time.monotonic()))
        if not self._flush_scheduled:
            self._flush_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        if self._publisher is None or not self._publisher.is_open:
            return
        queued, self._queued = self._queued, deque()
        self._written.extend(queued)
        if queued:
            self._publisher.send([pending.command for pending in queued])

    def _on_published(self, reply: Any) -> None:
        pending = self._written.popleft()
        if isinstance(reply, Exception):
            self._on_refused(pending, reply)
        elif pending.on_outcome is not None and reply <= 0:
            pending.on_outcome(Outcome(reply))

    def _on_refused(self, pending: _Pending, error: Exception) -> None:
        _log.error("Redis refused a frame: %s", error)
        if pending.on_outcome is not None:
            pending.on_outcome(Outcome.UNAVAILABLE)

    # Links that come back.

    async def run(self) -> None:
        """Open again what was lost, for as long as the node lives."""
        while True:
            await self._lost.wait()
            self._lost.clear()
            await self._restore()

    async def _restore(self) -> None:
        for delay in _retry_delays():
            try:
                if self._publisher is None:
                    await self._open_publisher()
                if self._subscriber is None:
                    await self._open_subscriber()
                    self._on_restored()
                return
            except RelayUnavailable as error:
                _log.warning("%s", error)
            self._give_up_old()
            await asyncio.sleep(delay)

    def _give_up_old(self) -> None:
        """Frames wait for Redis as long as callers can be left without word, not longer."""
        oldest = time.monotonic() - self._limits.relay_timeout
        while self._queued and self._queued[0].since < oldest:
            pending = self._queued.popleft()
            if pending.on_outcome is not None:
                pending.on_outcome(Outcome.UNAVAILABLE)

    async def _open_publisher(self) -> None:
        link = await open_link(
            self._url, f"hypha-{self._node}-publish", self._on_published, self._publisher_lost
        )
        # Its answer comes first and is nobody's: _written begins with a place for it.
        self._written.append(_Pending((), None, 0.0))
        link.send([("SCRIPT", "LOAD", self._script)])
        self._publisher = link
        self._flush()

    def _publisher_lost(self) -> None:
        """What was written and not answered may have been delivered, or may still be.

        So its senders are told only when Redis can no longer be working on it.
        """
        self._publisher = None
        unanswered, self._written = self._written, deque()
        loop = asyncio.get_running_loop()
        for pending in unanswered:
            if pending.on_outcome is not None:
                loop.call_later(self._limits.relay_timeout, pending.on_outcome, Outcome.UNAVAILABLE)
        self._lost.set()

    async def _open_subscriber(self) -> None:
        link = await open_link(
            self._url, f"hypha-{self._node}-subscribe", self._on_push, self._subscriber_lost
        )
        self._subscriber = link
        channels = [*self._own_channels, *self._channels]
        for start in range(0, len(channels), SUBSCRIBE_BATCH):
            await self._subscribe(channels[start : start + SUBSCRIBE_BATCH])
        self.last_probe = time.monotonic()

    def _subscriber_lost(self) -> None:
        self._subscriber = None
        for ended in self._ends.values():
            if not ended.done():
                ended.set_result(None)
        self._ends.clear()
        self._lost.set()


def _retry_delays() -> Iterator[float]:
    yield from _FIRST_DELAYS
    while True:
        yield 1.0
