"""Two trees of the hub side by side; here both are the same."""

import statistics
from pathlib import Path

import pytest

from benchmarks import beside
from benchmarks.beside import (
    ALL,
    GATEWAY,
    LOADS,
    MEMORY,
    REDIS,
    ROOT,
    SERVED,
    Row,
    _parts,
    _rows,
    _turn,
    main,
)
from benchmarks.deployments import Deployment
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

    assert [row.case for row in rows if ":" not in row.case] == names
    assert [row.case for row in rows][-2:] == [f"{names[-1]}{part}" for part in (GATEWAY, REDIS)]
    assert {len(row.before) == len(row.now) > 0 for row in rows} == {True}
    assert all(statistics.mean([*row.before, *row.now]) > 0 for row in rows)


def test_parts_are_shown_where_redis_has_one() -> None:
    with_redis = {ALL: 100.0, GATEWAY: 90.0, REDIS: 10.0}
    without = {ALL: 100.0, GATEWAY: 99.9, REDIS: 0.1}

    shown = [list(_parts("a case", [each], [each])) for each in (with_redis, without)]

    assert [[row.case for row in rows] for rows in shown] == [
        ["a case", "a case: gateway", "a case: Redis"],
        ["a case"],
    ]


@pytest.mark.parametrize(
    ("name", "figures", "parts"),
    [
        ("echo", {"server_ms": 0.09, "redis_ms": 0.01}, {ALL: 100, GATEWAY: 90, REDIS: 10}),
        ("idle-1000", {"kilobytes_each": 6.5}, {MEMORY: 6.5}),
    ],
)
async def test_cases_of_the_page_are_measured_beside_too(
    name: str, figures: dict[str, float], parts: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "run_once", lambda *_: figures)

    async with LOADS[name](Deployment([], [], [])) as measure:
        assert await measure() == pytest.approx(parts)


def test_a_commit_that_is_not_there_is_said_not_to_be(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"."):
        main(["no-such-commit", "--rounds=1", f"--only={next(iter(SERVED))}"])
