"""A runner of server apps: as a command of its own, and as a process beside a hub.

Beside a hub, the runner gets its settings in a line on standard input, since they hold secrets. The
input ends when the hub ends; then the runner ends too.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Final

from hypha_cluster.errors import RedisUnavailable, StartupError
from hypha_cluster.features.launcher.launcher import Launcher
from hypha_cluster.features.launcher.running.browser import check_sandbox, find_browser
from hypha_cluster.features.launcher.running.process import Site, run
from hypha_cluster.features.launcher.terms import LauncherSettings
from hypha_cluster.hub_settings import HubSettings
from hypha_cluster.serving.logs import configure_logging
from hypha_cluster.serving.titles import call_process

_log = logging.getLogger(__name__)

_COMMAND: Final = (sys.executable, "-P", "-m", "hypha_cluster.serving.runner")
_PAUSES: Final = (1.0, 2.0, 5.0, 15.0)  # seconds before it starts again; the last one stays
_STOPPING: Final = 20.0  # seconds to stop, on top of those in which instances move


def terms_of(settings: HubSettings) -> LauncherSettings:
    """What the settings of a hub say of server apps."""
    found: LauncherSettings = next(each for kind, each in settings.features if kind is Launcher)
    return found


def run_runner(settings: HubSettings, on_ready: Callable[[], None], stop: asyncio.Event) -> None:
    """Run instances until a signal; StartupError when nothing could be run."""
    node = settings.node
    site = Site(node.redis_url, node.redis_prefix, node.base_url, node.relay_timeout)
    try:
        asyncio.run(run(site, terms_of(settings), on_ready, stop))
    except RedisUnavailable as error:
        raise StartupError(str(error)) from error


@contextlib.contextmanager
def runner_beside(settings: HubSettings) -> Iterator[None]:
    """Meanwhile a runner is up beside the hub, if one is wanted; StartupError if none can be."""
    terms = terms_of(settings)
    if not terms.enable_server_apps or terms.app_runners != "beside":
        yield
        return
    find_browser(terms.app_browser)
    check_sandbox(is_off=terms.in_docker)
    beside = _Beside(settings)
    thread = threading.Thread(target=beside.keep, name="runner", daemon=True)
    thread.start()
    patience = terms.app_drain_time + _STOPPING
    try:
        yield
    finally:
        beside.stop(patience)
        thread.join(patience + 1)


class _Beside:
    """Keeps the process of a runner up."""

    def __init__(self, settings: HubSettings) -> None:
        self._orders = json.dumps(settings.to_wire()).encode() + b"\n"
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def keep(self) -> None:
        pauses = iter(_PAUSES)
        while not self._stopping.is_set():
            code = self._live()
            if self._stopping.is_set():
                return
            pause = next(pauses, _PAUSES[-1])
            _log.error("The runner of server apps ended (%d); it starts again.", code)
            self._stopping.wait(pause)

    def _live(self) -> int:
        self._process = process = subprocess.Popen(
            _COMMAND,
            stdin=subprocess.PIPE,
            process_group=0,  # Ctrl-C comes by its parent only
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert process.stdin
        with contextlib.suppress(BrokenPipeError):  # it has ended, and its exit code says more
            process.stdin.write(self._orders)
            process.stdin.flush()
        code = process.wait()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        return code

    def stop(self, patience: float) -> None:
        """Stop the process; kill it after `patience` seconds."""
        self._stopping.set()
        process = self._process
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()


def main() -> int:
    """Run beside a hub, which sends the settings, until the hub ends."""
    orders = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115  (it stays open)
    line = orders.readline()
    if not line:
        return 1  # the hub is gone already
    settings = HubSettings.from_wire(json.loads(line))
    configure_logging(settings.node.log_level, settings.node.log_format)
    call_process("hypha-cluster: runner of server apps")

    def watch() -> None:
        orders.read()
        os.kill(os.getpid(), signal.SIGTERM)  # nobody else would stop this runner

    def on_ready() -> None:
        _log.info("The runner of server apps is up.")
        threading.Thread(target=watch, daemon=True).start()

    try:
        run_runner(settings, on_ready, asyncio.Event())
    except StartupError as error:
        _log.error("Server apps cannot be run: %s", error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
