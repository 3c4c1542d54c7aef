"""Commands for whichever server has the slot of their key, in order, while slots and servers move.

A command that a server sends elsewhere, or asks to be sent again, waits in the lane of its slot;
so do all later ones of that slot, so that none overtakes another.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.links.link import Endpoint
from hypha_cluster.links.recovery import Recovery
from hypha_cluster.links.servers import Servers
from hypha_cluster.links.shard import SLEEP, TICK, Request, Shard, Usage, unavailable
from hypha_cluster.metrics import RedisMeter
from hypha_cluster.supervision import Tasks

_log = logging.getLogger(__name__)

_PAUSE: Final = 0.05  # seconds between two attempts
# Errors that say to try elsewhere, or later.
_PASSING: Final = (
    *("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"),
    *("LOADING", "MASTERDOWN", "BUSY", "READONLY", "NOSCRIPT"),
)
# What a script says when a slot moves away under it.
_HALF_MOVED: Final = "Script attempted to access a non local key"


class _Lane:
    """What waits for one slot: first what a server sent back, then what was sent since."""

    def __init__(self) -> None:
        self.returned: deque[Request] = deque()
        self.waiting: deque[Request] = deque()


class Commands:
    """Sends commands to one server or many.

    name: of the connections, as Redis shows it. scripts: those that each server is made to know.
    recovery: told when a connection was opened again, or to a new server: what Redis knew may be
    lost.
    """

    def __init__(
        self,
        servers: Servers,
        name: str,
        scripts: Sequence[bytes],
        recovery: Recovery,
        *,
        resends: bool,
    ) -> None:
        self.servers = servers
        self.meter = RedisMeter()
        self._recovery = recovery
        self._usage = Usage(name, scripts, self.meter, resends)
        self._shards: dict[Endpoint, Shard] = {}
        self._only: Shard | None = None  # a short cut, when one server has all slots
        self._retired: list[Shard] = []
        self._lanes: dict[int, _Lane] = {}
        self._tasks = Tasks(servers.supervisor)
        self._is_restored = False
        self._clock: asyncio.TimerHandle | None = None
        self._ticked_at = 0.0

    async def start(self) -> None:
        """Connect to all servers; RedisUnavailable if that fails."""
        self._loop = asyncio.get_running_loop()
        await self.servers.start()
        if self._clock is None:
            self._tasks.keep("servers' slots", self._keep_following)
            self._tick()
        await asyncio.gather(*(self._shard(each).link.opened() for each in self.servers.in_use()))
        self._is_restored = True

    async def aclose(self) -> None:
        """Write what is queued, then end."""
        if self._clock is None:
            return
        self._clock.cancel()
        await self._tasks.stop()
        for shard in (*self._shards.values(), *self._retired):
            shard.flush()
            await shard.link.aclose()
            shard.give_up()
        for slot, lane in list(self._lanes.items()):
            self._abandon(slot, lane)

    @property
    def is_open(self) -> bool:
        """Whether there is one server, and a command for it is written at once."""
        return self._only is not None and self._only.is_open

    def ask(self, slot: int, command: tuple[Any, ...]) -> asyncio.Future[Any]:
        """Send a command; the result of the future is its reply, which may be an exception."""
        done: asyncio.Future[Any] = self._loop.create_future()
        asked = time.monotonic()
        deadline = asked + self.servers.access.timeout
        self.send(Request(slot, command, partial(self._answered, done, asked), deadline))
        return done

    def _answered(self, done: asyncio.Future[Any], asked: float, reply: Any) -> None:
        self.meter.durations.observe(time.monotonic() - asked)
        _settle(done, reply)

    def send(self, request: Request) -> None:
        """Send a command; later, its reply is handed over, or RedisUnavailable."""
        lane = self._lanes.get(request.slot) if self._lanes else None
        if lane is not None:
            lane.waiting.append(request)
            return
        if self._only is not None:
            self._only.send(request)
            return
        server = self.servers.server_of(request.slot)
        if server is None:
            self._open_lane(request.slot, None).returned.append(request)
        else:
            self._shard(server).send(request)

    # The servers.

    def _shard(self, address: Endpoint) -> Shard:
        shard = self._shards.get(address)
        if shard is None:
            shard = self._shards[address] = Shard(
                address, self.servers, self._usage, self._on_error, self._on_opened
            )
        return shard

    def _on_opened(self) -> None:
        if self._is_restored:
            self._recovery.restored()

    async def _keep_following(self) -> None:
        while True:
            changed = self.servers.changed
            self._follow()
            await changed.wait()

    def _follow(self) -> None:
        """Slots are elsewhere now: leave servers that have none, take those that are new."""
        in_use = set(self.servers.in_use())
        self._only = None
        for address in self._shards.keys() - in_use:
            shard = self._shards.pop(address)
            self._retired.append(shard)
            self._let_go(shard)
        shards = [self._shard(address) for address in in_use]
        if shards and not self.servers.is_cluster:
            self._only = shards[0]

    def _let_go(self, shard: Shard) -> None:
        """End a connection that is not needed any more, once it has answered what it was sent."""
        if shard.link.is_open and not shard.is_idle:
            return
        for request in shard.take_back():
            self.send(request)
        self._tasks.spawn("link end", shard.link.aclose())
        if shard.is_done:
            self._retired.remove(shard)

    def _tick(self) -> None:
        self._clock = asyncio.get_running_loop().call_later(TICK, self._tick)
        last, now = self._ticked_at, time.monotonic()
        self._ticked_at = now
        if now - last > SLEEP:
            return  # first read the replies that came while this process slept
        for shard in (*self._shards.values(), *self._retired):
            shard.tick(now)
        for shard in list(self._retired):
            self._let_go(shard)

    # Slots that are on the move, and servers that are not ready.

    def _on_error(self, shard: Shard, request: Request, error: Exception) -> None:
        if request.is_attempt or not _is_passing(error):
            request.answer(error)
            return
        if request.on_reply is None:
            return  # given up already
        lane = self._lanes.get(request.slot)
        if lane is None:
            lane = self._open_lane(request.slot, shard)
            self._heed(shard, request.slot, error)
        lane.returned.append(request)

    def _open_lane(self, slot: int, shard: Shard | None) -> _Lane:
        lane = self._lanes[slot] = _Lane()
        self._tasks.spawn(
            "lane", self._clear(slot, lane, shard), lambda error: self._abandon(slot, lane)
        )
        return lane

    async def _clear(self, slot: int, lane: _Lane, shard: Shard | None) -> None:
        """Settle what is in a lane one by one, until one goes through by the ordinary way."""
        if shard is not None:
            await shard.answered()  # what was written earlier comes back earlier
        lane.returned.extend(lane.waiting)
        queue = lane.waiting = lane.returned
        while queue and not await self._settle(queue[0]):
            queue.popleft()
        if queue:
            queue.popleft()
        del self._lanes[slot]
        for request in queue:
            self.send(request)

    def _abandon(self, slot: int, lane: _Lane) -> None:
        """Give up what is in a lane that could not be cleared; else it would wait for ever."""
        self._lanes.pop(slot, None)
        for request in (*lane.returned, *lane.waiting):
            request.answer(unavailable())

    async def _settle(self, request: Request) -> bool:
        """Try until it is done or late; say whether it went by the ordinary way."""
        while time.monotonic() < request.deadline:
            server = self.servers.server_of(request.slot)
            if server is not None:
                shard = self._shard(server)
                reply = await self._attempt(shard, request, request.command)
                if not _is_passing(reply):
                    request.answer(reply)
                    return True
                if await self._detour(shard, request, reply):
                    return False
                self._heed(shard, request.slot, reply)
            else:
                self.servers.doubt()
            await asyncio.sleep(_PAUSE)
        request.answer(unavailable())
        return False

    async def _attempt(self, shard: Shard, request: Request, *commands: tuple[Any, ...]) -> Any:
        """Send commands; return the reply to the last one."""
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        for command in commands:
            on_reply = partial(_settle, done) if command is commands[-1] else _ignore
            attempt = Request(request.slot, command, on_reply, request.deadline)
            attempt.is_dated = request.is_dated and command is request.command
            attempt.is_attempt = True
            shard.send(attempt)
        return await done

    async def _detour(self, shard: Shard, request: Request, error: Exception) -> bool:
        """Try another way while a slot moves; say whether that has answered the request."""
        kind, _, where = str(error).partition(" ")
        if kind not in ("ASK", "TRYAGAIN") and _HALF_MOVED not in str(error):
            return False
        if request.detour is not None:
            reply = await self._attempt(shard, request, request.detour)
            if _is_passing(reply) or reply == 0:
                return False  # any other reply: somebody has the frame, or may have it
        elif kind == "ASK":
            other = self._shard(_address(where, shard))
            reply = await self._attempt(other, request, ("ASKING",), request.command)
            if _is_passing(reply):
                return False
        else:
            return False
        request.answer(reply)
        return True

    def _heed(self, shard: Shard, slot: int, error: Exception) -> None:
        """Do what an error says is needed."""
        kind, _, where = str(error).partition(" ")
        if kind == "MOVED":
            self.servers.moved(slot, _address(where, shard))
        elif kind == "NOSCRIPT":
            shard.load_scripts()
        elif kind == "READONLY":
            _log.warning("Redis at %s is no master any more.", shard.link.address)
            shard.link.drop()
        elif kind != "ASK":
            self.servers.doubt()


def _settle(future: asyncio.Future[Any], reply: Any) -> None:
    if not future.done():
        future.set_result(reply)


def _ignore(reply: Any) -> None:
    """Nobody wants to know."""


def _is_passing(reply: Any) -> bool:
    """Whether a reply is an error that says to try elsewhere, or later."""
    if not isinstance(reply, Exception) or isinstance(reply, RedisUnavailable):
        return False
    text = str(reply)
    kind = text.partition(" ")[0]
    return kind in _PASSING or _HALF_MOVED in text


def _address(where: str, shard: Shard) -> Endpoint:
    """The address in `<slot> <host>:<port>`; without a host it is the one that was asked."""
    host, _, port = where.rpartition(" ")[2].rpartition(":")
    return Endpoint(host or shard.link.address.host, int(port))
