"""Results as JSON, as Markdown, and as ratios beside their limits."""

import json
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.accounting import processor_model
from benchmarks.cases import CASES, CPU, Case, Limit
from benchmarks.measure import Plan, Result

OURS, ORIGINAL = "ours", "original"
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
    "kB each": "kilobytes_each",
    "idle CPU, %": "idle_cpu_percent",
}


class Row(NamedTuple):
    """One figure of ours, the original's beside it, and what it may be."""

    case: str
    nodes: int
    ours: float
    same_nodes: float | None
    single: float | None
    limit: Limit | None

    @property
    def is_met(self) -> bool | None:
        """The limits that are relative are to the single-process original."""
        if self.limit is None:
            return None
        if not self.limit.relative:
            return self.ours <= self.limit.most
        return None if self.single is None else self.ours / self.single <= self.limit.most


@dataclass(frozen=True)
class Report:
    """All results of a run of the benchmarks."""

    results: list[Result]
    plan: Plan
    started: str

    def rows(self) -> list[Row]:
        found = [self._row(case, nodes) for case in CASES for nodes in case.nodes]
        return [row for row in found if row is not None]

    def _row(self, case: Case, nodes: int) -> Row | None:
        limit = case.limits.get(nodes)
        figure = limit.figure if limit else CPU
        ours = self._figure(case, nodes, OURS, figure)
        if ours is None:
            return None
        same = self._figure(case, nodes, ORIGINAL, figure)
        single = self._figure(case, 1, ORIGINAL, figure)
        return Row(case.name, nodes, ours, same, single, limit)

    def _figure(self, case: Case, nodes: int, subject: str, figure: str) -> float | None:
        for result in self.results:
            if (result.case, result.nodes, result.subject) == (case.name, nodes, subject):
                return result.median.get(figure)
        return None

    def to_json(self) -> dict[str, Any]:
        return {
            "started": self.started,
            "machine": _machine(),
            "runs": self.plan.runs,
            "seconds": self.plan.seconds,
            "results": [result.to_json() for result in self.results],
            "ratios": [
                {**row._asdict(), "met": row.is_met, "limit": _limit(row)} for row in self.rows()
            ],
        }

    def to_markdown(self) -> str:
        parts = [
            "# Benchmarks",
            f"{self.started}, on {_machine()}; medians of {self.plan.runs} runs of"
            f" {self.plan.seconds:g} s. CPU is user and system time per operation, as the kernel"
            " accounts for it.",
            "## Ours beside the original",
            _table(*_ratio_table(self.rows())),
            "## All figures",
            _table(*_figure_table(self.results)),
            *_failures(self.results),
        ]
        return "\n\n".join(parts) + "\n"

    def write(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.to_json(), indent=1)
        (directory / "benchmarks.json").write_text(text + "\n")
        (directory / "benchmarks.md").write_text(self.to_markdown())


def _machine() -> str:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{processor_model()}, {platform.system()} {platform.release()}, {python}"


def _limit(row: Row) -> str:
    if row.limit is None:
        return ""
    if row.limit.relative:
        return f"≤ 1/{1 / row.limit.most:.0f}"
    return f"{row.limit.figure} ≤ {row.limit.most:g}"


def _ratio_table(rows: Iterable[Row]) -> tuple[list[str], list[list[str]]]:
    header = [
        "case",
        "gateways",
        "ours",
        "original, as many",
        "original, one",
        "ours / as many",
        "ours / one",
        "limit",
        "met",
    ]
    return header, [_ratio_cells(row) for row in rows]


def _ratio_cells(row: Row) -> list[str]:
    met = {True: "yes", False: "**no**", None: ""}[row.is_met]
    figures = [_shown(figure) for figure in (row.ours, row.same_nodes, row.single)]
    parts = [_part(row.ours, other) for other in (row.same_nodes, row.single)]
    return [row.case, str(row.nodes), *figures, *parts, _limit(row), met]


def _part(ours: float, other: float | None) -> str:
    if not other:
        return ""
    return f"1/{other / ours:.1f}" if 0 < ours < other else f"{ours / other:.2f}"


def _figure_table(results: list[Result]) -> tuple[list[str], list[list[str]]]:
    columns = {**CALL_COLUMNS, **OTHER_COLUMNS}
    used = {name: key for name, key in columns.items() if any(key in r.median for r in results)}
    rows = [
        [r.case, r.subject, str(r.nodes), *(_shown(r.median.get(key)) for key in used.values())]
        for r in results
        if r.runs
    ]
    return ["case", "server", "gateways", *used], rows


def _failures(results: Iterable[Result]) -> list[str]:
    failed = [result for result in results if result.error]
    if not failed:
        return []
    texts = [f"{r.case}, {r.subject}, {r.nodes}:\n\n```\n{r.error}\n```" for r in failed]
    return ["## Not measured", *texts]


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---", *(["---:"] * (len(header) - 1))], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(figure: float | None) -> str:
    if figure is None:
        return ""
    if figure >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.3g}" if figure >= 1 else f"{figure:.3f}"
