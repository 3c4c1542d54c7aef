"""Measures an older commit beside this tree, in turns, so that the machine is the same for both.

`python -m benchmarks.beside COMMIT`, or `make bench-beside COMMIT=…`. Both use the packages of this
environment.
"""

import argparse
import asyncio
import io
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
)
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgpack

from benchmarks.accounting import cpu_seconds, pin, server_and_client_cores
from benchmarks.cases import CASES, OURS, Case
from benchmarks.deployments import Deployment, Place, ours, with_path
from benchmarks.load.frames import frames
from benchmarks.load.http_caller import Caller
from benchmarks.load.raw_client import RawClient, reply_frame
from benchmarks.measure import Plan, run_once

ROOT = Path(__file__).parent.parent
ROUNDS = 30
FRAMES_EACH = 100_000  # bytes of frames that a round passes on; of small ones FEW_FRAMES
SMALL, FEW_FRAMES = 1_000, 100
CALLS, CONNECTIONS = 320, 8  # HTTP calls of a round, and over how many connections
VISITS = 60  # of a round
WARM = 2  # rounds that do not count
SERVICE = "benchmark"
COLUMNS = ("before", "now", "least", "lower quarter", "pairs")
SECONDS, WARM_UP = 1.3, 0.3  # of a round of a case of `python -m benchmarks`
# The parts of what an operation costs, as they follow the name of a case; else in µs of CPU.
ALL, GATEWAY, REDIS, MEMORY = "", ": gateway", ": Redis", ": memory, kB"
REDIS_MATTERS = 0.05  # of all, from which its part is shown

Figures = Mapping[str, float]  # what one operation costs, by its parts
Round = Callable[[], Awaitable[Figures]]


class Row(NamedTuple):
    """What one operation costs in each round: with the older commit, and with this tree."""

    case: str
    before: Sequence[float]
    now: Sequence[float]

    def cells(self) -> list[str]:
        """The least of both, and by how much more it is now, compared in three ways."""
        pairs = [now / before for before, now in zip(self.before, self.now, strict=True)]
        ratios = [
            min(self.now) / min(self.before),
            _quarter(self.now) / _quarter(self.before),
            statistics.median(pairs),
        ]
        least = [f"{min(each):.2f}" for each in (self.before, self.now)]
        return [self.case, *least, *(f"{100 * (ratio - 1):+.1f} %" for ratio in ratios)]


def _quarter(figures: Sequence[float]) -> float:
    """The lower quarter, which other programs on the machine move least of all figures."""
    return sorted(figures)[len(figures) // 4]


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beside", description=__doc__)
    parser.add_argument("commit", help="which is measured beside this tree")
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help=f"rounds of each case ({ROUNDS})"
    )
    names = [*frames(), *SERVED]
    parser.add_argument(
        "--only",
        action="append",
        choices=[*names, *LOADS],
        metavar="CASE",
        help="only this case, or one of `python -m benchmarks --list`; may be repeated",
    )
    options = parser.parse_args(words)
    wanted = options.only or names
    _say(f"| case | {' | '.join(COLUMNS)} |")
    _say("| --- |" + " ---: |" * len(COLUMNS))
    with tempfile.TemporaryDirectory(prefix="beside-") as folder:
        trees = [unpack(options.commit, Path(folder)), ROOT]
        for row in _rows(trees, wanted, options.rounds):
            _say(f"| {' | '.join(row.cells())} |")


