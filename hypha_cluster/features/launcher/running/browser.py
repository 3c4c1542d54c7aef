"""The browser of a runner: Chromium, with a context for each page, apart from all others."""

import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import shlex
import shutil
import sys
import time
from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple, Self

from hypha_cluster.errors import StartupError
from hypha_cluster.features.launcher.running.egress import Egress
from hypha_cluster.features.launcher.running.logbook import Logbook, masked
from hypha_cluster.features.launcher.running.usage import Usage
from hypha_cluster.supervision import Supervisor, Tasks, outcome

_log = logging.getLogger(__name__)

# The names that distributions give it; the first that is there is used.
_PROGRAMS: Final = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
)
_FLAGS: Final = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",  # past the proxy, as WebRTC by UDP
    "--disable-sync",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--no-first-run",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
)
_LOADING: Final = 30.0  # seconds for a page
_CLOSING: Final = 5.0  # seconds
_LOOKING: Final = 60.0  # seconds, after which a page may have frames in other processes
_TRACING: Final = 10.0  # seconds
# Tells the page of an app who it is; nobody else on the network sees it.
_TOLD: Final = """(() => {{
  if (window !== window.top || !location.href.startsWith({prefix})) return;
  window.hyphaApp = {about};
}})();"""


class PageGone(Exception):
    """A page has ended, or cannot begin; its text says why."""


class Assignment(NamedTuple):
    """A page to open. about: what the page is told, with its ticket."""

    url: str
    about: dict[str, str]


class Processes:
    """The processes that the frames of one page run in.

    Chromium tells them when it begins to trace a page; it traces one page after the other.
    """

    def __init__(self, tab: Any, tracing: asyncio.Lock) -> None:
        self._tab = tab
        self._tracing = tracing
        self._found: set[int] = set()
        self._looked_at = -_LOOKING

    async def find(self) -> set[int]:
        """The processes, as of a moment ago; none when the browser does not tell them."""
        from playwright.async_api import Error

        if time.monotonic() - self._looked_at < _LOOKING:
            return self._found
        self._looked_at = time.monotonic()
        try:
            async with self._tracing, asyncio.timeout(_TRACING):
                session = await self._tab.context.new_cdp_session(self._tab)
                try:
                    self._found = await _trace(session)
                finally:
                    await session.detach()
        except (Error, TimeoutError) as error:
            _log.info("The browser does not say where a page is: %s", error)
        return self._found


async def _trace(session: Any) -> set[int]:
    frames: list[dict[str, Any]] = []
    over = asyncio.get_running_loop().create_future()

    def take(event: dict[str, Any]) -> None:
        for each in event["value"]:
            if each.get("name") == "TracingStartedInBrowser":
                frames.extend(each["args"]["data"]["frames"])

    session.on("Tracing.dataCollected", take)
    session.on("Tracing.tracingComplete", lambda _: over.set_result(None))
    categories = {"includedCategories": ["disabled-by-default-devtools.timeline"]}
    await session.send("Tracing.start", {"traceConfig": categories})
    await session.send("Tracing.end")
    await over
    return {frame["processId"] for frame in frames if "processId" in frame}


class Page:
    """One page. gone: done when it has ended by itself, with the reason."""

    def __init__(self, tab: Any, log: Logbook, processes: Processes, tasks: Tasks) -> None:
        self.gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._tab = tab
        self._log = log
        self._processes = processes
        self._tasks = tasks
        self._has_loaded = False
        self._watch(tab)

    async def usage(self) -> Usage:
        """What the processes of this page use, and those of the frames in it."""
        return Usage.of(await self._processes.find())

    def end(self, reason: str) -> None:
        if not self.gone.done():
            self.gone.set_result(masked(reason))

    def _watch(self, page: Any) -> None:
        page.on("console", lambda message: self._log.take(message.type, message.text))
        page.on("pageerror", lambda error: self._log.take("error", _text_of(error)))
        page.on("crash", lambda _: self.end("The page has crashed; it may have run out of memory."))
        page.on("close", lambda _: self.end("The page has closed itself."))
        page.on("dialog", lambda dialog: self._tasks.spawn("dialog", _dismiss(dialog)))
        page.on("framenavigated", self._navigated)

    def _navigated(self, frame: Any) -> None:
        if frame == self._tab.main_frame and self._has_loaded:
            self.end(f"The page has gone elsewhere: {frame.url[:200]}")

    async def load(self, url: str) -> None:
        from playwright.async_api import Error

        try:
            response = await self._tab.goto(url, timeout=_LOADING * 1000, wait_until="load")
        except Error as error:
            raise PageGone(f"The page cannot be loaded: {masked(error.message)[:500]}") from None
        if response is None or not response.ok:
            status = response.status if response else "nothing"
            raise PageGone(f"The page cannot be loaded: the hub answers {status}.")
        self._has_loaded = True


