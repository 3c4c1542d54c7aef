"""`hypha-cluster top`."""

import asyncio
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, Final, NamedTuple

import httpx2
from cyclopts import Parameter

from hypha_cluster.commands.output import plain_table, rich_table, show_json
from hypha_cluster.commands.status import nodes
from hypha_cluster.registry.nodes import NodeInfo
from hypha_cluster.serving.logs import wants_colour

COLUMNS: Final = (
    "GATEWAY", "STATE", "CLIENTS", "FRAMES/S", "CALLS/S", "P50", "P99", "CPU", "MEMORY", "REDIS/S",
)  # fmt: skip
PATIENCE: Final = 2.0  # seconds, for the metrics of one gateway
SAMPLE: Final = re.compile(r"^(\w+?)(?:\{(.*?)\})? ([-+.\deE]+|NaN|\+Inf)$", re.MULTILINE)
MIB: Final = 1 << 20


class Reading(NamedTuple):
    """The metrics of a gateway at one moment: sums over labels, and calls by their longest time."""

    at: float
    sums: Mapping[str, float]
    calls: Mapping[float, float]


def top(
    *,
    every: Annotated[float, Parameter(show_default=True)] = 2.0,
    once: bool = False,
    json: bool = False,
) -> None:
    """Show what the gateways of a cluster do: clients, frames, calls, CPU and memory, live.

    Each gateway is asked for its metrics, at the address that `status` shows. Gateways that share
    a port cannot be told apart there, so only their clients are shown.

    For example:

    ```sh
    hypha-cluster top --redis-url redis://redis.example
    hypha-cluster top --once --json
    ```

    Parameters
    ----------
    every
        Seconds between two looks, over which rates are reckoned.
    once
        Look once, and end.
    json
        Print objects, one list for each look, for programs.
    """
    with suppress(KeyboardInterrupt):
        _show(every, once=once, json=json)


def _show(every: float, *, once: bool, json: bool) -> None:
    before = asyncio.run(_look())
    if wants_colour(sys.stdout) and not (once or json):
        _show_live(before, every)
        return
    while True:
        time.sleep(every)
        now = asyncio.run(_look())
        if json:
            show_json(_records(before, now))
        else:
            sys.stdout.write(plain_table([COLUMNS, *map(_row, _records(before, now))]) + "\n")
            sys.stdout.flush()
        if once:
            return
        before = now


Look = list[tuple[NodeInfo, Reading | None]]


def _show_live(before: Look, every: float) -> None:
    from rich.live import Live

    with Live(
        rich_table(COLUMNS, [_row(r) for r in _records(before, before)]), screen=True
    ) as live:
        while True:
            time.sleep(every)
            now = asyncio.run(_look())
            live.update(rich_table(COLUMNS, [_row(record) for record in _records(before, now)]))
            before = now


async def _look() -> Look:
    found = [node for node in await nodes() if node.alive]
    shared = Counter(node.address for node in found)
    async with httpx2.AsyncClient(verify=False, timeout=PATIENCE) as client:
        readings = [_read(client, node) for node in found if shared[node.address] == 1]
        read = dict(await asyncio.gather(*readings))
    return [(node, read.get(node.name)) for node in found]


async def _read(client: httpx2.AsyncClient, node: NodeInfo) -> tuple[str, Reading | None]:
    try:
        answer = await client.get(f"{node.address}/metrics")
        answer.raise_for_status()
    except httpx2.HTTPError:
        return node.name, None
    return node.name, reading_of(answer.text)


def reading_of(text: str) -> Reading:
    """What the metrics of a gateway say."""
    sums: defaultdict[str, float] = defaultdict(float)
    calls: defaultdict[float, float] = defaultdict(float)
    for name, labels, value in SAMPLE.findall(text):
        sums[name] += float(value)
        if name == "hypha_call_duration_seconds_bucket":
            bound = re.search(r'le="([^"]+)"', labels)
            calls[float(bound[1]) if bound else float("inf")] += float(value)
    return Reading(time.monotonic(), sums, calls)


def _records(before: Look, now: Look) -> list[dict[str, Any]]:
    earlier = {node.name: reading for node, reading in before}
    return [_record(node, earlier.get(node.name), reading) for node, reading in now]


def _record(node: NodeInfo, before: Reading | None, now: Reading | None) -> dict[str, Any]:
    record: dict[str, Any] = {
        "gateway": node.name,
        "state": "draining" if node.draining else "ready",
        "clients": node.clients,
    }
    if before is None or now is None or now.at <= before.at:
        return record
    return {**record, **rates(before, now)}


def rates(before: Reading, now: Reading) -> dict[str, float | None]:
    """What happened between two readings, for each second."""
    seconds = now.at - before.at

    def rate(name: str) -> float:
        return (now.sums.get(name, 0.0) - before.sums.get(name, 0.0)) / seconds

    buckets = {bound: now.calls[bound] - before.calls.get(bound, 0.0) for bound in now.calls}
    return {
        "frames_per_second": rate("hypha_frames_total"),
        "calls_per_second": rate("hypha_call_duration_seconds_count"),
        "p50_seconds": quantile(buckets, 0.5),
        "p99_seconds": quantile(buckets, 0.99),
        "cpu": rate("process_cpu_seconds_total"),
        "memory_bytes": now.sums.get("process_resident_memory_bytes", 0.0),
        "redis_operations_per_second": rate("hypha_store_operations_total"),
    }


def quantile(buckets: Mapping[float, float], part: float) -> float | None:
    """The upper end of the bucket within which this part of the calls ended."""
    total = max(buckets.values(), default=0.0)
    if not total:
        return None
    return next(bound for bound in sorted(buckets) if buckets[bound] >= part * total)


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    return (
        record["gateway"],
        record["state"],
        str(record["clients"]),
        _number(record.get("frames_per_second"), "{:.0f}"),
        _number(record.get("calls_per_second"), "{:.0f}"),
        _number(record.get("p50_seconds"), "{:g} s"),
        _number(record.get("p99_seconds"), "{:g} s"),
        _number(record.get("cpu"), "{:.0%}"),
        _number(record.get("memory_bytes"), "{:.0f} MiB", MIB),
        _number(record.get("redis_operations_per_second"), "{:.0f}"),
    )


def _number(value: float | None, shape: str, unit: float = 1.0) -> str:
    return "-" if value is None else shape.format(value / unit)
