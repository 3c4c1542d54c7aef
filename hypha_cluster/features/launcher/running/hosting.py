"""One instance on this runner: from its claim to its end, and what comes of it then.

The lease is the fence. A runner that has not renewed it in time closes the page before another
runner may open one; and a page comes in only with a ticket of its own epoch.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum, auto
from functools import partial
from typing import Any, Final, NamedTuple, NoReturn, TypeVar
from urllib.parse import quote, urlencode

from hypha_cluster.errors import ClientNotFound, NotFound, RedisUnavailable
from hypha_cluster.features.launcher.manifest import INDEX
from hypha_cluster.features.launcher.pages import TICKET
from hypha_cluster.features.launcher.running.bounds import Bounds, OverLimit, Watch
from hypha_cluster.features.launcher.running.browser import Assignment, Browser, PageGone
from hypha_cluster.features.launcher.running.logbook import Logbook
from hypha_cluster.protocol.limits import APP_START_TIME
from hypha_cluster.registry.apps import Apps
from hypha_cluster.registry.instance import HELD, Instance, State, files_ticket
from hypha_cluster.registry.instance_logs import InstanceLogs
from hypha_cluster.registry.instances import LEASE, REMEMBERED, Instances
from hypha_cluster.registry.services import Provider, Services

_log = logging.getLogger(__name__)

T = TypeVar("T")

RENEWING: Final = 2.0  # seconds
_MARGIN: Final = 2.0  # seconds before the end of a lease, in which its page is closed
_AGAIN: Final = 0.3  # seconds before another attempt while Redis is away
_LOOKING: Final = 0.2  # seconds between two looks whether a page is ready
_WATCHING: Final = 1.0  # seconds between two looks whether its client is still there
_LONGEST_BACKOFF: Final = 60.0  # seconds
_MANY: Final = 10  # restarts …
_WINDOW: Final = 600.0  # … within so many seconds, after which an instance has failed


class Phase(Enum):
    """How far this runner is with an instance, by what it has said of it."""

    STARTING = auto()  # its page is opened, and not ready yet
    RUNNING = auto()
    HANDED_OVER = auto()  # its lease is given up; its page stays until the next one is ready


# As what an instance is said to be when its lease is renewed.
_SAID: Final = {Phase.STARTING: State.STARTING, Phase.RUNNING: State.RUNNING}


class Outlook(NamedTuple):
    """What a runner needs of the hub. url: where its pages reach it. bounds: of each instance."""

    url: str
    apps: Apps
    instances: Instances
    logs: InstanceLogs
    services: Services
    bounds: Bounds


class LeaseLost(Exception):
    """Another runner has the instance, or will have it: this one says nothing more about it."""


class ToStop(Exception):
    """Somebody has the instance stopped."""


class ToMove(Exception):
    """This runner stops, and others go on with the instance."""


class HasMoved(Exception):
    """Another runner has the instance by now, as this one has asked for."""


# If there are several, the first of these counts: what this runner must not decide comes first.
_ENDS: Final = (HasMoved, LeaseLost, ToStop, NotFound, OverLimit, PageGone, ToMove)


class Hosting:
    """Runs one instance.

    claimed_at: by the clock of the loop. moving: set when this runner stops.
    """

    def __init__(
        self,
        instance: Instance,
        outlook: Outlook,
        browser: Browser,
        *,
        claimed_at: float,
        moving: asyncio.Event,
    ) -> None:
        self._instance = instance
        self._outlook = outlook
        self._browser = browser
        self._moving = moving
        self._log = Logbook(outlook.logs, instance.address)
        self._claimed_at = claimed_at
        self._phase = Phase.STARTING
        self._changing = asyncio.Lock()  # of the phase, together with what is said of it

    async def run(self) -> None:
        """Run the instance until its end, and note what comes next; its page is closed by then."""
        ends: Sequence[BaseException] = [LeaseLost()]
        try:
            async with asyncio.TaskGroup() as group:
                for work in (self._keep_lease(), self._move(), self._log.run(), self._live()):
                    group.create_task(work)
        except* _ENDS as ended:
            ends = ended.exceptions
        end = min(ends, key=_weight)
        if isinstance(end, OverLimit):
            _log.warning("%s (%s): %s", self._instance.address, self._instance.app_id, end)
            self._log.take("error", str(end))
        await self._log.write()
        with contextlib.suppress(RedisUnavailable):  # else the end of its lease says as much
            await self._conclude(end)

    # The tasks of an instance; each ends with an exception that says why.

    async def _keep_lease(self) -> NoReturn:
        """Renew the lease; ToStop when somebody stops the instance, LeaseLost when too late."""
        loop, renewed_at = asyncio.get_running_loop(), self._claimed_at
        try:
            while True:
                async with asyncio.timeout_at(renewed_at + LEASE - _MARGIN):
                    await asyncio.sleep(RENEWING)
                    renewed_at = await self._renew(loop)
        except TimeoutError:
            raise LeaseLost from None

    async def _renew(self, loop: asyncio.AbstractEventLoop) -> float:
        """Renew the lease; return when that was begun, as the lease is counted from then."""
        while True:
            began = loop.time()
            async with self._changing:
                if self._phase is Phase.HANDED_OVER:
                    return began  # the lease is given up; `_move` says how long the page stays
                try:
                    if await self._change(_SAID[self._phase]):
                        return began
                except RedisUnavailable:
                    await asyncio.sleep(_AGAIN)

    async def _move(self) -> NoReturn:
        """Leave the instance to another runner; the page stays until the other one's is ready."""
        await self._moving.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._outlook.bounds.drain):
                others = await _patiently(self._outlook.instances.runners)
                if others and self._phase is Phase.RUNNING:
                    await self._hand_over()
                    await self._until_taken_over()
        raise HasMoved if self._phase is Phase.HANDED_OVER else ToMove

    async def _hand_over(self) -> None:
        async with self._changing:
            await _patiently(partial(self._give_up, secrets.token_hex(8)))
            self._phase = Phase.HANDED_OVER
        _log.info("%s moves to another runner.", self._instance.address)

    async def _give_up(self, call: str) -> None:
        """Its page may answer what it was asked; but the next one is to be ready in time, too.

        call: the same each time that it is tried.
        """
        seconds = self._outlook.bounds.drain
        if self._instance.timeout > 0:
            seconds = min(seconds, self._instance.timeout / 2)
        moving = str(int(seconds * 1000))
        reason = "Its runner stops."
        given_up = {"reason": reason, "runner": "", "moving": moving}
        await self._change(State.PENDING, due=0, call=call, **given_up)

    async def _until_taken_over(self) -> None:
        """Return when the next page of the instance is ready, or the instance is to stop.

        The hub lets the next page in at once, and cuts this one off; so it never hears two pages.
        """
        while True:
            known = await _patiently(self._look)
            is_waiting = known is not None and known.state in (State.PENDING, State.STARTING)
            if not is_waiting:
                return
            await asyncio.sleep(_LOOKING)

    async def _look(self) -> Instance | None:
        return await self._outlook.instances.find(self._instance.address)

    async def _live(self) -> NoReturn:
        """Open the page, and watch that it gets ready, and stays so."""
        before = await _patiently(self._stamp)
        assignment = await _patiently(self._assignment)
        async with self._browser.open(assignment, self._log) as page:
            watch = Watch(self._outlook.bounds, self._instance.asked)
            seen = asyncio.ensure_future(self._see_through(before))
            over = asyncio.ensure_future(watch.run(page.usage, time.time))
            either: list[asyncio.Future[Any]] = [seen, over, page.gone]
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if page.gone.done():
                    raise PageGone(page.gone.result())
                await (over if over.done() else seen)
            finally:
                for work in (seen, over):
                    work.cancel()
                await asyncio.gather(seen, over, return_exceptions=True)
        raise PageGone("The page is over.")

    async def _assignment(self) -> Assignment:
        """The address of the page, and what it is told."""
        instance, hub = self._instance, self._outlook.url
        app = await self._outlook.apps.get(instance.workspace, instance.app)
        # What others have made of the app since it was started would run as its launcher.
        ticket = files_ticket(instance, instance.version or app.version)
        token = await self._outlook.instances.issue_ticket(instance)
        if token is None:
            raise LeaseLost
        about = {"client_id": instance.client, "workspace": instance.workspace, "server_url": hub}
        address = f"{hub}/apps/{quote(app.id)}/{TICKET}{quote(ticket)}/{INDEX}?{urlencode(about)}"
        return Assignment(address, {**about, "token": token})

    async def _see_through(self, before: str) -> NoReturn:
        """Wait until the page offers its service; then until it does not offer it any more."""
        instance = self._instance
        seconds = instance.timeout if instance.timeout > 0 else APP_START_TIME
        try:
            async with asyncio.timeout(seconds):
                provider = await self._new_offer(before)
        except TimeoutError:
            raise PageGone(self._why_late()) from None
        await self._say_that_it_runs(str(provider.info.get("name") or instance.wait_for))
        _log.info("%s runs the app %s.", instance.address, instance.app_id)
        await self._watch()

    async def _say_that_it_runs(self, name: str) -> None:
        async def say() -> bool:
            return await self._change(
                State.RUNNING, service=name, has_run="1", reason="", moving=""
            )

        async with self._changing:
            self._phase = Phase.RUNNING
            await _patiently(say)

    async def _new_offer(self, before: str) -> Provider:
        while True:
            provider = await _patiently(self._online)
            if provider is not None and _stamp(provider) != before:
                return provider
            await asyncio.sleep(_LOOKING)

    async def _watch(self) -> NoReturn:
        while True:
            await asyncio.sleep(_WATCHING)
            with contextlib.suppress(RedisUnavailable):
                await self._offered()

    def _why_late(self) -> str:
        if self._log.last_error:
            return f"Timeout; the last error in its log is: {self._log.last_error}"
        return f"Timeout: the page does not offer the service {self._instance.wait_for!r}."

    async def _stamp(self) -> str:
        """The stamp of the service of the page before this one: the registry may still have it."""
        with contextlib.suppress(PageGone):
            if provider := await self._offered():
                return _stamp(provider)
        return ""

    async def _online(self) -> Provider | None:
        with contextlib.suppress(PageGone):
            provider = await self._offered()
            return provider if provider is not None and provider.online else None
        return None

    async def _offered(self) -> Provider | None:
        """What the client of this instance offers; PageGone when there is no such client."""
        instance = self._instance
        try:
            return await self._outlook.services.provider(instance.address, instance.wait_for)
        except ClientNotFound:
            raise PageGone("The page has left the hub.") from None

    # How it ends.

    async def _change(
        self, state: State, *, due: float = LEASE, call: str = "", **fields: str
    ) -> bool:
        """Change the instance, if it is still this runner's; ToStop or LeaseLost if it is not."""
        instance = self._instance
        changed = await self._outlook.instances.change(
            instance.address, HELD, state, due=due, epoch=instance.epoch, call=call, **fields
        )
        if changed.is_done:
            return True
        if changed.epoch == instance.epoch and changed.state is State.STOPPING:
            raise ToStop
        raise LeaseLost

    async def _conclude(self, end: BaseException) -> None:
        address = self._instance.address
        if isinstance(end, HasMoved):
            return
        if isinstance(end, LeaseLost):
            _log.warning("The lease of %s is lost; its page is closed.", address)
            return
        try:
            if isinstance(end, ToMove):
                await self._change(State.PENDING, due=0, reason="Its runner stops.", runner="")
            elif not isinstance(end, ToStop):
                await self._crashed(str(end), for_good=isinstance(end, NotFound | OverLimit))
                return
        except (ToStop, LeaseLost):
            pass
        await self._stop()

    async def _stop(self) -> None:
        """Say that it has stopped, as somebody wanted."""
        instances, instance = self._outlook.instances, self._instance
        current = await instances.find(instance.address)
        if current is None or current.state is not State.STOPPING:
            return
        await instances.change(
            instance.address,
            frozenset((State.STOPPING,)),
            current.then,
            due=REMEMBERED,
            epoch=instance.epoch,
            runner="",
        )

    async def _crashed(self, reason: str, *, for_good: bool) -> None:
        """Start it again in a moment, unless it never ran, or has crashed again and again."""
        instance, now = self._instance, time.time()
        _log.info("The page of %s (%s) has ended.", instance.address, instance.app_id)
        has_run = instance.has_run or self._phase is not Phase.STARTING
        known = await self._outlook.instances.find(instance.address) or instance
        many, since = known.restarts, known.restarted_since
        if now - since > _WINDOW:
            many, since = 0, now
        if for_good or not has_run or many >= _MANY:
            why = reason if many < _MANY else f"It has crashed {many} times in a row: {reason}"
            await self._change(State.FAILED, due=REMEMBERED, reason=why, runner="")
            return
        await self._change(
            State.BACKOFF,
            due=min(_LONGEST_BACKOFF, 2.0**many),
            reason=reason,
            runner="",
            restarts=str(many + 1),
            restarted_since=str(since),
        )


def _stamp(provider: Provider) -> str:
    return str(provider.info.get("stamp") or "")


async def _patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Try until Redis is there; the lease says until when."""
    while True:
        try:
            return await work()
        except RedisUnavailable:
            await asyncio.sleep(_AGAIN)


def _weight(end: BaseException) -> int:
    """The place of an end in the order in which they count."""
    return next(place for place, kind in enumerate(_ENDS) if isinstance(end, kind))
