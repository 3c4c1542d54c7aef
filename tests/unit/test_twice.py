"""CI's second run of what failed: it tells load from fault, and bounds how often it may."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests import twice

ROOT = Path(__file__).parents[2]
FLAKY = """
from pathlib import Path
def test_flaky():
    note = Path("note")
    if not note.exists():
        note.touch()
        raise AssertionError("the machine is slow")
def test_sound():
    pass
"""


class Command:
    """A test command; each time it is run, what is next in `fails` fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fails: list[list[str]] = []
        self.runs: list[Mapping[str, str]] = []
        monkeypatch.setattr(subprocess, "call", self._call)

    def _call(self, command: Sequence[str], env: Mapping[str, str] | None = None) -> int:
        self.runs.append(env or {})
        failed = self.fails.pop(0)
        twice.FAILED.parent.mkdir(parents=True, exist_ok=True)
        twice.FAILED.write_text(json.dumps(dict.fromkeys(failed, True)))
        return int(bool(failed))


@pytest.fixture
def tests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return Command(monkeypatch)


def test_what_passes_runs_once(tests: Command) -> None:
    tests.fails = [[]]

    assert twice.run(["make", "test"]) == 0
    assert len(tests.runs) == 1


def test_what_passes_the_second_time_is_printed_as_flaky(
    tests: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    tests.fails = [["a::one", "a::two"], []]

    assert twice.run(["make", "test"]) == 0
    assert "FLAKY, to be mended:\n  a::one\n  a::two\n" in capsys.readouterr().out
    assert tests.runs[1]["JOBS"] == "0"


def test_what_fails_again_has_failed(tests: Command, capsys: pytest.CaptureFixture[str]) -> None:
    tests.fails = [["a::one", "a::two"], ["a::two"]]

    assert twice.run(["make", "test"]) == 1
    assert "FLAKY, to be mended:\n  a::one\n" in capsys.readouterr().out


def test_more_than_three_flaky_tests_fail_the_run(
    tests: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    tests.fails = [["a::one", "a::two"], [], ["b::three", "b::four"]]

    assert twice.run(["make", "test"]) == 0
    assert twice.run(["make", "test-hypercorn"]) == 1
    assert "2 tests failed, which is too many to be flaky.\n  b::four\n" in capsys.readouterr().out


def test_what_failed_in_an_earlier_command_is_not_this_ones(
    tests: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests.fails = [["a::one"], ["a::one"]]
    twice.run(["make", "test"])
    monkeypatch.setattr(subprocess, "call", lambda *_, **__: 2)

    assert twice.run(["make", "walk"]) == 2


def test_it_works_with_pytest(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    (tmp_path / "test_it.py").write_text(FLAKY)
    environ = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST")}

    done = subprocess.run(
        [sys.executable, "-m", "tests.twice", sys.executable, "-m", "pytest", "-q"],
        cwd=tmp_path,
        env={**environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "1 failed, 1 passed" in done.stdout
    assert done.stdout.endswith("FLAKY, to be mended:\n  test_it.py::test_flaky\n")
