"""How results become medians, ratios and tables."""

import json
from pathlib import Path

import pytest

from benchmarks.cases import BARE, ORIGINAL, OURS
from benchmarks.load.job import percentiles
from benchmarks.measure import Plan, Result
from benchmarks.page import BEGIN, END, write_page
from benchmarks.report import Report, about
from benchmarks.targets import outcomes


def _result(subject: str, nodes: int, *cpu_ms: float) -> Result:
    return Result("echo", subject, nodes, [{"cpu_ms": each} for each in cpu_ms])


def _report(*results: Result) -> Report:
    return Report(list(results), about("today", Plan(), "a command"))


def test_percentiles_are_of_the_nearest_rank_and_in_milliseconds() -> None:
    seconds = [number / 1000 for number in range(1001)]

    assert percentiles(seconds) == {"p50": 500, "p99": 990, "p999": 999}


def test_there_are_no_percentiles_of_nothing() -> None:
    assert percentiles([]) == {}


def test_the_median_is_taken_of_each_figure() -> None:
    runs = [{"a": 1.0, "b": 9.0}, {"a": 3.0, "b": 1.0}, {"a": 2.0}]

    assert Result("echo", OURS, 1, runs).median == {"a": 2.0, "b": 5.0}


@pytest.mark.parametrize(("ours", "met"), [(0.19, True), (0.21, False)])
def test_a_limit_is_relative_to_the_original(ours: float, met: bool) -> None:
    report = _report(_result(OURS, 1, ours), _result(ORIGINAL, 1, 1.0))

    (row,) = report.rows()

    assert row.is_met is met


def test_several_gateways_are_held_to_the_single_original() -> None:
    report = _report(_result(OURS, 2, 0.3), _result(ORIGINAL, 2, 10.0), _result(ORIGINAL, 1, 1.0))

    (row,) = report.rows()

    assert (row.same_nodes, row.single, row.is_met) == (10.0, 1.0, False)


def test_nothing_is_claimed_without_the_original() -> None:
    (row,) = _report(_result(OURS, 1, 0.1)).rows()

    assert row.is_met is None


def test_a_report_is_written_as_json_and_markdown(tmp_path: Path) -> None:
    failed = Result("echo", ORIGINAL, 1, [], "it broke")

    _report(_result(OURS, 1, 0.1), failed).write(tmp_path)

    written = json.loads((tmp_path / "benchmarks.json").read_text())
    assert [result["median"] for result in written["results"]] == [{"cpu_ms": 0.1}, {}]
    assert "it broke" in (tmp_path / "benchmarks.md").read_text()


@pytest.mark.parametrize(("many", "met"), [(1.2, True), (1.4, False)])
def test_a_target_may_stand_beside_another_figure(many: float, met: bool) -> None:
    results = [Result("growth-10", OURS, 1, [{"server_ms": 2.0}])]
    results += [Result("growth-10000", OURS, 1, [{"server_ms": 2.0 * many}])]

    (outcome,) = outcomes(results)

    assert outcome.number == pytest.approx(many)
    assert outcome.is_met is met


def test_a_floor_is_to_read_and_write_the_frames_of_a_call_and_redis() -> None:
    bare = Result("websocket-echo-1", BARE, 1, [{"server_ms": 0.02}])
    ours = Result("echo", OURS, 2, [{"cpu_ms": 0.4, "redis_ms": 0.1}])

    (row,) = _report(bare, ours, _result(ORIGINAL, 1, 1.0)).rows()

    assert row.floor == pytest.approx(4 * 0.02 + 0.1)


def test_a_page_gets_the_figures_of_a_written_report(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nearlier figures\n{END}\nafter\n")
    _report(_result(OURS, 1, 0.1), _result(ORIGINAL, 1, 1.0)).write(tmp_path)

    write_page(Report.read(tmp_path), page)

    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| echo | 1 | 0.1 | 1 | 1 | 1/10.0 | 1/10.0 |  | 1/5 | yes |" in text
    assert "earlier figures" not in text
