"""The benchmarks as a command, for a moment."""

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.cases import CASES
from benchmarks.load.__main__ import find


def test_a_case_is_measured_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--quick", "--seconds=0.2", "--only=raw-echo", "--subject=ours", "--nodes=1"]

    main([*words, f"--out={tmp_path}"])

    (result,) = json.loads((tmp_path / "benchmarks.json").read_text())["results"]
    assert (result["case"], result["error"]) == ("raw-echo", "")
    assert result["median"]["operations"] > 0
    assert "raw-echo" in capsys.readouterr().out


def test_an_unknown_case_is_refused() -> None:
    with pytest.raises(SystemExit, match="No such case: nonsense"):
        main(["--only=nonsense"])


def test_case_names_are_unique() -> None:
    names = [case.name for case in CASES]

    assert len(names) == len(set(names))


@pytest.mark.parametrize("scenario", sorted({c.scenario for c in CASES if "raw." in c.scenario}))
def test_every_raw_scenario_is_there(scenario: str) -> None:
    assert callable(find(scenario))
