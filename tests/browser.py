"""A real browser for the tests, and the JavaScript clients that it runs.

`python -m tests.browser` installs what is missing. Test modules ask for the fixtures with
`pytest_plugins = ["tests.browser"]`.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Playwright, async_playwright

from tests.browser_client import SSE_RELEASES, BrowserClient, Connection, LoopThread
from tests.browser_visit import Visit
from tests.gateways import Hub

RELEASES = ("0.5.9", "0.5.44", "0.5.59")
AXE = "axe-core@4.14.1"  # finds what people with other senses and other hands trip over
CHROMIUM = Path("/usr/bin/chromium")
SCRIPT = "hypha-rpc-websocket.min.js"
SSE_SCRIPT = "hypha-rpc-sse.min.js"  # of releases since 0.5.44
PAGE = "<!doctype html><meta charset=utf-8><link rel=icon href=data:,><script src={}></script>"
FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]


class Missing(Exception):
    """Something that the browser tests need is not here and cannot be installed."""


class Chromium:
    """One running browser, driven from an event loop in a thread of its own.

    So it outlives the loop that pytest makes for each test.
    """

    def __init__(self, site: str) -> None:
        self.site = site
        self.loop = LoopThread()
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None

    def start(self) -> None:
        self.loop.start()
        self.loop.wait(self._launch())

    async def open(self, release: str, script: str = SCRIPT) -> BrowserClient:
        """A new page, in a profile of its own, with one release of the client loaded."""
        return await self.loop.run(self._open(release, script))

    @staticmethod
    def package(release: str) -> Path:
        """Where the npm package of a release is."""
        return _packages() / release / "package"

    async def new_page(self) -> Page:
        """An empty page; to be asked for in the browser's own loop."""
        assert self._browser
        return await self._browser.new_page()

    def stop(self) -> None:
        self.loop.wait(self._close())
        self.loop.stop()

    async def _launch(self) -> None:
        self._playwright = await async_playwright().start()
        flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else FLAGS
        self._browser = await self._playwright.chromium.launch(
            executable_path=CHROMIUM, headless=True, args=flags
        )

    async def _open(self, release: str, script: str) -> BrowserClient:
        assert self._browser
        page = await self._browser.new_page()
        client = BrowserClient(self.loop, page, release)
        await page.goto(f"{self.site}/blank.html?{release}/package/dist/{script}")
        await client.prepare()
        return client

    async def visit(self, site: str, **options: Any) -> "Visit":
        """A new window in a profile of its own, which reaches one host only."""
        return await self.loop.run(self._visit(site, options))

    async def _visit(self, site: str, options: dict[str, Any]) -> "Visit":
        assert self._browser
        context = await self._browser.new_context(**options)
        return await Visit.open(self.loop, context, site)

    async def _close(self) -> None:
        if self._browser:
            await self._browser.close()
        if self._playwright:
            await self._playwright.stop()


def install() -> None:
    """Install the browser and every release of the client; say what stands in the way."""
    install_chromium()
    for release in sorted({*RELEASES, *SSE_RELEASES}):
        _install_package(f"imjoy-rpc@{release}", release)
    _install_package(AXE, AXE)


def install_chromium() -> None:
    if CHROMIUM.exists():
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Missing(f"{CHROMIUM} is missing; `apt-get install chromium` as root installs it")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    _command("apt-get", "update", "-qq", env=quiet)
    _command("apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium", env=quiet)


def axe() -> str:
    """The script that looks at a page."""
    return (_packages() / AXE / "package" / "axe.min.js").read_text(encoding="utf-8")


