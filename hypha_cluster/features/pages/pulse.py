"""What the gateways do right now: each measures itself, and writes that where all can read it."""

import asyncio
import json
import os
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.links.client import RedisClient, settled
from hypha_cluster.metrics import BOUNDS, ROUTES, Counts
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.nodes import NodeInfo, list_nodes

EVERY: Final = 1.0  # seconds between two measurements
KEPT: Final = 120  # of the last measurements, two minutes
LIFETIME: Final = 15.0  # seconds after which the measurements of a silent gateway are forgotten
FRESH: Final = 0.5  # seconds for which what was read answers everybody


class Sample(NamedTuple):
    """One measurement; times in milliseconds, None where nothing was called."""

    frames: float  # a second
    calls: float  # a second
    p50: float | None
    p99: float | None
    redis: float | None
    clients: int
    cpu: float = 0.0  # of one processor
    memory: int = 0  # bytes; 0 where the system does not tell
    commands: float = 0.0  # to Redis, a second


SHOWN: Final = 6  # fields of a sample that the page shows; operators see the others by `top`


class _Totals(NamedTuple):
    """What has been counted up to a moment."""

    at: float
    frames: int
    calls: tuple[int, ...]
    commands: int
    waited: float
    cpu: float


class Gateway(NamedTuple):
    """A gateway that has a lease, and its last measurements, the newest last."""

    info: NodeInfo
    samples: list[list[float | None]]


class Pulse:
    """Measures this gateway, and reads what all of them have measured."""

    def __init__(self, node: str, counts: Counts, redis: RedisClient, keys: Keys) -> None:
        self.node = node
        self._counts = counts
        self._redis = redis
        self._keys = keys
        self._samples: deque[Sample] = deque(maxlen=KEPT)
        self._before = self._totals()
        self._read: tuple[float, list[Gateway] | RedisUnavailable] = (-FRESH, [])
        self._reading = asyncio.Lock()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            with suppress(RedisUnavailable):  # the links log that
                clients = await self._redis.scard(self._keys.node_clients(self.node))
                self.measure(clients)
                await self._redis.set_for(
                    self._keys.pulse(self.node), json.dumps(self._samples_kept()), _ms(LIFETIME)
                )

    def measure(self, clients: int) -> None:
        """Note what has happened since the last time, and how many clients there are."""
        before, now = self._before, self._totals()
        self._before = now
        seconds = max(now.at - before.at, 1e-3)
        calls = [later - earlier for later, earlier in zip(now.calls, before.calls, strict=True)]
        commands = now.commands - before.commands
        self._samples.append(
            Sample(
                round((now.frames - before.frames) / seconds, 1),
                round(sum(calls) / seconds, 1),
                quantile(calls, 0.5),
                quantile(calls, 0.99),
                round((now.waited - before.waited) / commands * 1000, 2) if commands else None,
                clients,
                round((now.cpu - before.cpu) / seconds, 3),
                _memory(),
                round(commands / seconds, 1),
            )
        )

    def _totals(self) -> _Totals:
        counts, meter = self._counts, self._redis.meter
        return _Totals(
            time.monotonic(),
            sum(getattr(counts, f"frames_{route}") for route in ROUTES),
            tuple(counts.calls.counts),
            sum(meter.durations.counts),
            meter.durations.sum,
            time.process_time(),
        )

    def _samples_kept(self) -> list[list[float | None]]:
        return [list(sample) for sample in self._samples]

    async def gateways(self) -> list[Gateway]:
        """All gateways that are up; RedisUnavailable. It costs the same however many ask."""
        async with self._reading:
            at, found = self._read
            if time.monotonic() - at > FRESH:
                found = await self._look()
                self._read = (time.monotonic(), found)
        if isinstance(found, RedisUnavailable):
            raise found
        return found

    async def _look(self) -> list[Gateway] | RedisUnavailable:
        """Read all pulses; a failure is returned, so that those who wait do not each ask again."""
        try:
            return await read_pulses(self._redis, self._keys)
        except RedisUnavailable as error:
            return error

    def alone(self) -> list[list[float | None]]:
        """What this gateway knows of itself, when there is no Redis to ask for the others."""
        return self._samples_kept()


async def read_pulses(redis: RedisClient, keys: Keys) -> list[Gateway]:
    """All gateways that have a lease, with what each has measured; RedisUnavailable."""
    nodes = [node for node in await list_nodes(redis, keys) if node.alive]
    pulses = await settled([redis.get(keys.pulse(node.name)) for node in nodes])
    return [
        Gateway(node, json.loads(pulse or b"[]")) for node, pulse in zip(nodes, pulses, strict=True)
    ]


def _memory() -> int:
    """Bytes that this process has in memory."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def quantile(counts: Sequence[int], part: float) -> float | None:
    """The end of the bucket, in ms, within which this part of the calls was answered."""
    total, seen = sum(counts), 0
    if not total:
        return None
    for bound, count in zip(BOUNDS, counts, strict=False):
        seen += count
        if seen >= part * total:
            return bound * 1000
    return BOUNDS[-1] * 1000


def to_wire(gateways: list[Gateway], *, with_addresses: bool) -> list[dict[str, Any]]:
    """What the hub's page draws."""
    return [
        {
            "name": info.name,
            "version": info.version,
            "started": info.started,
            "draining": info.draining,
            "clients": info.clients,
            "samples": [sample[:SHOWN] for sample in samples],
            **({"address": info.address} if with_addresses else {}),
        }
        for info, samples in gateways
    ]


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
