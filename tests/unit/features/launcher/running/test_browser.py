"""What a page may do to its runner, with a browser that is only pretended.

tests/conformance/test_server_apps.py has a real one.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hypha_cluster.errors import StartupError
from hypha_cluster.features.launcher.running import browser as module
from hypha_cluster.features.launcher.running.browser import (
    Assignment,
    Browser,
    PageGone,
    Processes,
    check_sandbox,
    find_browser,
)
from hypha_cluster.features.launcher.running.logbook import Logbook
from hypha_cluster.supervision import Supervisor

playwright = pytest.importorskip("playwright.async_api")
URL = "https://hub.example/apps/ann/adder/~ticket/index.html?client_id=c"
TOLD = Assignment(URL, {"client_id": "c", "token": "secret</script>"})


class Log:
    """What was logged."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str]] = []

    def take(self, kind: str, text: str) -> None:
        self.taken.append((kind, text))


class Tab:
    """A tab of the browser. status: what the hub answers; error: why there is no answer."""

    def __init__(self) -> None:
        self.handlers: defaultdict[str, list[Callable[[Any], object]]] = defaultdict(list)
        self.main_frame = self
        self.url = URL
        self.status: int | None = 200
        self.error = ""

    def on(self, event: str, handler: Callable[[Any], object]) -> None:
        self.handlers[event].append(handler)

    def say(self, event: str, about: Any) -> None:
        for handler in self.handlers[event]:
            handler(about)

    async def goto(self, url: str, **_: object) -> Any:
        if self.error:
            raise playwright.Error(self.error)
        self.say("framenavigated", self)
        return None if self.status is None else Said(ok=self.status == 200, status=self.status)


class Said:
    """Something with these attributes."""

    def __init__(self, **about: Any) -> None:
        self.__dict__.update(about)


class Context:
    """One page's part of the browser."""

    def __init__(self) -> None:
        self.tab = Tab()
        self.scripts: list[str] = []
        self.bindings: dict[str, Callable[..., object]] = {}
        self.is_closed = False
        self.never_closes = False

    async def add_init_script(self, script: str) -> None:
        self.scripts.append(script)

    async def expose_binding(self, name: str, function: Callable[..., object]) -> None:
        self.bindings[name] = function

    async def new_page(self) -> Tab:
        return self.tab

    async def close(self) -> None:
        self.is_closed = True
        if self.never_closes:
            await asyncio.Event().wait()


class Chromium:
    """The program. launches: how often it was started."""

    def __init__(self) -> None:
        self.context = Context()
        self.launches = 0
        self.asked: dict[str, Any] = {}
        self.error = ""
        self.connected = True

    async def launch(self, **asked: Any) -> "Chromium":
        if self.error:
            raise playwright.Error(self.error)
        self.launches += 1
        self.asked = asked
        self.connected = True
        return self

    def is_connected(self) -> bool:
        return self.connected

    async def new_context(self, **asked: Any) -> Context:
        self.asked |= asked
        return self.context

    async def close(self) -> None:
        self.connected = False


class Door:
    """The way to the network that a page has."""

    @asynccontextmanager
    async def door(self, log: object) -> AsyncIterator[str]:
        yield "http://127.0.0.1:1"


@pytest.fixture
def chromium() -> Chromium:
    return Chromium()


@pytest.fixture
async def browser(chromium: Chromium, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Browser]:
    class Driver:
        async def start(self) -> Any:
            return Said(chromium=chromium, stop=self.stop)

        async def stop(self) -> None:
            """It has."""

    monkeypatch.setattr(playwright, "async_playwright", Driver)
    egress: Any = Door()
    async with Browser(
        "/usr/bin/chromium", egress, Supervisor(), memory=64, sandboxed=True
    ) as browser:
        yield browser


async def test_a_page_is_told_who_it_is_and_reaches_only_its_door(
    browser: Browser, chromium: Chromium
) -> None:
    log: Any = Log()
    async with browser.open(TOLD, log) as page:
        assert not page.gone.done()

    (script,) = chromium.context.scripts
    assert '"https://hub.example/apps/ann/adder/~ticket/index.html"' in script
    assert '"client_id": "c"' in script
    assert chromium.asked["proxy"] == {"server": "http://127.0.0.1:1", "bypass": "<-loopback>"}
    assert chromium.asked["chromium_sandbox"] is True
    assert "--js-flags=--max-old-space-size=64" in chromium.asked["args"]
    assert chromium.context.is_closed


async def test_what_a_page_says_is_logged(browser: Browser, chromium: Chromium) -> None:
    log: Any = Log()
    async with browser.open(TOLD, log):
        chromium.context.tab.say("console", Said(type="warning", text="careful"))
        chromium.context.tab.say("pageerror", Said(stack="Error: boom\n at x"))
        chromium.context.tab.say("pageerror", "text alone")

    assert log.taken == [
        ("warning", "careful"),
        ("error", "Error: boom\n at x"),
        ("error", "text alone"),
    ]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ("crash", "The page has crashed; it may have run out of memory."),
        ("close", "The page has closed itself."),
        ("framenavigated", "The page has gone elsewhere: https://evil.example/"),
    ],
)
async def test_a_page_that_ends_by_itself_is_gone_and_says_why(
    browser: Browser, chromium: Chromium, event: str, reason: str
) -> None:
    log: Any = Log()
    async with browser.open(TOLD, log) as page:
        tab = chromium.context.tab
        tab.url = "https://evil.example/"
        tab.say("framenavigated", Said(url="https://a.frame.example/"))  # one within it
        assert not page.gone.done()

        tab.say(event, tab)
        tab.say("crash", tab)  # the first reason counts

        assert page.gone.result() == reason