def _install_package(package: str, name: str) -> None:
    folder = _packages() / name
    if folder.exists():
        return
    if not shutil.which("npm"):
        raise Missing(f"npm is missing: it fetches the package {package}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_name(f"{name}.lock")):
        if not folder.exists():
            _fetch_package(package, folder)


def _fetch_package(package: str, folder: Path) -> None:
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    _command("npm", "pack", "--silent", package, cwd=unfinished)
    (archive,) = unfinished.glob("*.tgz")
    with tarfile.open(archive) as content:
        content.extractall(unfinished, filter="data")
    archive.unlink()
    unfinished.rename(folder)


def _packages() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "hypha-cluster" / "npm"


def _command(*command: str, **options: Any) -> None:
    try:
        subprocess.run(
            command, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, **options
        )
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip()
        raise Missing(f"`{' '.join(command)}` failed: {reason}") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class _Pages(SimpleHTTPRequestHandler):
    """Serves the packages and one blank page, and logs nothing."""

    def do_GET(self) -> None:
        path, _, script = self.path.partition("?")
        if path != "/blank.html":
            return super().do_GET()
        page = PAGE.format(script).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def _site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Pages, directory=_packages()))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    try:
        install()
    except Missing as missing:
        pytest.skip(str(missing))
    with _site() as site:
        browser = Chromium(site)
        browser.start()
        yield browser
        browser.stop()


@pytest.fixture(scope="module")
def pages(chromium: Chromium) -> Iterator[dict[str, BrowserClient]]:
    """The pages that the tests of a module share, one for each release."""
    opened: dict[str, BrowserClient] = {}
    yield opened
    for page in opened.values():
        chromium.loop.wait(page.shut())


@asynccontextmanager
async def _page(
    chromium: Chromium, pages: dict[str, BrowserClient], release: str
) -> AsyncIterator[BrowserClient]:
    if release not in pages:
        pages[release] = await chromium.open(release)
    yield pages[release]
    await pages[release].tidy()


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    """A release of the JavaScript client."""
    return str(request.param)


@pytest.fixture
async def javascript(
    chromium: Chromium, pages: dict[str, BrowserClient], release: str
) -> AsyncIterator[BrowserClient]:
    """A page that runs the release."""
    async with _page(chromium, pages, release) as page:
        yield page


@pytest.fixture(scope="module")
def pages_by_events(chromium: Chromium) -> Iterator[dict[str, BrowserClient]]:
    """The same for pages with the client by server-sent events."""
    opened: dict[str, BrowserClient] = {}
    yield opened
    for page in opened.values():
        chromium.loop.wait(page.shut())


@pytest.fixture
async def by_events(
    chromium: Chromium, pages_by_events: dict[str, BrowserClient], release: str
) -> AsyncIterator[BrowserClient]:
    """A page that runs the release's client by server-sent events."""
    if release not in pages_by_events:
        pages_by_events[release] = await chromium.open(release, SSE_SCRIPT)
    yield pages_by_events[release]
    await pages_by_events[release].tidy()


@pytest.fixture
async def another(
    chromium: Chromium, pages: dict[str, BrowserClient], release: str
) -> AsyncIterator[BrowserClient]:
    """A page that runs another release, each in its turn."""
    turn = RELEASES.index(release) + 1
    async with _page(chromium, pages, RELEASES[turn % len(RELEASES)]) as page:
        yield page


@pytest.fixture
async def every_page(
    chromium: Chromium, pages: dict[str, BrowserClient]
) -> AsyncIterator[list[BrowserClient]]:
    """A page for each release, to run them side by side."""
    async with AsyncExitStack() as stack:
        steps = [_page(chromium, pages, release) for release in RELEASES]
        yield [await stack.enter_async_context(step) for step in steps]


@pytest.fixture
async def own_page(chromium: Chromium, release: str) -> AsyncIterator[BrowserClient]:
    """A page of the release that the test may close or break."""
    page = await chromium.open(release)
    yield page
    await page.close()


@pytest.fixture
async def provider(hub: Hub, another: BrowserClient) -> Connection:
    """A client on the first node, in a workspace of its own."""
    return await another.connect(hub.first)


@pytest.fixture
async def caller(hub: Hub, javascript: BrowserClient, provider: Connection) -> Connection:
    """A client on the second node, in the provider's workspace."""
    return await provider.invite(javascript, hub.second)


def main() -> None:
    try:
        install()
    except Missing as missing:
        sys.exit(f"The browser tests will be skipped: {missing}")
    sys.stdout.write(f"{CHROMIUM}\n{_packages()}\n")


if __name__ == "__main__":
    main()
