"""The commands for one server: written in batches, answered in order, given up in time."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import hiredis

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.links.lasting_link import PING_INTERVAL, LastingLink
from hypha_cluster.links.link import Endpoint
from hypha_cluster.links.servers import Servers
from hypha_cluster.metrics import RedisMeter

TICK: Final = 0.25  # seconds between two looks at what has waited too long
SLEEP: Final = 1.0  # seconds; a look that is later than that shows that this process was frozen

OnReply = Callable[[Any], None]  # takes the reply, or an exception in its place


def unavailable() -> RedisUnavailable:
    return RedisUnavailable("The hub cannot reach its Redis at the moment; try again.")


class Request:
    """A command on its way, for a key in a slot; or for any server, when the slot is -1.

    deadline: the time.monotonic() after which nobody waits for the reply. is_dated: whether that
    time is added as the last argument, in ms of the server's clock. detour: the command to send
    instead while the slot is on its way from one server to another.
    """

    __slots__ = ("command", "deadline", "detour", "is_attempt", "is_dated", "on_reply", "slot")

    def __init__(
        self,
        slot: int,
        command: tuple[Any, ...],
        on_reply: OnReply | None,
        deadline: float,
        is_dated: bool = False,
        detour: tuple[Any, ...] | None = None,
    ) -> None:
        self.slot = slot
        self.command = command
        self.on_reply = on_reply
        self.deadline = deadline
        self.is_dated = is_dated
        self.detour = detour
        self.is_attempt = False  # one of several attempts; errors go to whoever makes them

    def answer(self, reply: Any) -> None:
        """Hand over the reply, once."""
        on_reply, self.on_reply = self.on_reply, None
        if on_reply is not None:
            on_reply(reply)


class Usage(NamedTuple):
    """What all connections of one kind have in common.

    name: of the connections, as Redis shows it. scripts: those that each server is made to know.
    resends: whether a command is sent again when the connection broke before its reply. Else its
    reply is RedisUnavailable at its deadline, from when on the server refuses it by its date.
    """

    name: str
    scripts: Sequence[bytes]
    meter: RedisMeter
    resends: bool


class Shard:
    """One server's queue. on_error(shard, request, error): called when the reply is an error."""

    def __init__(
        self,
        address: Endpoint,
        servers: Servers,
        usage: Usage,
        on_error: "Callable[[Shard, Request, Exception], None]",
        on_opened: Callable[[], None],
    ) -> None:
        self._on_error = on_error
        self._on_opened = on_opened
        self._scripts = usage.scripts
        self._meter = usage.meter
        self._resends = usage.resends
        self._loop = asyncio.get_running_loop()
        self._queued: deque[Request] = deque()
        self._written: deque[Request] = deque()
        self._unanswered: list[Request] = []
        self._flush_is_due = False
        self._is_ready = False
        self._clock = 0.0  # the server's, in ms, when time.monotonic() was 0
        self._pinged_at = 0.0
        self.link = LastingLink(address, servers, usage.name, self)

    @property
    def is_open(self) -> bool:
        """Whether what is sent now is written now."""
        return self._is_ready and self.link.is_open

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way."""
        return not self._written and not self._queued

    @property
    def is_done(self) -> bool:
        """Whether nobody waits for anything any more."""
        return self.is_idle and not self._unanswered

    def send(self, request: Request) -> None:
        self._queued.append(request)
        if not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        self._flush_is_due = False
        if not self._queued or not self._is_ready or not self.link.is_open:
            return
        queued, self._queued = self._queued, deque()
        self._written.extend(queued)
        clock = self._clock
        commands = [
            (*each.command, int(each.deadline * 1000 + clock)) if each.is_dated else each.command
            for each in queued
        ]
        self.link.send(commands)
        self._meter.batches += 1
        self._meter.commands += len(commands)

    def take_back(self) -> list[Request]:
        """The requests that were not written yet; they are the caller's from now on."""
        queued, self._queued = self._queued, deque()
        return list(queued)

    async def answered(self) -> None:
        """Return when everything that was written so far has been answered, or is lost."""
        if self._is_ready:
            done = asyncio.get_running_loop().create_future()
            self.send(_housekeeping(("PING",), done.set_result))
            await asyncio.wait([done])

    def load_scripts(self) -> None:
        """Make the server know the scripts; before whatever is sent from now on."""
        if self._is_ready:
            for command in self._script_loads():
                self.send(_housekeeping(command))

    def _script_loads(self) -> list[tuple[Any, ...]]:
        return [("SCRIPT", "LOAD", script) for script in self._scripts]

    # What the connection says.

    def on_reply(self, reply: Any) -> None:
        request = self._written.popleft()
        if isinstance(reply, hiredis.ReplyError) and request.slot >= 0:
            self._on_error(self, request, reply)
        elif request.on_reply is not None:
            request.on_reply(reply)

    async def on_open(self) -> None:
        ready = asyncio.get_running_loop().create_future()
        first = [
            *(_housekeeping(command) for command in self._script_loads()),
            # Its clock must be known before frames are dated by it.
            _housekeeping(("TIME",), self._on_time),
            _housekeeping(("PING",), ready.set_result),
        ]
        self._written.extend(first)
        self.link.send([request.command for request in first])
        if isinstance(await ready, RedisUnavailable):
            raise unavailable()
        self._is_ready = True
        self.flush()
        self._on_opened()

    def on_lost(self) -> None:
        self._is_ready = False
        # A command without a key is for this connection, and ends with it.
        own = [each for each in (*self._written, *self._queued) if each.slot < 0]
        self._queued = deque(request for request in self._queued if request.slot >= 0)
        lost, self._written = self._written, deque()
        for request in own:
            request.answer(unavailable())
        waiting = [request for request in lost if request.on_reply is not None]
        if self._resends:
            self._queued.extendleft(reversed(waiting))
        else:
            self._unanswered.extend(waiting)

    # What time brings.

    def tick(self, now: float) -> None:
        """Look for what has waited too long."""
        while self._queued and self._queued[0].deadline < now:
            self._queued.popleft().answer(unavailable())
        for request in self._written:
            if request.deadline >= now:
                break
            request.answer(unavailable())
        self._give_up_unanswered(now)
        self.link.drop_if_silent(now)
        if now - self._pinged_at > PING_INTERVAL and self._is_ready:
            self._pinged_at = now
            self.send(_housekeeping(("TIME",), partial(self._on_probe, now)))

    def _give_up_unanswered(self, now: float) -> None:
        if self._unanswered:
            late = [request for request in self._unanswered if request.deadline < now]
            self._unanswered = [each for each in self._unanswered if each.deadline >= now]
            for request in late:
                request.answer(unavailable())

    def give_up(self) -> None:
        """No reply will come any more: tell all who wait."""
        for request in (*self._written, *self._queued, *self._unanswered):
            request.answer(unavailable())

    def _on_probe(self, asked: float, reply: Any) -> None:
        self._on_time(reply)
        self._meter.durations.observe(time.monotonic() - asked)

    def _on_time(self, reply: Any) -> None:
        if isinstance(reply, list):
            server_time = int(reply[0]) * 1000 + int(reply[1]) / 1000
            self._clock = server_time - time.monotonic() * 1000


def _housekeeping(command: tuple[Any, ...], on_reply: OnReply | None = None) -> Request:
    return Request(-1, command, on_reply, float("inf"))
