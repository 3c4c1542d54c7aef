"""Stand-ins for what would need Redis or a network; each as small as its contract allows."""

import asyncio
from collections.abc import Callable
from typing import Any

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.protocol.envelope import is_frame
from hypha_cluster.relay.bus import OnNotTaken, Outcome, Receivers
from hypha_cluster.relay.publisher import Limits
from hypha_cluster.relay.sockets import Postbox
from hypha_cluster.relay.tail import Tail

LIMITS = Limits(mailbox_size=1_000_000, mailbox_frames=1_000, mail_lifetime=60.0)


class FakeClock:
    """A time that only passes when somebody sleeps by it."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


class FakeSocket:
    """A network that takes nothing until it is told to."""

    def __init__(self, *, stuck: bool = False) -> None:
        self.sent: list[bytes] = []
        self.stuck = stuck
        self.taken = 0
        self.closed: list[Any] = []
        self.is_paused = False
        self.postbox: Postbox | None = None
        self.tail: Tail | None = None

    def send(self, frame: bytes) -> None:
        if not self.closed:
            self.sent.append(frame)

    @property
    def buffered(self) -> int:
        return sum(map(len, self.sent)) - self.taken if self.stuck else 0

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    def close(self, code: int, reason: str = "") -> None:
        self.closed.append(code)

    def abort(self) -> None:
        self.closed.append("aborted")


class MemoryBus:
    """The bus of some nodes, and the mailboxes of their clients, in one process.

    It keeps the contract of tests/integration/test_bus.py. What is published is taken in the next
    turn of the event loop.
    """

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.limits = limits
        self.nodes: dict[str, MemoryListener] = {}
        self.known: set[str] = set()  # addresses that have a record, so that there is a mailbox
        self.away: set[str] = set()  # those of them that were suspended too long ago for calls
        self.mail: dict[str, list[bytes]] = {}
        self.is_away = False
        self._queue: list[Callable[[], None]] = []

    def put(self, work: Callable[[], None]) -> None:
        if not self._queue:
            asyncio.get_running_loop().call_soon(self._flush)
        self._queue.append(work)

    def _flush(self) -> None:
        queue, self._queue = self._queue, []
        for work in queue:
            work()

    async def settled(self) -> None:
        """Return when all that was published before has been taken."""
        done = asyncio.get_running_loop().create_future()
        self.put(lambda: done.set_result(None))
        await done

    def deliver_or_mail(
        self, address: str, frame: bytes, *, limits: Limits, is_call: bool = False
    ) -> Outcome | None:
        """What becomes of a frame; None when it is taken."""
        if self.is_away:
            return Outcome.UNAVAILABLE
        takers = [node for node in self.nodes.values() if node.takes(address)]
        for node in takers:
            node.hear(address, frame)
        if takers:
            return None
        if address not in self.known:
            return Outcome.NOBODY
        if is_call and address in self.away:
            return Outcome.AWAY
        box = self.mail.setdefault(address, [])
        size = sum(map(len, box)) + len(frame)
        if len(box) >= limits.mailbox_frames or size > limits.mailbox_size:
            return Outcome.MAILBOX_FULL
        box.append(frame)
        return Outcome.MAILED


class MemoryPublisher:
    """What one node publishes."""

    def __init__(self, bus: MemoryBus, limits: Limits | None = None) -> None:
        self._bus = bus
        self.limits = limits or bus.limits
        self.is_recovering = False
        self.published: list[tuple[str, bytes]] = []

    def deliver_or_mail(
        self,
        address: str,
        frame: bytes,
        on_not_taken: OnNotTaken | None = None,
        *,
        is_call: bool = False,
        may_mail: bool = True,
    ) -> None:
        limits = self.limits if may_mail else Limits(0, 0, 0.0)
        self.published.append((address, frame))

        def work() -> None:
            outcome = self._bus.deliver_or_mail(address, frame, limits=limits, is_call=is_call)
            if outcome is not None and on_not_taken is not None:
                on_not_taken(outcome)

        self._bus.put(work)

    def publish_to_node(
        self, node: str, frame: bytes, on_not_taken: OnNotTaken | None = None
    ) -> None:
        def work() -> None:
            listener = self._bus.nodes.get(node)
            if listener is not None:
                listener.hear_own(frame)
            elif on_not_taken is not None:
                on_not_taken(Outcome.NOBODY)

        self._bus.put(work)

    def announce(self, event: bytes) -> None:
        def work() -> None:
            for listener in list(self._bus.nodes.values()):
                listener.receivers.event(event)

        self._bus.put(work)


class _Ear:
    """What came for an address while it had to wait; None when it is handed on at once."""

    def __init__(self) -> None:
        self.kept: list[bytes] | None = None
        self.is_left = False
        self.catching_up = asyncio.Lock()


class MemoryListener:
    """What one node hears."""

    def __init__(self, bus: MemoryBus, node: str, receivers: Receivers) -> None:
        self.receivers = receivers
        self._bus = bus
        bus.nodes[node] = self
        self._ears: dict[str, _Ear] = {}
        self._is_deaf = False

    def takes(self, address: str) -> bool:
        return address in self._ears and not self._is_deaf

    def hear(self, address: str, frame: bytes) -> None:
        kept = self._ears[address].kept
        if kept is None:
            self.receivers.frame(address, frame)
        else:
            kept.append(frame)

    def hear_own(self, data: bytes) -> None:
        if is_frame(data):
            self.receivers.own(data)
        else:
            self.receivers.event(data)

    async def join(self, address: str) -> None:
        await self._bus.settled()
        self._ears[address] = _Ear()

    async def leave(self, address: str) -> list[bytes]:
        ear = self._ears.get(address)
        if ear is None:
            return []
        ear.is_left, ear.kept = True, ear.kept or []
        await self._bus.settled()
        del self._ears[address]
        async with ear.catching_up:
            return ear.kept

    async def echoed(self, address: str) -> None:
        await self._bus.settled()

    # A connection that breaks.

    def lose(self) -> None:
        """Hear nothing any more."""
        self._is_deaf = True

    async def hear_again(self) -> None:
        """Hear again; what was missed comes first."""
        self._is_deaf = False
        for ear in self._ears.values():
            ear.kept = ear.kept or []
        await asyncio.gather(*(self._catch_up(*each) for each in self._ears.items()))

    async def _catch_up(self, address: str, ear: _Ear) -> None:
        async with ear.catching_up:
            try:
                mail = await self.receivers.missed(address)
            except RedisUnavailable:
                mail = []
            frames, ear.kept = [*mail, *(ear.kept or [])], None
            if ear.is_left:
                ear.kept = frames
                return
            for frame in frames:
                self.receivers.frame(address, frame)
