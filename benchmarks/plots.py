"""Plots of a report, if matplotlib is there."""

import importlib
from pathlib import Path
from typing import Any

from benchmarks.cases import ORIGINAL, OURS
from benchmarks.measure import Result
from benchmarks.report import Report

COLORS = {OURS: "#1f77b4", ORIGINAL: "#999999"}


def plot(report: Report, directory: Path, prefix: str = "") -> list[str]:
    """Write the plots; return their names, none without matplotlib."""
    try:
        pyplot: Any = importlib.import_module("matplotlib.pyplot")
    except ImportError:
        return []
    pyplot.switch_backend("Agg")
    pyplot.rcParams["svg.hashsalt"] = prefix  # the same figures, the same file
    names = [f"{prefix}ratios.svg", f"{prefix}growth.svg"]
    drawn = [
        _plot_ratios(pyplot, report, directory / names[0]),
        _plot_growth(pyplot, report.results, directory / names[1]),
    ]
    return [name for name, is_drawn in zip(names, drawn, strict=True) if is_drawn]


def _plot_ratios(pyplot: Any, report: Report, path: Path) -> bool:
    """How many times less CPU ours takes than the single-process original."""
    rows = [row for row in report.rows() if row.single and row.ours]
    if not rows:
        return False
    figure, axes = pyplot.subplots(figsize=(8, 0.3 * len(rows) + 1), layout="constrained")
    names = [row.case if row.nodes == 1 else f"{row.case}, {row.nodes} gateways" for row in rows]
    axes.barh(names, [(row.single or 0) / row.ours for row in rows], color=COLORS[OURS])
    for place, row in enumerate(rows):
        if row.limit is not None:
            axes.plot([1 / row.limit] * 2, [place - 0.4, place + 0.4], color="black")
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("times less CPU than the original (line: the target)")
    return _save(pyplot, figure, path)


def _plot_growth(pyplot: Any, results: list[Result], path: Path) -> bool:
    """CPU of a gateway per call, by the number of clients."""
    grown = [result for result in results if result.case.startswith("growth-") and result.runs]
    if not grown:
        return False
    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for subject in sorted({result.subject for result in grown}):
        points = sorted(
            (int(result.case.rpartition("-")[2]), 1000 * result.median["server_ms"])
            for result in grown
            if result.subject == subject
        )
        axes.plot(*zip(*points, strict=True), marker="o", label=subject, color=COLORS.get(subject))
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("clients")
    axes.set_ylabel("gateway CPU per call, µs")
    axes.legend()
    return _save(pyplot, figure, path)


def _save(pyplot: Any, figure: Any, path: Path) -> bool:
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return True
