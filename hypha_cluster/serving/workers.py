"""Several gateway processes on one port: started, replaced when they die, stopped together."""

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import NamedTuple

from hypha_cluster.config import Config
from hypha_cluster.errors import StartupError
from hypha_cluster.serving.gateway import SIGNALS, run_gateway
from hypha_cluster.serving.logs import configure_logging
from hypha_cluster.supervision import Supervisor, Tasks

log = logging.getLogger(__name__)

# How long a worker must have lived for its successor to start at once.
SHORTEST_LIFE = 5.0
RESTART_PAUSE = 1.0
READY = "ready"
SILENT = "it gave no reason"

# Started afresh, not forked: a fork would share the parent's threads' locks and sockets.
SPAWN = multiprocessing.get_context("spawn")


class Worker(NamedTuple):
    process: BaseProcess
    reports: Connection


def run_workers(config: Config, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Keep `config.workers` gateways serving until a signal says to stop."""
    asyncio.run(_Workers(config, listener, on_ready).run())


class _Workers:
    def __init__(
        self, config: Config, listener: socket.socket, on_ready: Callable[[], None]
    ) -> None:
        self._config = config
        self._listener = listener
        self._on_ready = on_ready
        self._stopping = asyncio.Event()
        self._workers: dict[int, Worker] = {}

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._stop, number)
        # One first: what stops it would stop them all, and is to be said once.
        self._start(0)
        await self._await_ready(self._workers[0])
        # The others would delete what the first has by then.
        self._config = replace(self._config, reset_redis=False)
        if not self._stopping.is_set():
            for index in range(1, self._config.workers):
                self._start(index)
            self._on_ready()
        keepers = Tasks(Supervisor())
        for index in self._workers:
            keepers.keep("worker", partial(self._keep, index), str(index))
        await asyncio.wait([*keepers])

    def _stop(self, number: signal.Signals) -> None:
        self._stopping.set()
        for worker in self._workers.values():
            if worker.process.is_alive() and worker.process.pid:
                os.kill(worker.process.pid, number)

    def _start(self, index: int) -> None:
        reports, report = SPAWN.Pipe(duplex=False)
        name = self._config.node_name and f"{self._config.node_name}-{index}"
        process = SPAWN.Process(
            target=_work,
            args=(replace(self._config, node_name=name), self._listener, report),
            name=f"gateway-{index}",
        )
        # Signals wait until the worker knows what to do with them.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        report.close()
        self._workers[index] = Worker(process, reports)

    async def _await_ready(self, worker: Worker) -> None:
        await _readable(worker.reports.fileno())
        said = next(_reports(worker), SILENT)
        if said != READY and not self._stopping.is_set():
            worker.process.join()
            raise StartupError(said)

    async def _keep(self, index: int) -> None:
        loop = asyncio.get_running_loop()
        while True:
            since = loop.time()
            worker = self._workers[index]
            await _readable(worker.process.sentinel)
            worker.process.join()
            if self._stopping.is_set():
                return
            said = [SILENT, *(text for text in _reports(worker) if text != READY)][-1]
            log.error("Gateway %d ended (%s): %s", index, worker.process.exitcode, said)
            worker.reports.close()
            if loop.time() - since < SHORTEST_LIFE and await self._stopped_within(RESTART_PAUSE):
                return
            self._start(index)

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    loop.add_reader(descriptor, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(descriptor)


def _reports(worker: Worker) -> Iterator[str]:
    """What a worker says, until its end."""
    with contextlib.suppress(EOFError):
        while True:
            yield worker.reports.recv_bytes().decode()


def _work(config: Config, listener: socket.socket, report: Connection) -> None:
    configure_logging(config.log_level, config.log_format)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        run_gateway(config, listener.detach(), lambda: report.send_bytes(READY.encode()))
    except StartupError as error:
        report.send_bytes(str(error).encode())
        sys.exit(2)


def _end_with_parent() -> None:
    """Nobody else would stop this worker, and its port must become free."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)
