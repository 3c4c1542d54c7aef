"""The benchmarks as a command, for a moment."""

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.cases import CASES
from benchmarks.load.__main__ import find

SCENARIOS = sorted({case.scenario for case in CASES if not case.by_real_client()})


@pytest.mark.parametrize("name", ["sse-call", "sse-idle-1000"])
def test_event_streams_are_measured(name: str, tmp_path: Path) -> None:
    main(["--quick", "--seconds=0.2", f"--only={name}", f"--out={tmp_path}"])

    (result,) = json.loads((tmp_path / "benchmarks.json").read_text())["results"]
    assert (result["case"], result["error"]) == (name, "")
    assert result["median"]["server_ms"] > 0


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


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_that_needs_no_published_client_is_there(scenario: str) -> None:
    assert callable(find(scenario))
