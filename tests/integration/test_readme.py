"""What README.md tells a newcomer to do, done as it stands there."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.client_environments import environment as client_environment
from tests.gateways import POLL, SECOND, environment, status

# pytest has to be the first to import it, so nothing is imported from it here.
pytest_plugins = ["tests.browser"]
pytestmark = [pytest.mark.clients, pytest.mark.timeout(300 * SECOND)]

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PORT = 9000
NEEDED_TO_INSTALL = ("pyproject.toml", "README.md", "LICENSE", "hypha_cluster")
# Of the pages that it names, those that need no flag and no fetching.
PAGES = ("/", "/WORKSPACE/", "/playground", "/account", "/apps/built-in/test.html")
FOREIGN = re.compile(r"https?://(?!localhost:)")

INSTALLING_TIME = 240 * SECOND
ANSWERING_TIME = 30 * SECOND


def block(start: str) -> str:
    """The one block of README.md that begins with this text."""
    found = re.findall(rf"^```\w+\n({re.escape(start)}.*?)^```$", README, re.DOTALL | re.MULTILINE)
    assert len(found) == 1, f"{len(found)} blocks begin with {start!r}"
    return str(found[0])


def files() -> dict[str, str]:
    """What README.md asks to save, by file name."""
    pattern = r"Save this as `([^`]+)`[^`]*\n\n```\w+\n(.*?)^```$"
    return dict(re.findall(pattern, README, re.DOTALL | re.MULTILINE))


class Started(NamedTuple):
    """A command that goes on running."""

    process: subprocess.Popen[bytes]
    log: Path

    def said(self, pattern: str, time_limit: float) -> str:
        """Wait for a line, and return its first group."""
        deadline = time.monotonic() + time_limit
        while not (found := re.search(pattern, self.log.read_text(), re.MULTILINE)):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(POLL)
        return found[1]


class Hub(NamedTuple):
    """The hub of a clone, and what it prints."""

    port: int
    started: Started

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"


class Newcomer(NamedTuple):
    """Somebody with a folder, who types what README.md says. port: where their hub listens."""

    folder: Path
    port: int

    def adapt(self, text: str) -> str:
        """Put the hub's real port in; the same text, unless somebody else has port 9000."""
        return text.replace(f"localhost:{PORT}", f"localhost:{self.port}")

    def save(self, name: str) -> Path:
        path = self.folder / name
        path.write_text(self.adapt(files()[name]), encoding="utf-8")
        return path

    def run(self, commands: str, time_limit: float = ANSWERING_TIME) -> str:
        """Type commands, and return what they print; they must not complain."""
        done = subprocess.run(
            ["bash", "-c", self.adapt(commands)],
            cwd=self.folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=time_limit,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def start(self, commands: str, **more: str) -> Iterator[Started]:
        """Type commands that go on, and press Ctrl-C in the end."""
        log = self.folder / f"terminal-{len(list(self.folder.glob('terminal-*.log')))}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-c", self.adapt(commands)],
                cwd=self.folder,
                env={**environment(), "PYTHONUNBUFFERED": "1", **more},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield Started(process, log)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            process.wait(ANSWERING_TIME)


