"""Sends frames to other nodes: gathered per turn of the event loop, and written in one go.

One script (registry/deliver.lua) publishes a frame, or puts it into the mailbox of a suspended
client; its reply says what became of the frame.
"""

import logging
import time
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.links.client import script_hash
from hypha_cluster.links.commands import Commands
from hypha_cluster.links.recovery import Recovery
from hypha_cluster.links.servers import Servers
from hypha_cluster.links.shard import Request, unavailable
from hypha_cluster.metrics import RedisMeter
from hypha_cluster.protocol.limits import KNOWN_TARGET, KNOWN_TARGETS, UNPUBLISHED
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.scripts import read_script
from hypha_cluster.relay.bus import OnNotTaken, Outcome

_log = logging.getLogger(__name__)


class Limits(NamedTuple):
    """How much a mailbox takes, in bytes and in frames, and for how many seconds."""

    mailbox_size: int
    mailbox_frames: int
    mail_lifetime: float


class _Target(NamedTuple):
    """Where frames for an address are published, and how the command for that begins."""

    channel: bytes
    slot: int
    head: tuple[bytes, ...]


class RedisPublisher:
    """Publishes frames and events, over connections to Redis of its own.

    on_unheard: called with the address of a client that should have heard a call, and did not.
    """

    def __init__(
        self,
        servers: Servers,
        keys: Keys,
        node: str,
        limits: Limits,
        recovery: Recovery,
        on_unheard: Callable[[str], None] = lambda address: None,
    ) -> None:
        self._servers = servers
        self._keys = keys
        self._timeout = servers.access.timeout
        self._recovery = recovery
        self._on_unheard = on_unheard
        script = read_script("deliver")
        self._commands = Commands(
            servers, f"hypha-{node}-publish", [script], recovery, resends=False
        )
        self._sha = script_hash(script).encode()
        self._kept_target = lru_cache(maxsize=KNOWN_TARGETS)(self._find_target)
        lifetime = b"%d" % (limits.mail_lifetime * 1000)
        self._bounds = (b"%d" % limits.mailbox_size, b"%d" % limits.mailbox_frames, lifetime)
        self._no_room = (b"0", b"0", lifetime)
        self._events_channel = keys.events().encode()
        self._unanswered = 0  # bytes of frames that Redis has not answered yet

    async def start(self) -> None:
        """Connect; RedisUnavailable if Redis is not there."""
        await self._commands.start()

    async def aclose(self) -> None:
        """End the connection, after what is queued was written."""
        await self._commands.aclose()

    @property
    def meter(self) -> RedisMeter:
        """What publishing takes."""
        return self._commands.meter

    @property
    def is_recovering(self) -> bool:
        """Whether Redis is back, but perhaps not all that it knew before."""
        return self._recovery.is_recent

    def deliver_or_mail(
        self,
        address: str,
        frame: bytes,
        on_not_taken: OnNotTaken | None = None,
        *,
        is_call: bool = False,
        may_mail: bool = True,
    ) -> None:
        size = len(frame)
        if self._unanswered > UNPUBLISHED:
            _tell(on_not_taken, unavailable())
            return
        self._unanswered += size
        on_reply = partial(self._on_published, size, address if is_call else None, on_not_taken)
        deadline = time.monotonic() + self._timeout
        target = self._target(address)
        bounds = self._bounds if may_mail else self._no_room
        command = (*target.head, frame, *bounds, b"1" if is_call else b"0")
        # While a slot moves, its subscribers are still at the old server: publish there.
        detour = (b"SPUBLISH", target.channel, frame) if self._servers.is_cluster else None
        self._commands.send(Request(target.slot, command, on_reply, deadline, True, detour))

    def publish_to_node(
        self, node: str, frame: bytes, on_not_taken: OnNotTaken | None = None
    ) -> None:
        self.publish(self._keys.node_channel(node), frame, on_not_taken)

    def announce(self, event: bytes) -> None:
        self.publish(self._events_channel, event)

    def publish(
        self, channel: str | bytes, message: bytes, on_not_taken: OnNotTaken | None = None
    ) -> None:
        """Send a message to whoever hears a channel."""
        deadline = time.monotonic() + self._timeout
        command = (b"SPUBLISH", channel, message)
        slot = self._servers.slot(channel)
        self._commands.send(Request(slot, command, partial(_tell, on_not_taken), deadline))

    def _target(self, address: str) -> _Target:
        """What is sent for an address; remembered where that takes little room."""
        if len(address) > KNOWN_TARGET:
            return self._find_target(address)
        return self._kept_target(address)

    def _find_target(self, address: str) -> _Target:
        keys = self._keys
        names = (keys.client(address), keys.mail(address), keys.mail_size(address))
        client, mail, size = (name.encode() for name in names)
        channel = keys.channel(address).encode()
        head = (b"EVALSHA", self._sha, b"3", client, mail, size, channel)
        return _Target(channel, self._servers.slot(channel), head)

    def _on_published(
        self, size: int, target: str | None, on_not_taken: OnNotTaken | None, reply: Any
    ) -> None:
        self._unanswered -= size
        if reply == Outcome.UNHEARD:
            reply = Outcome.MAILED
            if target is not None:
                self._on_unheard(target)
        _tell(on_not_taken, reply)


def _tell(on_not_taken: OnNotTaken | None, reply: Any) -> None:
    """Tell what became of a frame, unless somebody has taken it."""
    if isinstance(reply, Exception):
        if not isinstance(reply, RedisUnavailable):
            _log.error("Redis refused a frame: %s", reply)
        reply = Outcome.UNAVAILABLE
    if reply <= 0 and on_not_taken is not None:
        on_not_taken(Outcome(reply))
