"""An older commit beside what is here, in turns, so that the machine is the same for both.

`python -m benchmarks.beside COMMIT`, or `make bench-beside COMMIT=…`. Both run with the packages of
this environment.
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
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
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
from benchmarks.deployments import Deployment, Place, ours, with_path
from benchmarks.load.frames import frames
from benchmarks.load.http_caller import Caller
from benchmarks.load.raw_client import RawClient, reply_frame

ROOT = Path(__file__).parent.parent
ROUNDS = 30
FRAMES_EACH = 100_000  # bytes of frames, and so many small ones less, that a round passes on
SMALL, FEW_FRAMES = 1_000, 100
CALLS, CONNECTIONS = 320, 8  # HTTP calls of a round, and over how many connections
VISITS = 60  # of a round
WARM = 2  # rounds that do not count
SERVICE = "benchmark"
COLUMNS = ("before, µs", "now, µs", "least", "lower quarter", "pairs")

Round = Callable[[], Awaitable[float]]  # answers the CPU of one operation, in µs


class Row(NamedTuple):
    """CPU of one operation in each round, in µs: of the older commit, and of what is here."""

    case: str
    before: Sequence[float]
    now: Sequence[float]

    def cells(self) -> list[str]:
        """The least of both, and by how much it is more now, seen in three ways."""
        pairs = [now / before for before, now in zip(self.before, self.now, strict=True)]
        ratios = [
            min(self.now) / min(self.before),
            _quarter(self.now) / _quarter(self.before),
            statistics.median(pairs),
        ]
        least = [f"{min(each):.2f}" for each in (self.before, self.now)]
        return [self.case, *least, *(f"{100 * (ratio - 1):+.1f} %" for ratio in ratios)]


def _quarter(figures: Sequence[float]) -> float:
    """What a quarter of the rounds is below: of all figures least moved by what else runs."""
    return sorted(figures)[len(figures) // 4]


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beside", description=__doc__)
    parser.add_argument("commit", help="to measure beside what is here")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of each case ({ROUNDS})")
    names = [*frames(), *SERVED]
    parser.add_argument("--only", action="append", choices=names, metavar="CASE")
    options = parser.parse_args(words)
    wanted = options.only or names
    _say(f"| case | {' | '.join(COLUMNS)} |")
    _say("| --- |" + " ---: |" * len(COLUMNS))
    with tempfile.TemporaryDirectory(prefix="beside-") as folder:
        trees = [unpack(options.commit, Path(folder)), ROOT]
        for row in _rows(trees, wanted, options.rounds):
            _say(f"| {' | '.join(row.cells())} |")


def unpack(commit: str, folder: Path) -> Path:
    """Put the package of a commit there."""
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
    for name, case in SERVED.items():
        if name in wanted:
            yield Row(name, *asyncio.run(_serve(trees, case, rounds)))


def _frame_rows(trees: Sequence[Path], names: Sequence[str], rounds: int) -> Iterator[Row]:
    """Frames cost so little that a loaded machine has ten times as many rounds for them."""
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
    """Who comes when in a round: each is first as often as the others."""
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


async def _serve(trees: Sequence[Path], case: "Served", rounds: int) -> list[list[float]]:
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
        found: list[list[float]] = [[] for _ in sides]
        for number in range(WARM + rounds):
            for at in _turn(number, len(sides)):
                each = await sides[at]()
                if number >= WARM:
                    found[at].append(each)
    return found


def _cost(deployment: Deployment) -> float:
    """CPU of gateway and Redis until now, in µs."""
    return 1e6 * cpu_seconds([*deployment.server_pids, *deployment.redis_pids])


@asynccontextmanager
async def _calls(method: str, deployment: Deployment) -> AsyncIterator[Round]:
    """HTTP calls of a function, which is at a client that answers at once."""
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

    async def measure() -> float:
        before = _cost(deployment)
        await asyncio.gather(*map(call, callers))
        return (_cost(deployment) - before) / CALLS

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

    async def measure() -> float:
        before = _cost(deployment)
        for _ in range(VISITS):
            await visit()
        await _quiet(deployment)
        return (_cost(deployment) - before) / VISITS

    yield measure


async def _quiet(deployment: Deployment) -> None:
    """Wait until the last one is forgotten too."""
    before = _cost(deployment)
    while True:
        await asyncio.sleep(0.02)
        if _cost(deployment) - before < 100:
            return
        before = _cost(deployment)


Served = Callable[[Deployment], AbstractAsyncContextManager[Round]]
SERVED: dict[str, Served] = {
    "HTTP GET of a function": partial(_calls, "GET"),
    "HTTP POST of a function": partial(_calls, "POST"),
    "connect and leave": _visits,
}


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
