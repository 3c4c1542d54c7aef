"""What a load process is asked to do, and what it measures; both travel as JSON."""

import asyncio
import os
import time
from array import array
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.accounting import Cost, cpu_seconds, resident_bytes

Operation = Callable[[], Awaitable[None]]
PERCENTILES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}


@dataclass(frozen=True)
class Job:
    """A scenario by name, how long, and at which server. Clients spread over `urls` in turn."""

    scenario: str
    options: dict[str, Any]
    urls: list[str]
    server_pids: list[int]
    redis_pids: list[int]
    seconds: float
    warm_up: float

    def option(self, name: str, default: int = 0) -> int:
        return int(self.options.get(name, default))

    def url(self, number: int) -> str:
        return self.urls[number % len(self.urls)]

    def cost(self) -> Cost:
        times = os.times()
        server, redis = cpu_seconds(self.server_pids), cpu_seconds(self.redis_pids)
        return Cost(server, redis, times.user + times.system, time.perf_counter())

    def server_memory(self) -> int:
        return resident_bytes(self.server_pids)


@dataclass
class Measurement:
    """What was done while the meter ran. `extra` is what a scenario measures besides."""

    operations: int = 0
    cost: Cost = field(default_factory=Cost)
    latencies: "array[float]" = field(default_factory=lambda: array("d"))
    extra: dict[str, float] = field(default_factory=dict)
    memory: int = 0  # bytes that the gateways held in the end

    @contextmanager
    def metered(self, job: Job) -> Iterator[None]:
        before = job.cost()
        yield
        self.cost = self.cost.plus(job.cost().minus(before))
        self.memory = job.server_memory()

    def add(self, since: float) -> None:
        self.latencies.append(time.perf_counter() - since)
        self.operations += 1

    def to_json(self) -> dict[str, float]:
        """Latencies in ms, CPU in ms per operation."""
        each = 1000 / max(1, self.operations)
        wall = self.cost.wall or 1.0
        return {
            "operations": self.operations,
            "per_second": self.operations / wall,
            "server_ms": self.cost.server * each,
            "redis_ms": self.cost.redis * each,
            "server_busy": self.cost.server / wall,
            "client_busy": self.cost.client / wall,
            "server_mb": self.memory / 1e6,
            **percentiles(self.latencies),
            **self.extra,
        }


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """In ms, by the nearest rank."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    last = len(ordered) - 1
    return {name: ordered[round(part * last)] * 1000 for name, part in PERCENTILES.items()}


async def repeat(operations: Sequence[Operation], job: Job) -> Measurement:
    """Do each operation again and again, all at the same time; the warm-up does not count."""
    await _repeat_for(job.warm_up, operations, Measurement())
    measured = Measurement()
    with measured.metered(job):
        await _repeat_for(job.seconds, operations, measured)
    return measured


async def _repeat_for(
    seconds: float, operations: Sequence[Operation], measured: Measurement
) -> None:
    end = time.perf_counter() + seconds
    await asyncio.gather(*(_repeat_until(end, each, measured) for each in operations))


async def _repeat_until(end: float, operation: Operation, measured: Measurement) -> None:
    while (since := time.perf_counter()) < end:
        await operation()
        measured.add(since)


async def repeat_in_waves(operations: Sequence[Operation], job: Job) -> Measurement:
    """Do all operations at once, and all again when the last is done."""
    await _waves_for(job.warm_up, operations, Measurement())
    measured = Measurement()
    with measured.metered(job):
        await _waves_for(job.seconds, operations, measured)
    return measured


async def _waves_for(
    seconds: float, operations: Sequence[Operation], measured: Measurement
) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        await asyncio.gather(*(_once(operation, measured) for operation in operations))


async def _once(operation: Operation, measured: Measurement) -> None:
    since = time.perf_counter()
    await operation()
    measured.add(since)
