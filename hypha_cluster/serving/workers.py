"""Several gateway processes on one port: started, replaced when they die, stopped together."""

import asyncio
import contextlib
import itertools
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Final

from hypha_cluster.errors import StartupError
from hypha_cluster.hub_settings import HubSettings
from hypha_cluster.serving.gateway import Port
from hypha_cluster.serving.stop import SIGNALS
from hypha_cluster.serving.worker import READY, RETIRE
from hypha_cluster.supervision import Supervisor, Tasks, outcome

log = logging.getLogger(__name__)

# How long a worker must have lived for its successor to start at once.
SHORTEST_LIFE: Final = 5.0  # seconds
RESTART_PAUSE: Final = 1.0  # seconds
COMMAND: Final = (sys.executable, "-P", "-m", "hypha_cluster.serving.worker")
SILENT: Final = "it gave no reason"


def run_workers(settings: HubSettings, port: Port, on_ready: Callable[[], None]) -> None:
    """Keep `workers` gateways serving on a port until a signal says to stop.

    SIGHUP puts new processes in their places, one by one.
    """
    asyncio.run(Workers(settings, port, on_ready).run())


class Worker:
    """A gateway process, as its parent sees it."""

    def __init__(self, settings: HubSettings, port: Port, *, is_wanted: bool) -> None:
        self.name = settings.node.node_name
        self.is_wanted = is_wanted
        """Whether another one takes its place when it ends."""
        self.reason = SILENT
        self.is_serving = False
        self.known = asyncio.Event()
        """Set when it is known whether it serves."""
        self.ended = asyncio.Event()
        self._process = _spawn(port)
        orders = {"settings": settings.to_wire(), "is_held": port.is_held}
        self._write(json.dumps(orders).encode() + b"\n")

    async def live(self) -> None:
        """Hear what it says, until its end."""
        loop = asyncio.get_running_loop()
        reports = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reports)
        await loop.connect_read_pipe(lambda: protocol, self._process.stdout)
        if line := await reports.readline():
            self.reason = json.loads(line)
            self.is_serving = self.reason == READY
        self.known.set()
        await reports.read()  # the kernel closes the other end with the process

    def end(self, *, by_force: bool) -> int:
        """Wait for its end and clean up; return its exit code, or -N for a signal N."""
        if by_force:
            self._process.kill()
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        code = self._process.wait()
        self.known.set()
        self.ended.set()
        return code

    def tell(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def retire(self) -> None:
        """Have it send its clients to the others, and end."""
        self.is_wanted = False
        self._write(RETIRE)

    def _write(self, line: bytes) -> None:
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # it has ended, and its exit code says more
            self._process.stdin.write(line)
            self._process.stdin.flush()


def _spawn(port: Port) -> subprocess.Popen[bytes]:
    """Start a process afresh: a fork would share the parent's threads' locks and sockets."""
    # Signals wait until the worker handles them; Ctrl-C reaches it only through its parent.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        return subprocess.Popen(
            [*COMMAND, str(port.descriptor)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(port.descriptor,),
            process_group=0,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


class Workers:
    """The gateway processes of one parent."""

    def __init__(self, settings: HubSettings, port: Port, on_ready: Callable[[], None]) -> None:
        self._settings = settings
        self._port = port
        self._on_ready = on_ready
        self._stopping = asyncio.Event()
        self._told = asyncio.Event()  # to stop, or to put new workers in the places of the old
        self._numbers = itertools.count()
        self._alive: set[Worker] = set()
        self._tasks = Tasks(Supervisor())

    async def run(self) -> None:
        """Start them, and return when all have ended; raise StartupError if the first cannot."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._told.set)
        try:
            # One worker first: what keeps it from starting keeps all, and should be said once.
            first = self._start(is_wanted=False)
            await first.known.wait()
            if first.is_serving and not self._stopping.is_set():
                self._start_others(first)
                self._tasks.keep("obey", self._obey)
                await self._stopping.wait()
            await self._tasks.settled()
        finally:
            await self._tasks.stop()
        if not first.is_serving and not self._stopping.is_set():
            raise StartupError(first.reason)

    def _start_others(self, first: Worker) -> None:
        first.is_wanted = True
        # The others must not reset Redis: the first worker has written there by now.
        self._settings = self._settings.with_node(reset_redis=False)
        for _ in range(1, self._settings.node.workers):
            self._start_soon()
        self._on_ready()

    async def _obey(self) -> None:
        while True:
            await self._told.wait()
            self._told.clear()
            if self._stopping.is_set():
                return
            await self._renew()

    def _stop(self, number: signal.Signals) -> None:
        self._stopping.set()
        self._told.set()
        for worker in self._alive:
            worker.tell(number)

    async def _renew(self) -> None:
        """Replace the workers one by one; an old one is retired when the new one serves."""
        log.info("The gateways are replaced, one by one.")
        for old in list(self._alive):
            new = self._start(is_wanted=False)
            await new.known.wait()
            if self._stopping.is_set():
                return
            if not new.is_serving:
                log.error("The old gateways go on, for a new one cannot start: %s", new.reason)
                return
            if old.ended.is_set():  # it ended by itself meanwhile, and has a successor
                new.retire()
                continue
            new.is_wanted = True
            log.info("Gateway %s takes the place of %s.", new.name, old.name)
            old.retire()
            await old.ended.wait()
        log.info("All gateways have been replaced.")

    def _start(self, name: str = "", *, is_wanted: bool = True) -> Worker:
        """Start a worker, by default under a name that no other one ever had."""
        settings = self._settings.with_node(node_name=name or self._new_name())
        worker = Worker(settings, self._port, is_wanted=is_wanted)
        self._alive.add(worker)
        self._tasks.spawn("worker", self._keep(worker), detail=worker.name)
        return worker

    def _start_soon(self, name: str = "") -> None:
        """Start a worker once the system has room for a process; the others go on meanwhile."""

        async def start() -> None:
            if not self._stopping.is_set():
                self._start(name)

        self._tasks.keep("start", start, name)

    def _new_name(self) -> str:
        given, number = self._settings.node.node_name, next(self._numbers)
        return f"{given}-{number}" if given else f"gateway-{secrets.token_hex(4)}"

    async def _keep(self, worker: Worker) -> None:
        """Replace a worker when it ends by itself."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        error = await outcome(worker.live())
        if error is not None:
            log.error("Gateway %s is heard no more.", worker.name, exc_info=error)
        code = worker.end(by_force=error is not None)
        self._alive.discard(worker)
        if self._stopping.is_set() or not worker.is_wanted:
            return
        said = SILENT if worker.is_serving else worker.reason
        log.error("Gateway %s ended (%d): %s; another one is started", worker.name, code, said)
        if loop.time() - since < SHORTEST_LIFE and await self._stopped_within(RESTART_PAUSE):
            return
        self._start_soon(worker.name)

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True