async def test_a_page_may_say_that_it_has_failed_and_no_secret(
    browser: Browser, chromium: Chromium
) -> None:
    log: Any = Log()
    async with browser.open(TOLD, log) as page:
        chromium.context.bindings["hyphaAppFailed"](None, "no: hypha-app-abcdef " + "x" * 9_000)

        assert page.gone.result().startswith("no: *** x")
        assert len(page.gone.result()) <= 8_000


@pytest.mark.parametrize(
    ("status", "error", "reason"),
    [
        (404, "", "the hub answers 404"),
        (None, "", "the hub answers nothing"),
        (200, "net::ERR_FAILED at https://hub/?token=abc", r"ERR_FAILED .*token=\*\*\*"),
    ],
)
async def test_a_page_that_does_not_load_says_why_and_is_closed(
    browser: Browser, chromium: Chromium, status: int | None, error: str, reason: str
) -> None:
    log: Any = Log()
    chromium.context.tab.status, chromium.context.tab.error = status, error

    with pytest.raises(PageGone, match=reason):
        async with browser.open(TOLD, log):
            pass
    assert chromium.context.is_closed


async def test_nobody_is_asked_by_a_dialog(browser: Browser, chromium: Chromium) -> None:
    log: Any = Log()
    dismissed = asyncio.Event()

    class Dialog:
        async def dismiss(self) -> None:
            dismissed.set()
            raise playwright.Error("its page has closed meanwhile")

    async with browser.open(TOLD, log) as page, asyncio.timeout(20):
        chromium.context.tab.say("dialog", Dialog())
        await dismissed.wait()
        assert not page.gone.done()


async def test_a_browser_that_has_crashed_is_started_anew(
    browser: Browser, chromium: Chromium
) -> None:
    log: Any = Log()
    async with browser.open(TOLD, log):
        pass
    assert chromium.launches == 1
    chromium.connected = False

    async with browser.open(TOLD, log):
        pass

    assert chromium.launches == 2
    chromium.connected, chromium.error = False, "it does not start\nat all"
    with pytest.raises(PageGone, match="cannot be started: it does not start$"):
        async with browser.open(TOLD, log):
            pass


async def test_a_page_that_is_busy_for_ever_holds_nobody_up(
    browser: Browser, chromium: Chromium, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CLOSING", 0.01)
    chromium.context.never_closes = True
    log: Any = Log()

    async with asyncio.timeout(20):
        async with browser.open(TOLD, log):
            pass

    assert chromium.context.is_closed


async def test_a_browser_that_does_not_start_says_what_to_do(
    chromium: Chromium, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Driver:
        stopped = False

        async def start(self) -> Any:
            return Said(chromium=chromium, stop=self.stop)

        async def stop(self) -> None:
            Driver.stopped = True

    monkeypatch.setattr(playwright, "async_playwright", Driver)
    chromium.error = "No usable sandbox!"
    egress: Any = Door()

    with pytest.raises(StartupError, match="--in-docker runs it without"):
        await Browser(
            "/usr/bin/chromium", egress, Supervisor(), memory=64, sandboxed=True
        ).__aenter__()
    assert Driver.stopped


async def test_the_processes_of_a_page_are_those_of_its_frames(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Session:
        def __init__(self) -> None:
            self.handlers: dict[str, Callable[[Any], None]] = {}

        def on(self, event: str, handler: Callable[[Any], None]) -> None:
            self.handlers[event] = handler

        async def send(self, command: str, about: object = None) -> None:
            if command == "Tracing.end":
                data = {"data": {"frames": [{"processId": 7}, {"processId": 8}, {}]}}
                told = [{"name": "other"}, {"name": "TracingStartedInBrowser", "args": data}]
                self.handlers["Tracing.dataCollected"]({"value": told})
                self.handlers["Tracing.tracingComplete"](None)

        async def detach(self) -> None:
            """It has."""

    class Tracing:
        asked = 0

        async def new_cdp_session(self, tab: object) -> Session:
            self.asked += 1
            if self.asked > 1:
                raise playwright.Error("Target closed")
            return Session()

    tracing = Tracing()
    processes = Processes(Said(context=tracing), asyncio.Lock())

    assert await processes.find() == {7, 8}
    assert await processes.find() == {7, 8}  # so lately that nobody is asked
    assert tracing.asked == 1
    monkeypatch.setattr(module, "_LOOKING", 0.0)
    assert await processes.find() == {7, 8}  # the browser does not say, so as they were known
    assert tracing.asked == 2


def test_the_browser_is_the_one_that_is_named_or_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "chromium"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_browser("") == str(program)
    assert find_browser(str(program)) == str(program)
    with pytest.raises(StartupError, match="no-such is no program"):
        find_browser(str(tmp_path / "no-such"))
    program.unlink()
    with pytest.raises(StartupError, match="install Chromium"):
        find_browser("")


def test_without_playwright_a_package_is_named_for_the_environment_of_the_hub(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("sys.executable", "/opt/my hub/bin/python")

    with pytest.raises(StartupError) as caught:
        find_browser("")

    assert str(caught.value).endswith(
        " '/opt/my hub/bin/python' -m pip install 'hypha-cluster[server-apps]'"
    )


def test_root_has_no_sandbox_and_has_to_say_that_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)

    with pytest.raises(StartupError, match="--in-docker"):
        check_sandbox(is_off=False)
    assert check_sandbox(is_off=True) is None  # type: ignore[func-returns-value]
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert check_sandbox(is_off=False) is None  # type: ignore[func-returns-value]


def test_the_log_of_a_page_is_a_logbook() -> None:
    """So the stand-in here takes what a real one does."""
    assert Logbook.take.__annotations__ == Log.take.__annotations__