@pytest.fixture(scope="module")
def port() -> int:
    """The port that README.md speaks of, or a free one if that is taken."""
    for wanted in (PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", wanted))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise AssertionError("no port is free")


@pytest.fixture(scope="module")
def own_hub(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Install and start a hub as README.md says, in a clone."""
    operator = Newcomer(tmp_path_factory.mktemp("clone"), port)
    for name in NEEDED_TO_INSTALL:
        source, target = ROOT / name, operator.folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    commands = block("python3 -m venv .venv")
    if port != PORT:
        commands = commands.replace("serve", f"serve --port {port}")
    state = str(operator.folder / "state")
    with operator.start(commands, XDG_STATE_HOME=state) as hub:
        assert hub.said(r"^Listening on (\S+)$", INSTALLING_TIME) == f"http://localhost:{port}"
        assert status(f"http://127.0.0.1:{port}/health/ready") == 200
        yield Hub(port, hub)
    assert "Traceback" not in hub.log.read_text()
    assert hub.process.returncode == 0


@pytest.fixture(scope="module")
def user(own_hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Newcomer:
    """A user with the newest client."""
    newcomer = Newcomer(tmp_path_factory.mktemp("user"), own_hub.port)
    client = client_environment("imjoy-rpc-0.5.59")
    client.make()
    (newcomer.folder / "client").symlink_to(client.path)
    return newcomer


@pytest.fixture(scope="module")
def worker(user: Newcomer) -> Iterator[Started]:
    user.save("worker.py")
    with user.start(block("client/bin/python worker.py")) as started:
        started.said("^(curl .*)$", ANSWERING_TIME)
        yield started


@pytest.mark.usefixtures("worker")
def test_the_caller_finds_the_worker_by_its_name(user: Newcomer) -> None:
    user.save("caller.py")

    answer = user.run(block("client/bin/python caller.py"))

    assert answer == "Hello John\n"


@pytest.mark.usefixtures("worker")
def test_curl_lists_what_is_there(user: Newcomer) -> None:
    (command,) = re.findall(r"`(curl [^`]*/public/services)`", README)

    assert ':hello-world"' in user.run(command)


@pytest.mark.usefixtures("worker")
def test_who_asks_for_what_nobody_offers_gets_none(user: Newcomer) -> None:
    program = user.save("caller.py")
    text = program.read_text(encoding="utf-8").replace('"hello-world"', '"helo-world"')
    program.write_text(text.replace('await service.hello("John")', "service"), encoding="utf-8")

    answer = user.run(block("client/bin/python caller.py"))

    assert answer == "None\n"


def test_curl_calls_the_worker(user: Newcomer, worker: Started) -> None:
    workspace = worker.said(r"registered in workspace (\S+)$", ANSWERING_TIME)
    command = block("curl ").replace("WORKSPACE", workspace).strip()

    answer = user.run(command)

    assert worker.said("^(curl .*)$", 0) == user.adapt(command)
    assert answer == '"Hello John"'


@pytest.mark.browser
@pytest.mark.usefixtures("worker", "chromium")
def test_the_page_calls_the_worker_and_needs_nothing_but_the_hub(user: Newcomer) -> None:
    page_file = user.save("hello.html")

    with _page() as page:
        page.goto(page_file.as_uri())
        page.locator("#answer", has_text="Hello").wait_for(timeout=ANSWERING_TIME * 1000)
        answer = page.inner_text("#answer")

    assert answer == "Hello John"


@pytest.mark.browser
@pytest.mark.usefixtures("chromium")
def test_a_user_logs_in_and_has_a_workspace(own_hub: Hub, user: Newcomer) -> None:
    """By the link that the hub prints for the first admin, and the one that `login` prints."""
    user.save("login.py")
    link = own_hub.started.said(r"(http://localhost:\d+/login/invitation\?code=\S+)", 0)

    with _page() as page, user.start(block("client/bin/python login.py")) as program:
        page.goto(link)
        page.get_by_label("Name").fill("ada")
        page.get_by_label("E-mail address").fill("ada@lab.example")
        page.get_by_label("Password").fill("correct horse battery")
        page.get_by_role("button", name="Go on").click()
        page.wait_for_url("**/account")
        page.goto(program.said(r"(http://localhost:\d+/\S*hypha-login\S*)", ANSWERING_TIME))
        page.get_by_role("button", name="Allow").click()
        workspace = program.said(r"^Your workspace is (\S+)$", ANSWERING_TIME)
        shown = page.goto(f"{own_hub.url}/{workspace}/")

        assert workspace == "ada"
        assert shown
        assert shown.status == 200


@pytest.mark.browser
@pytest.mark.usefixtures("chromium")
def test_a_web_application_is_served(user: Newcomer) -> None:
    user.save("site.py")

    with user.start(block("client/bin/python site.py")) as site, _page() as page:
        page.goto(site.said(r"^(http://\S+/apps/site/)$", ANSWERING_TIME))

        assert page.inner_text("h1") == "Hello from a client"


@pytest.mark.browser
@pytest.mark.usefixtures("chromium", "worker")
@pytest.mark.parametrize("row", PAGES)
def test_the_pages_that_are_named_are_there(own_hub: Hub, worker: Started, row: str) -> None:
    workspace = worker.said(r"registered in workspace (\S+)$", ANSWERING_TIME)

    with _page() as page:
        shown = page.goto(own_hub.url + row.replace("WORKSPACE", workspace))

        assert shown
        # Of a workspace of somebody else's one sees what is public.
        assert shown.status == (403 if "WORKSPACE" in row else 200)
        if row.endswith("test.html"):
            page.locator("#state", has_text="OK").wait_for(timeout=ANSWERING_TIME * 1000)


@contextmanager
def _page() -> Iterator[Page]:
    from tests.browser import CHROMIUM, FLAGS

    flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else FLAGS
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=flags) as browser,
        browser.new_page() as page,
    ):
        page.route(FOREIGN, lambda route: route.abort())
        yield page


@pytest.mark.slow
@pytest.mark.usefixtures("worker")
def test_the_client_works_when_installed_as_described(own_hub: Hub, tmp_path: Path) -> None:
    newcomer = Newcomer(tmp_path, own_hub.port)
    newcomer.save("caller.py")

    newcomer.run(block("python3 -m venv client"), INSTALLING_TIME)
    answer = newcomer.run(block("client/bin/python caller.py"))

    assert answer.splitlines()[-1] == "Hello John"
