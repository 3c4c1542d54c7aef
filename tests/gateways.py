"""Real gateway processes for tests."""

import os
import re
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

# One unit for all time limits, to be stretched on a slow machine.
SECOND = float(os.environ.get("HYPHA_TEST_TIME_SCALE", "1"))
STARTING_TIME = 30 * SECOND
STOPPING_TIME = 60 * SECOND
POLL = 0.02

ANY_CERTIFICATE = ssl.create_default_context()
ANY_CERTIFICATE.check_hostname = False
ANY_CERTIFICATE.verify_mode = ssl.CERT_NONE

Value = str | int | float | bool

# What keeps a test short; a test that is about one of these gives its own. HYPHA_TEST_SETTINGS adds
# others for a whole run, such as "fast_websockets=false event_loop=asyncio".
SETTINGS: dict[str, Value] = {
    "host": "127.0.0.1",
    "port": 0,
    "data_dir": ":memory:",
    "drain_delay": 0.1,
    "drain_time": 1.0,
    **dict(pair.split("=") for pair in os.environ.get("HYPHA_TEST_SETTINGS", "").split()),
}


class Hub(NamedTuple):
    """Where two clients connect to: to one gateway or to two of a cluster."""

    first: str
    second: str


class Gateway:
    """A `hypha-cluster serve` process, ready when the context is entered."""

    def __init__(self, log: Path, **settings: Value) -> None:
        self._log = log
        self._settings = {**SETTINGS, **settings}
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.tracebacks_allowed = False

    @property
    def pid(self) -> int:
        assert self._process, "the gateway was not started"
        return self._process.pid

    def start(self) -> Self:
        """Start without waiting for the gateway to be ready."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                command("serve", **self._settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment(),
            )
        return self

    def await_ready(self) -> Self:
        self._await(lambda: bool(self._announced()), "announce itself")
        self.url = self._announced()[-1]
        self._await(lambda: status(f"{self.url}/health/ready") == 200, "be ready")
        return self

    def terminate(self) -> int:
        """Have the gateway drain and stop; return its exit code."""
        return self._end(signal.SIGTERM)

    def interrupt(self) -> int:
        """Stop the gateway as Ctrl-C does; return its exit code."""
        return self._end(signal.SIGINT)

    def kill(self) -> int:
        """End the gateway without a warning, as a crash would."""
        return self._end(signal.SIGKILL)

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def __enter__(self) -> Self:
        self.start()
        try:
            return self.await_ready()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._process and self._process.poll() is None:
            self.interrupt()
        if kind is None and not self.tracebacks_allowed:
            assert "Traceback" not in self.log(), self.log()

    def _announced(self) -> list[str]:
        return re.findall(r"^Listening on (http\S+)$", self.log(), re.MULTILINE)

    def _await(self, condition: Callable[[], bool], what: str) -> None:
        assert self._process, "the gateway was not started"
        deadline = time.monotonic() + STARTING_TIME
        while not condition():
            ended = self._process.poll()
            assert ended is None, f"the gateway ended with {ended}:\n{self.log()}"
            assert time.monotonic() < deadline, f"the gateway did not {what}:\n{self.log()}"
            time.sleep(POLL)

    def _end(self, number: signal.Signals) -> int:
        assert self._process, "the gateway was not started"
        self._process.send_signal(number)
        try:
            return self._process.wait(STOPPING_TIME)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"the gateway did not end:\n{self.log()}") from None


def command(name: str, **settings: Value) -> list[str]:
    """Return the command line of a sub-command with these settings."""
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in settings.items()]
    return [sys.executable, "-m", "hypha_cluster", name, *flags]


def environment() -> dict[str, str]:
    """Return ours without the settings of whoever runs the tests."""
    ours = re.compile(r"HYPHA_|AUTH0_|JWT_SECRET")
    return {name: text for name, text in os.environ.items() if not ours.match(name)}


def status(url: str) -> int:
    """Return the HTTP status that `url` answers with, or 0."""
    try:
        with urllib.request.urlopen(url, timeout=5 * SECOND, context=ANY_CERTIFICATE) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0
