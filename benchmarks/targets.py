"""Targets that are no parts of the original's CPU (those are in cases.py)."""

from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.cases import BARE, GATEWAY_CPU, OURS
from benchmarks.measure import Result


class Figure(NamedTuple):
    """A figure of a result, and what to multiply it with."""

    case: str
    key: str = GATEWAY_CPU
    nodes: int = 1
    subject: str = OURS
    times: float = 1.0

    def of(self, results: list[Result]) -> float | None:
        for result in results:
            if (result.case, result.subject, result.nodes) == (self.case, self.subject, self.nodes):
                figure = result.median.get(self.key)
                return None if figure is None else figure * self.times
        return None


class Quotient(NamedTuple):
    """A figure as a part of another."""

    figure: Figure
    beside: Figure

    def of(self, results: list[Result]) -> float | None:
        figure, beside = self.figure.of(results), self.beside.of(results)
        return figure / beside if figure and beside else None


@dataclass(frozen=True)
class Target:
    """A figure that is to be at most so much, or at most so many times another one.

    floor: what that is for `echo-bare`, which does nothing but read and write.
    """

    says: str
    unit: str
    figure: Figure
    most: float
    beside: Figure | None = None
    floor: Quotient | None = None


class Outcome(NamedTuple):
    """What was measured of a target: a figure, what it stands beside, and both as one number."""

    target: Target
    measured: float
    beside: float | None
    floor: float | None

    @property
    def number(self) -> float:
        return self.measured / self.beside if self.beside else self.measured

    @property
    def is_met(self) -> bool:
        return self.number <= self.target.most


PER_FRAME = 500.0  # from ms for a call to µs for each of its two frames
FRAME = Figure("raw-echo-64", times=PER_FRAME)
PATH = Figure("websocket-echo", subject="echo-direct", times=1000.0)
UVICORN = Figure("websocket-echo", subject="echo-uvicorn", times=1000.0)
BARE_FRAME = Figure("websocket-echo", subject=BARE)
BARE_FRAME_ALONE = Figure("websocket-echo-1", subject=BARE)
BESIDE_UVICORN = Quotient(BARE_FRAME._replace(times=1000.0), UVICORN)

# What a call by the real client takes, by its case and the number of gateways, if a gateway does
# nothing but read and write: each frame once, between two gateways twice. Redis comes on top.
FLOORS = {
    ("echo", 1): BARE_FRAME_ALONE._replace(times=2.0),
    ("echo", 2): BARE_FRAME_ALONE._replace(times=4.0),
    ("echo-64", 1): BARE_FRAME._replace(times=2.0),
    ("echo-64", 2): BARE_FRAME._replace(times=4.0),
}

CPU_PER_MEGABYTE = 1000.0 / 300.0  # ms: 300 MB in a second of a gateway's CPU

TARGETS = [
    Target(
        "CPU of a frame through one gateway, beside an echo by the same WebSocket path",
        "µs",
        FRAME,
        2,
        PATH,
    ),
    Target(
        "CPU of a frame through one gateway, beside an echo by uvicorn",
        "µs",
        FRAME,
        1 / 3,
        UVICORN,
        BESIDE_UVICORN,
    ),
    Target(
        "CPU of an echo by our WebSocket path, beside an echo by uvicorn",
        "µs",
        PATH,
        1 / 3,
        UVICORN,
        BESIDE_UVICORN,
    ),
    Target(
        "CPU of a frame between two gateways, of both together",
        "µs",
        Figure("raw-echo-64", nodes=2, times=PER_FRAME),
        35,
    ),
    Target(
        "CPU of a frame where caller and target share one of two gateways, beside one gateway",
        "µs",
        Figure("raw-near-64", nodes=2, times=PER_FRAME),
        1 / 0.9,
        Figure("raw-near-64", times=PER_FRAME),
    ),
    Target(
        "CPU of a call with 10,000 clients attached, beside 10",
        "ms",
        Figure("growth-10000"),
        1.3,
        Figure("growth-10"),
        Quotient(
            Figure("websocket-growth-10000", subject=BARE),
            Figure("websocket-growth-10", subject=BARE),
        ),
    ),
    Target(
        "CPU of registering a service where there are 1,000, beside 10",
        "ms",
        Figure("register-1000", "cpu_ms"),
        1.3,
        Figure("register-10", "cpu_ms"),
    ),
    Target(
        "p99 of a call at half load, beside its p50",
        "ms",
        Figure("raw-half-load", "p99"),
        5,
        Figure("raw-half-load", "p50"),
        Quotient(
            Figure("websocket-half-load", "p99", subject=BARE),
            Figure("websocket-half-load", "p50", subject=BARE),
        ),
    ),
    Target(
        "CPU of a request of a web application, beside an HTTP call of the same size",
        "ms",
        Figure("webapp-get-16"),
        3,
        Figure("http-get-16"),
    ),
    Target(
        "CPU of a megabyte from a web application, in a body of 1 GiB",
        "ms",
        Figure("webapp-down-1g", "ms_per_megabyte"),
        CPU_PER_MEGABYTE,
    ),
    Target(
        "CPU of a megabyte to a web application, in a body of 1 GiB",
        "ms",
        Figure("webapp-up-1g", "ms_per_megabyte"),
        CPU_PER_MEGABYTE,
    ),
    Target(
        "memory that a gateway needs for 1 GiB from a web application",
        "MiB",
        Figure("webapp-down-1g", "grown_mib"),
        32,
    ),
    Target(
        "memory that a gateway needs for 1 GiB to a web application",
        "MiB",
        Figure("webapp-up-1g", "grown_mib"),
        32,
    ),
    Target(
        "p99 of the time from an application's `send` to the browser, of one byte",
        "ms",
        Figure("webapp-first-byte", "p99"),
        5,
    ),
    Target("memory of an idle connection", "kB", Figure("idle-10000", "kilobytes_each"), 20),
    Target("CPU of 10,000 idle connections", "%", Figure("idle-10000", "idle_cpu_percent"), 1),
]


def outcomes(results: list[Result]) -> list[Outcome]:
    """Those of the targets that were measured."""
    found = []
    for target in TARGETS:
        measured = target.figure.of(results)
        beside = target.beside.of(results) if target.beside else None
        if measured is not None and (target.beside is None or beside):
            floor = target.floor.of(results) if target.floor else None
            found.append(Outcome(target, measured, beside, floor))
    return found
