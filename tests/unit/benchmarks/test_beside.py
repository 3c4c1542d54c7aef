"""Two trees of the hub side by side; here both are the same."""

import statistics
from pathlib import Path

import pytest

from benchmarks.beside import ROOT, SERVED, Row, _rows, _turn, main
from benchmarks.load.frames import frames, passing


def test_a_row_says_by_how_much_it_is_more_now() -> None:
    row = Row("a frame", before=[4.0, 2.0, 8.0, 4.0], now=[4.4, 2.1, 8.8, 4.4])

    assert row.cells() == ["a frame", "2.00", "2.10", "+5.0 %", "+10.0 %", "+10.0 %"]


def test_each_is_first_as_often_as_the_other() -> None:
    assert [_turn(number, 2) for number in range(4)] == [[0, 1], [1, 0]] * 2


@pytest.mark.parametrize("name", frames())
def test_every_frame_passes(name: str) -> None:
    assert len(passing()(frames()[name])) > 100


def test_both_trees_are_measured_in_every_round() -> None:
    names = ["its answer", "HTTP GET of a function", "connect and leave"]

    rows = list(_rows([ROOT, ROOT], names, rounds=1))

    assert [row.case for row in rows] == names
    assert {len(row.before) == len(row.now) > 0 for row in rows} == {True}
    assert all(statistics.mean([*row.before, *row.now]) > 0 for row in rows)


def test_a_commit_that_is_not_there_is_said_not_to_be(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"."):
        main(["no-such-commit", "--rounds=1", f"--only={next(iter(SERVED))}"])
