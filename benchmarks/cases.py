"""What is measured, and what is to be reached (docs/performance.md has the results)."""

from dataclasses import dataclass, field
from fractions import Fraction

CPU = "cpu_ms"  # of gateways and Redis together, per operation
CLIENT_LIMIT = 1_000  # connections: more take the original very long to make


@dataclass(frozen=True)
class Limit:
    """The most that a figure of ours may be, as it is or as a part of the original's."""

    most: float
    figure: str = CPU
    relative: bool = True


@dataclass(frozen=True)
class Case:
    """A scenario of benchmarks.load, on how many gateways, and its limit by that number."""

    name: str
    scenario: str
    options: dict[str, int] = field(default_factory=dict)
    nodes: tuple[int, ...] = (1,)
    limits: dict[int, Limit] = field(default_factory=dict)
    ours_only: bool = False

    def by_real_client(self) -> bool:
        return not self.scenario.startswith("raw.")


def _part(numerator: int, denominator: int) -> Limit:
    return Limit(float(Fraction(numerator, denominator)))


def _calls() -> list[Case]:
    alone = {1: _part(1, 5), 2: _part(1, 4)}
    many = {1: _part(1, 8), 2: _part(1, 5)}
    return [
        Case("echo", "real.echo", {}, (1, 2), alone),
        Case("echo-64", "real.echo", {"each": 64}, (1, 2), many),
        Case("echo-8x8", "real.echo", {"callers": 8, "each": 8}, (1, 2)),
        Case("fan-out-500", "real.fan_out", {"callers": 500}, (1, 2)),
        Case("array-1", "real.array", {"megabytes": 1}, (1, 2)),
        Case("array-16", "real.array", {"megabytes": 16}, (1, 2), {1: _part(1, 15)}),
    ]


def _registry() -> list[Case]:
    register = [
        Case(f"register-{n}", "real.register_service", {"services": n}, (1,), {1: _part(1, 15)})
        for n in (10, 100, 1_000)
    ]
    own = {"services": 100, "own": 1}
    register.append(Case("register-own-100", "real.register_service", own, (1,), {1: _part(1, 15)}))
    fifth = {1: _part(1, 5)}
    return [
        Case("get-service", "real.get_service", {}, (1, 2), {1: _part(1, 6)}),
        *register,
        Case("connect", "real.connect", {}, (1, 2), fifth),
        Case("connect-20", "real.connect", {"at_once": 20}, (1,), fifth),
    ]


def _http() -> list[Case]:
    eighth = {1: _part(1, 8)}
    return [
        Case(f"http-{verb}-{n}", "http.call", {"post": post, "callers": n}, (1,), eighth)
        for post, verb in enumerate(("get", "post"))
        for n in (1, 16)
    ]


def _raw() -> list[Case]:
    spread = {1: Limit(5.0, "p99_over_p50", relative=False)}
    across = {2: Limit(2 * 0.035, CPU, relative=False)}  # two frames an echo
    return [
        Case("raw-echo", "raw.echo", {}, (1, 2)),
        Case("raw-echo-64", "raw.echo", {"pairs": 8, "under_way": 64}, (1, 2, 3), across),
        Case("raw-echo-500k", "raw.echo", {"under_way": 2, "kilobytes": 500}, (1, 2)),
        Case("raw-half-load", "raw.half_load", {}, (1,), spread, ours_only=True),
        Case("raw-get-service", "raw.get_service", {}, (1, 2)),
        Case("raw-connect", "raw.connect", {}),
        Case("raw-connect-20", "raw.connect", {"at_once": 20}),
    ]


def _many_clients() -> list[Case]:
    memory = {1: Limit(20.0, "kilobytes_each", relative=False)}
    idle = [
        Case(f"idle-{n}", "raw.idle", {"connections": n}, (1,), memory, ours_only=n > CLIENT_LIMIT)
        for n in (1_000, 10_000)
    ]
    options = {"under_way": 5}
    growth = [
        Case(
            f"growth-{n}",
            "raw.echo",
            {**options, "pairs": n // 2},
            (1,),
            ours_only=n > CLIENT_LIMIT,
        )
        for n in (10, 100, 1_000, 10_000)
    ]
    return [*idle, *growth]


CASES = [*_calls(), *_registry(), *_http(), *_raw(), *_many_clients()]
