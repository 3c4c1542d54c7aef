"""`hypha-cluster top`."""

from typing import Annotated, Any, Final

from cyclopts import Parameter

from hypha_cluster.commands.output import show_json, show_table
from hypha_cluster.commands.status import NOTHING
from hypha_cluster.commands.target import cluster
from hypha_cluster.commands.watching import View, watch
from hypha_cluster.features.pages.pulse import Gateway, Sample, read_pulses

COLUMNS: Final = (
    "GATEWAY", "STATE", "CLIENTS", "FRAMES/S", "CALLS/S", "P50", "P99", "CPU", "MEMORY", "REDIS/S",
)  # fmt: skip
MIB: Final = 1 << 20


def top(
    *,
    every: Annotated[float, Parameter(show_default=True)] = 2.0,
    once: bool = False,
    json: bool = False,
) -> None:
    """Show what the gateways of a cluster do: clients, frames, calls, CPU and memory, live.

    Each gateway measures itself every second, and leaves the figures in Redis. So gateways that
    share a port are told apart, and this command need not reach any of them.

    For example:

    ```sh
    hypha-cluster top --redis-url redis://redis.example
    hypha-cluster top --once --json
    ```

    Parameters
    ----------
    every
        Seconds between two looks.
    once
        Look once, and end.
    json
        Print a list of objects, for programs; without --once one line for each look.
    """
    view = View(COLUMNS, look, _row)
    if not once:
        watch(view, every, as_json=json)
    elif json:
        show_json(view.found())
    else:
        show_table(COLUMNS, view.rows(view.found()), NOTHING)


async def look() -> list[dict[str, Any]]:
    """What each gateway that has a lease has measured last."""
    async with cluster() as target:
        return [record_of(gateway) for gateway in await read_pulses(target.redis, target.keys)]


def record_of(gateway: Gateway) -> dict[str, Any]:
    """What is told of a gateway; without measurements, if it has just started."""
    record = {
        "gateway": gateway.info.name,
        "state": "draining" if gateway.info.draining else "ready",
        "clients": gateway.info.clients,
    }
    if not gateway.samples:
        return record
    sample = Sample(*gateway.samples[-1])  # type: ignore[arg-type]  # as JSON has it
    return {
        **record,
        "frames_per_second": sample.frames,
        "calls_per_second": sample.calls,
        "p50_seconds": _seconds(sample.p50),
        "p99_seconds": _seconds(sample.p99),
        "cpu": sample.cpu,
        "memory_bytes": sample.memory,
        "redis_operations_per_second": sample.commands,
    }


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


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
