"""What is to be reached besides parts of the original's CPU (those are in cases.py)."""

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
    """At most so much, or so many times another figure.

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
    Target("a frame through one gateway, beside an echo by the same path", "µs", FRAME, 2, PATH),
    Target(
        "a frame through one gateway, beside uvicorn's echo",
        "µs",
        FRAME,
        1 / 3,
        UVICORN,
        BESIDE_UVICORN,
    ),
    Target(
        "an echo by our WebSocket path, beside uvicorn's",
        "µs",
        PATH,
        1 / 3,
        UVICORN,
        BESIDE_UVICORN,
    ),
    Target(
        "a frame between two gateways, CPU of both",
        "µs",
        Figure("raw-echo-64", nodes=2, times=PER_FRAME),
        35,
    ),
    Target(
        "a frame with two gateways, each with clients of its own, beside one gateway",
        "µs",
        Figure("raw-near-64", nodes=2, times=PER_FRAME),
        1 / 0.9,
        Figure("raw-near-64", times=PER_FRAME),
    ),
    Target(
        "a call with 10,000 clients attached, beside 10",
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
        "to register a service where there are 1,000, beside 10",
        "ms",
        Figure("register-1000", "cpu_ms"),
        1.3,
        Figure("register-10", "cpu_ms"),
    ),
    Target(
        "p99 of a call at half load, beside p50",
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
        "a request of a web application, beside an HTTP call of the same size",
        "ms",
        Figure("webapp-get-16"),
        3,
        Figure("http-get-16"),
    ),
    Target(
        "a megabyte from a web application, of 1 GiB",
        "ms",
        Figure("webapp-down-1g", "ms_per_megabyte"),
        CPU_PER_MEGABYTE,
    ),
    Target(
        "a megabyte to a web application, of 1 GiB",
        "ms",
        Figure("webapp-up-1g", "ms_per_megabyte"),
        CPU_PER_MEGABYTE,
    ),
    Target("memory that 1 GiB down takes", "MiB", Figure("webapp-down-1g", "grown_mib"), 32),
    Target("memory that 1 GiB up takes", "MiB", Figure("webapp-up-1g", "grown_mib"), 32),
    Target(
        "p99 of a byte of a stream, from the application to the browser",
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
