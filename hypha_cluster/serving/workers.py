"""Several gateway processes on one port: started, replaced when they die, stopped together."""

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from hypha_cluster.config import Config
from hypha_cluster.errors import StartupError
from hypha_cluster.serving.gateway import SIGNALS
from hypha_cluster.serving.worker import READY

log = logging.getLogger(__name__)

# How long a worker must have lived for its successor to start at once.
SHORTEST_LIFE: Final = 5.0  # seconds
RESTART_PAUSE: Final = 1.0  # seconds
COMMAND: Final = (sys.executable, "-P", "-m", "hypha_cluster.serving.worker")
SILENT: Final = "it gave no reason"


def run_workers(config: Config, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Keep `config.workers` gateways serving until a signal says to stop."""
    asyncio.run(Workers(config, listener, on_ready).run())


class Worker:
    """A gateway process, as its parent sees it."""

    def __init__(self, config: Config, listener: socket.socket) -> None:
        self.name = config.node_name
        self._process = _spawn(config, listener)
        self._reports = asyncio.StreamReader()

    async def ready(self) -> None:
        """Wait until it serves; raise StartupError with its reason if it cannot."""
        loop = asyncio.get_running_loop()
        protocol = asyncio.StreamReaderProtocol(self._reports)
        await loop.connect_read_pipe(lambda: protocol, self._process.stdout)
        line = await self._reports.readline()
        said = json.loads(line) if line else SILENT
        if said != READY:
            raise StartupError(said)

    async def ended(self) -> int:
        """Wait for its end; answer its exit code, or less than 0 for a signal."""
        await self._reports.read()  # the kernel closes the other end with the process
        with contextlib.suppress(BrokenPipeError):
            if self._process.stdin:
                self._process.stdin.close()
        return self._process.wait()

    def tell(self, number: signal.Signals) -> None:
        self._process.send_signal(number)


def _spawn(config: Config, listener: socket.socket) -> subprocess.Popen[bytes]:
    """Start a process afresh: a fork would share the parent's threads' locks and sockets."""
    # Signals wait until the worker knows what to do with them; Ctrl-C comes by its parent only.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        process = subprocess.Popen(
            [*COMMAND, str(listener.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(listener.fileno(),),
            process_group=0,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    assert process.stdin
    with contextlib.suppress(BrokenPipeError):  # then its end says more
        process.stdin.write(json.dumps(dataclasses.asdict(config)).encode() + b"\n")
        process.stdin.flush()
    return process


class Workers:
    """The gateway processes of one parent."""

    def __init__(
        self, config: Config, listener: socket.socket, on_ready: Callable[[], None]
    ) -> None:
        self._config = config
        self._listener = listener
        self._on_ready = on_ready
        self._stopping = asyncio.Event()
        self._alive: set[Worker] = set()

    async def run(self) -> None:
        """Start them, and return when all have ended; raise StartupError if the first cannot."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._stop, number)
        # One first: what keeps it from starting would keep them all, and is to be said once.
        first = self._start(self._name(0))
        try:
            await first.ready()
        except StartupError:
            await first.ended()
            if self._stopping.is_set():
                return
            raise
        # The others would delete what the first has by then.
        self._config = replace(self._config, reset_redis=False)
        others = [] if self._stopping.is_set() else range(1, self._config.workers)
        workers = [self._start(self._name(index)) for index in others]
        if not self._stopping.is_set():
            self._on_ready()
        async with asyncio.TaskGroup() as keepers:
            keepers.create_task(self._keep(first, is_new=False))
            for worker in workers:
                keepers.create_task(self._keep(worker))

    def _name(self, index: int) -> str:
        given = self._config.node_name
        return f"{given}-{index}" if given else f"gateway-{secrets.token_hex(4)}"

    def _start(self, name: str) -> Worker:
        worker = Worker(replace(self._config, node_name=name), self._listener)
        self._alive.add(worker)
        return worker

    def _stop(self, number: signal.Signals) -> None:
        self._stopping.set()
        for worker in self._alive:
            worker.tell(number)

    async def _keep(self, worker: Worker, *, is_new: bool = True) -> None:
        """Whenever this worker ends by itself, put another one in its place."""
        loop = asyncio.get_running_loop()
        while True:
            since = loop.time()
            said = await _reason(worker) if is_new else SILENT
            code = await worker.ended()
            self._alive.discard(worker)
            if self._stopping.is_set():
                return
            log.error("Gateway %s ended (%s): %s; another one is started", worker.name, code, said)
            if loop.time() - since < SHORTEST_LIFE and await self._stopped_within(RESTART_PAUSE):
                return
            worker, is_new = self._start(worker.name), True

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True


async def _reason(worker: Worker) -> str:
    """Wait until a worker serves, or say why it cannot."""
    try:
        await worker.ready()
    except StartupError as error:
        return str(error)
    return SILENT
