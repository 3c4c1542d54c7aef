"""Server apps in tests: runners as processes, users who call `server-apps`, and pages for them."""

import asyncio
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from hypha_cluster.identity.access import Identity
from tests.gateways import POLL, SECOND, STARTING_TIME, Gateway, Value, command, environment
from tests.raw_client import RawClient, call_envelope
from tests.token_rig import SECRET, token_of

ANN = Identity("ann", is_anonymous=False, email="ann@example.org")
ADDER = "api.export({ add: (a, b) => a + b });"
LIMIT = 60 * SECOND
MANAGER = "public/workspace-manager"


class Runner:
    """A `hypha-cluster runner` process, ready when the context is entered."""

    def __init__(self, log: Path, **settings: Value) -> None:
        self._log = log
        self._settings: dict[str, Value] = {"in_docker": True, **settings}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process, "the runner was not started"
        return self._process.pid

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def __enter__(self) -> Self:
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                command("runner", **self._settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment(),
            )
        deadline = time.monotonic() + STARTING_TIME
        while not re.search(r"^A runner with \d+ slots is up$", self.log(), re.MULTILINE):
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(POLL)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process and self._process.poll() is None:
            self.end(signal.SIGTERM)
        if kind is None:
            assert "Traceback" not in self.log(), self.log()

    def send(self, number: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(number)

    def wait(self) -> int:
        assert self._process
        return self._process.wait(LIMIT)

    def end(self, number: signal.Signals) -> int:
        self.send(number)
        return self.wait()

    def kill(self) -> None:
        """End it without a warning; what it started ends by itself."""
        self.end(signal.SIGKILL)

    def memory(self) -> int:
        """Bytes that it and its browser take of the machine; shared ones count in parts."""
        return sum(map(_proportional, _tree(self.pid)))

    def pages(self) -> int:
        """How many renderers its browser has, but the spare ones that have no page yet."""
        return renderers(self.pid)


def renderers(pid: int) -> int:
    """How many renderers the browsers have that a process has started."""
    return sum("--type=renderer" in line for line in _command_lines(pid))


def _tree(pid: int) -> list[int]:
    """A process, and all that it has started."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        each = todo.pop()
        todo += parents.get(each, [])
        found.append(each)
    return found


def _command_lines(pid: int) -> list[str]:
    """Return the command lines of a process and of all that it has started."""
    found = []
    for each in _tree(pid):
        with suppress(OSError):  # it has ended meanwhile
            found.append((Path("/proc") / str(each) / "cmdline").read_bytes().decode())
    return found


def _proportional(pid: int) -> int:
    with suppress(OSError):
        text = (Path("/proc") / str(pid) / "smaps_rollup").read_text()
        found = re.search(r"^Pss:\s+(\d+) kB$", text, re.MULTILINE)
        return int(found[1]) * 1024 if found else 0
    return 0


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class User:
    """Somebody who is connected to a gateway, and calls `server-apps`."""

    def __init__(self, client: RawClient) -> None:
        self.client = client

    @classmethod
    async def connect(cls, url: str, who: Identity = ANN) -> Self:
        client = await RawClient.connect(url, token=token_of(who), workspace=who.id)
        return cls(client)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()

    async def __call__(self, function: str, *args: Any, **kwargs: Any) -> Any:
        return await self.place(MANAGER, f"services.server-apps.{function}", *args, **kwargs)

    async def place(self, to: str, method: str, *args: Any, **kwargs: Any) -> Any:
        body = {"args": [*args, kwargs], "with_kwargs": True} if kwargs else {"args": list(args)}
        return await self.client.place(call_envelope(to, method), body, LIMIT)

    async def ask(self, app: dict[str, Any], function: str, *args: Any) -> Any:
        """Call what an app has exported."""
        return await self.place(f"ann/{app['id']}", f"services.default.{function}", *args)

    async def get_service(self, query: object) -> dict[str, Any]:
        service: dict[str, Any] = await self.place(
            "ann/workspace-manager", "services.default.get_service", query
        )
        return service

    async def launch(self, source: str, kind: str = "window", **more: Any) -> dict[str, Any]:
        config = {"type": kind, "name": more.pop("name", "an app"), **more.pop("config", {})}
        launched: dict[str, Any] = await self("launch", source, config=config, **more)
        return launched

    async def states(self) -> dict[str, str]:
        return {each["id"]: each["state"] for each in await self("list_running")}

    async def until(self, client_id: str, state: str | None) -> None:
        """Wait until an instance is in a state; None when it is listed no more."""
        async with asyncio.timeout(LIMIT):
            while (await self.states()).get(client_id) != state:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def logs(self, app: dict[str, Any], line: str) -> None:
        """Wait until a line is in an app's log, where it comes a moment after it is printed."""
        async with asyncio.timeout(LIMIT):
            while line not in await self("get_log", app["id"], "log"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)


class Cluster:
    """Gateways and runners on one Redis; each is started by a test, and ended with it."""

    def __init__(self, folder: Path, stack: ExitStack, **settings: Value) -> None:
        self._folder = folder
        self._stack = stack
        self._settings = settings
        self._started = 0

    def _log(self, name: str) -> Path:
        self._started += 1
        return self._folder / f"{name}-{self._started}.log"

    def gateway(self, **settings: Value) -> Gateway:
        shared = {**self._settings, "enable_server_apps": True, "app_runners": "elsewhere"}
        gateway = Gateway(self._log("gateway"), **{**shared, "jwt_secret": SECRET, **settings})
        return self._stack.enter_context(gateway)

    def runner(self, hub: str, **settings: Value) -> Runner:
        shared = {**self._settings, "app_hub_url": hub}
        return self._stack.enter_context(Runner(self._log("runner"), **{**shared, **settings}))


def need_browser() -> None:
    """Skip the test where there is no browser."""
    from tests.browser import Missing, install_chromium  # a plugin of pytest's in other modules

    try:
        install_chromium()
    except Missing as missing:
        pytest.skip(str(missing))


@contextmanager
def app_cluster(folder: Path, redis_url: str, prefix: str) -> Iterator[Cluster]:
    need_browser()
    with ExitStack() as stack:
        yield Cluster(folder, stack, redis_url=redis_url, redis_prefix=prefix)