class Browser:
    """A context, in which the browser is up; it is started anew when it has crashed."""

    def __init__(
        self,
        program: str,
        egress: Egress,
        supervisor: Supervisor,
        *,
        memory: int,
        sandboxed: bool,
    ) -> None:
        self._program = program
        self._egress = egress
        self._tasks = Tasks(supervisor)
        self._tracing = asyncio.Lock()
        self._memory = memory
        self._sandboxed = sandboxed
        self._starting = asyncio.Lock()
        self._browser: Any = None
        self._driver: Any = None

    async def __aenter__(self) -> Self:
        from playwright.async_api import async_playwright

        self._driver = await async_playwright().start()
        try:
            await self._up()
        except BaseException:
            await self._driver.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.stop()
        await outcome(asyncio.wait_for(self._browser.close(), _CLOSING))
        await outcome(self._driver.stop())

    async def _up(self) -> Any:
        from playwright.async_api import Error

        async with self._starting:
            if self._browser is not None and self._browser.is_connected():
                return self._browser
            flags = [*_FLAGS, f"--js-flags=--max-old-space-size={self._memory}"]
            try:
                self._browser = await self._driver.chromium.launch(
                    executable_path=self._program, args=flags, chromium_sandbox=self._sandboxed
                )
            except Error as error:
                raise StartupError(_why_not(self._program, error.message)) from None
            return self._browser

    @contextlib.asynccontextmanager
    async def open(self, assignment: Assignment, log: Logbook) -> AsyncIterator[Page]:
        """Meanwhile a page is open; PageGone when it cannot be loaded."""
        from playwright.async_api import Error

        async with self._egress.door(log.take) as proxy:
            try:
                browser = await self._up()
                context = await browser.new_context(
                    proxy={"server": proxy, "bypass": "<-loopback>"}, accept_downloads=False
                )
            except (Error, StartupError) as error:
                raise PageGone(f"The browser cannot open a page: {error}") from None
            try:
                yield await self._load(context, assignment, log)
            finally:
                # The browser closes a page that is busy for ever together with its process.
                closing = self._tasks.spawn("close a page", _close(context))
                await asyncio.wait([closing], timeout=_CLOSING)

    async def _load(self, context: Any, assignment: Assignment, log: Logbook) -> Page:
        """A tab with the page in it."""
        from playwright.async_api import Error

        prefix = json.dumps(assignment.url.partition("?")[0])
        script = _TOLD.format(prefix=prefix, about=json.dumps(assignment.about))
        try:
            await context.add_init_script(script)
            tab = await context.new_page()
            page = Page(tab, log, Processes(tab, self._tracing), self._tasks)
            await context.expose_binding(
                "hyphaAppFailed", lambda _, text: page.end(str(text)[:8000])
            )
        except Error as error:
            raise PageGone(f"The browser cannot open a page: {error.message}") from None
        await page.load(assignment.url)
        return page


async def _dismiss(dialog: Any) -> None:
    from playwright.async_api import Error

    with contextlib.suppress(Error):  # its page has closed meanwhile
        await dialog.dismiss()


async def _close(context: Any) -> None:
    from playwright.async_api import Error

    with contextlib.suppress(Error):  # the browser has crashed, and its pages with it
        await context.close()


def find_browser(named: str) -> str:
    """The program of the browser; StartupError when there is none, or nothing to drive it."""
    if importlib.util.find_spec("playwright") is None:
        python = shlex.quote(sys.executable)  # no other environment would do
        raise StartupError(
            f"server apps need a package: {python} -m pip install 'hypha-cluster[server-apps]'"
        )
    if named:
        if not os.access(named, os.X_OK):
            raise StartupError(f"app_browser: {named} is no program")
        return named
    for name in _PROGRAMS:
        if found := shutil.which(name):
            return found
    raise StartupError(
        "server apps need a browser: install Chromium (apt-get install chromium), or name its "
        "program with --app-browser"
    )


def check_sandbox(*, is_off: bool) -> None:
    """StartupError where the browser would not start with its sandbox."""
    if os.geteuid() == 0 and not is_off:
        raise StartupError(
            "the browser of server apps has no sandbox as root: run the hub as another user, or "
            "with --in-docker, where a container takes the place of the sandbox"
        )


def _text_of(error: Any) -> str:
    return str(getattr(error, "stack", "") or error)


def _why_not(program: str, message: str) -> str:
    if "sandbox" in message.lower():
        return (
            f"{program} cannot use its sandbox here, as in most containers, or as root; "
            "--in-docker runs it without"
        )
    return f"{program} cannot be started: {message.splitlines()[0]}"