def unpack(commit: str, folder: Path) -> Path:
    """Put the package of a commit into a folder."""
    command = ["git", "archive", "--format=tar", commit, "hypha_cluster"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        sys.exit(done.stderr.decode().strip())
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as packed:
        packed.extractall(folder, filter="data")
    return folder


def _rows(trees: Sequence[Path], wanted: Sequence[str], rounds: int) -> Iterator[Row]:
    if small := [name for name in frames() if name in wanted]:
        yield from _frame_rows(trees, small, rounds)
    for name, case in {**SERVED, **LOADS}.items():
        if name in wanted:
            yield from _parts(name, *_served(trees, name, case, rounds))


def _frame_rows(trees: Sequence[Path], names: Sequence[str], rounds: int) -> Iterator[Row]:
    """Ten times as many rounds: frames cost so little that other load on the machine shows."""
    sizes = {name: len(frame) for name, frame in frames().items()}
    with ExitStack() as stack:
        workers = [stack.enter_context(_worker(path)) for path in trees]
        for name in names:
            count = FEW_FRAMES if sizes[name] < SMALL else max(1, FRAMES_EACH // sizes[name])
            found: list[list[float]] = [[] for _ in workers]
            for number in range(10 * rounds):
                for at in _turn(number, len(workers)):
                    found[at].append(_ask(workers[at], name, count))
            yield Row(name, *found)


def _turn(number: int, many: int) -> list[int]:
    """The order in a round: each side is first as often as the other."""
    return [(number + at) % many for at in range(many)]


def _worker(path: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*with_path(path, ROOT), "-m", "benchmarks.load.frames"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
        cwd=tempfile.gettempdir(),
    )


def _ask(worker: "subprocess.Popen[str]", name: str, count: int) -> float:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(f"{name} {count}\n")
    return float(worker.stdout.readline())


# Gateways.


async def _serve(
    trees: Sequence[Path], case: "Served", warm: int, rounds: int
) -> list[list[Figures]]:
    server_cores, client_cores = server_and_client_cores()
    pin(os.getpid(), client_cores)
    async with AsyncExitStack() as stack:
        sides = []
        for path in trees:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            program = (*with_path(path), "-m", "hypha_cluster")
            start, servers = ours(program=program), stack.enter_context(ExitStack())
            deployment = start(1, Place(place, server_cores), servers)
            sides.append(await stack.enter_async_context(case(deployment)))
        found: list[list[Figures]] = [[] for _ in sides]
        for number in range(warm + rounds):
            for at in _turn(number, len(sides)):
                each = await sides[at]()
                if number >= warm:
                    found[at].append(each)
    return found


def _served(trees: Sequence[Path], name: str, case: "Served", rounds: int) -> list[list[Figures]]:
    if not name.startswith(IDLE):
        return asyncio.run(_serve(trees, case, WARM, rounds))
    # What an idle connection takes shows only where there were none before.
    runs = [asyncio.run(_serve(trees, case, 0, 1)) for _ in range(rounds)]
    return [[figures for run in runs for figures in run[at]] for at in range(len(trees))]


def _parts(name: str, before: Sequence[Figures], now: Sequence[Figures]) -> Iterator[Row]:
    """A row of each part; of the parts of CPU only where Redis has one that matters."""
    parts = dict.fromkeys(before[0])
    if REDIS in parts and _least(before, REDIS) < REDIS_MATTERS * _least(before, ALL):
        parts = {ALL: None}
    for part in parts:
        yield Row(f"{name}{part}", *([each[part] for each in side] for side in (before, now)))


def _least(figures: Sequence[Figures], part: str) -> float:
    return min(each[part] for each in figures)


class _Meter:
    """CPU of gateway and Redis since it was made, in µs."""

    def __init__(self, deployment: Deployment) -> None:
        self._pids = (deployment.server_pids, deployment.redis_pids)
        self._start = self._now()

    def _now(self) -> tuple[float, float]:
        gateway, redis = (1e6 * cpu_seconds(pids) for pids in self._pids)
        return gateway, redis

    def read(self, operations: int = 1) -> Figures:
        spent = [now - start for now, start in zip(self._now(), self._start, strict=True)]
        gateway, redis = (each / operations for each in spent)
        return {ALL: gateway + redis, GATEWAY: gateway, REDIS: redis}


@asynccontextmanager
async def _calls(method: str, deployment: Deployment) -> AsyncIterator[Round]:
    """HTTP calls of a function of a client that answers at once."""
    url = deployment.urls[0]
    provider = await RawClient().connect(url)
    info = await provider.call_manager("services.default.get_connection_info")
    provider.workspace = info["workspace"]
    await _provide(provider)
    path = f"/{provider.workspace}/services/{SERVICE}/echo"
    callers = [await Caller(url, path, method).connect() for _ in range(CONNECTIONS)]

    async def call(caller: Caller) -> None:
        for _ in range(CALLS // CONNECTIONS):
            await caller.request()

    async def measure() -> Figures:
        meter = _Meter(deployment)
        await asyncio.gather(*map(call, callers))
        return meter.read(CALLS)

    yield measure
    for caller in callers:
        caller.close()
    provider.abort()


async def _provide(provider: RawClient) -> None:
    echo = {
        "_rtype": "method",
        "_rtarget": provider.address,
        "_rmethod": f"services.{SERVICE}.echo",
        "_rpromise": True,
    }
    provider.services[SERVICE] = {
        **{"id": SERVICE, "name": SERVICE, "type": "generic", "echo": echo},
        "config": {"visibility": "public"},
    }
    await provider.announce()
    others = provider.on_message

    def answer(payload: bytes) -> None:
        unpacker = msgpack.Unpacker(strict_map_key=False)
        unpacker.feed(payload)
        main = unpacker.unpack()
        if main["method"] == echo["_rmethod"]:
            provider.write(reply_frame(main["from"], main["session"], provider.id, 1))
        else:
            others(payload)

    provider.on_message = answer


@asynccontextmanager
async def _visits(deployment: Deployment) -> AsyncIterator[Round]:
    """Clients that connect, ask who they are, and leave."""

    async def visit() -> None:
        client = await RawClient().connect(deployment.urls[0])
        await client.call_manager("services.default.get_connection_info")
        await client.leave()

    async def measure() -> Figures:
        meter = _Meter(deployment)
        for _ in range(VISITS):
            await visit()
        await _quiet(deployment)
        return meter.read(VISITS)

    yield measure


async def _quiet(deployment: Deployment) -> None:
    """Wait until the gateway is idle, so that the end of the last client counts too."""
    while True:
        meter = _Meter(deployment)
        await asyncio.sleep(0.02)
        if meter.read()[ALL] < 100:
            return


@asynccontextmanager
async def _loaded(case: Case, deployment: Deployment) -> AsyncIterator[Round]:
    """A case of `python -m benchmarks`, by a process of its own for each round."""
    server_cores, client_cores = server_and_client_cores()
    plan = Plan(1, SECONDS, WARM_UP, server_cores, client_cores)

    async def measure() -> Figures:
        figures = await asyncio.to_thread(run_once, case, deployment, plan)
        if case.is_idle():
            return {MEMORY: figures["kilobytes_each"]}
        gateway, redis = 1e3 * figures["server_ms"], 1e3 * figures["redis_ms"]
        return {ALL: gateway + redis, GATEWAY: gateway, REDIS: redis}

    yield measure


Served = Callable[[Deployment], AbstractAsyncContextManager[Round]]
SERVED: dict[str, Served] = {
    "HTTP GET of a function": partial(_calls, "GET"),
    "HTTP POST of a function": partial(_calls, "POST"),
    "connect and leave": _visits,
}
LOADS: dict[str, Served] = {
    case.name: partial(_loaded, case) for case in CASES if OURS in case.subjects
}
IDLE = tuple(case.name for case in CASES if case.is_idle())


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
