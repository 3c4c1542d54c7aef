"""What a table that is shown again and again does when something goes wrong."""

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest

from hypha_cluster.commands.watching import View, watch
from hypha_cluster.errors import StartupError


class Looked:
    """What each look finds: a number, or nothing because Redis is away."""

    def __init__(self, *finds: int | None) -> None:
        self._finds = list(finds)

    def view(self) -> View:
        return View(("N",), self._look, lambda record: (str(record["n"]),))

    async def _look(self) -> Sequence[dict[str, Any]]:
        if not self._finds:
            raise KeyboardInterrupt
        found = self._finds.pop(0)
        if found is None:
            raise StartupError("Redis is away")
        return [{"n": found}]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


def test_it_goes_on_when_redis_is_away_for_a_while(capsys: pytest.CaptureFixture[str]) -> None:
    watch(Looked(1, None, 2).view(), 1.0, as_json=False)

    said = capsys.readouterr()
    assert said.out.split() == ["N", "1", "N", "2"]
    assert said.err.endswith("Redis is away\n")


def test_where_there_is_nothing_to_look_into_it_ends() -> None:
    with pytest.raises(StartupError, match="Redis is away"):
        watch(Looked(None).view(), 1.0, as_json=False)


def test_programs_get_a_line_for_each_look(capsys: pytest.CaptureFixture[str]) -> None:
    watch(Looked(1, 2).view(), 1.0, as_json=True)

    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == [[{"n": 1}], [{"n": 2}]]


@pytest.mark.parametrize("every", [0, -1, float("nan")])
def test_a_pause_is_above_nothing(every: float) -> None:
    with pytest.raises(StartupError, match="--every is a number of seconds above 0"):
        watch(Looked(1).view(), every, as_json=False)
