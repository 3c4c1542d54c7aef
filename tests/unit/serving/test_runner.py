"""The process of a runner beside a hub: when there is one, and what becomes of it."""

import dataclasses
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hypha_cluster.errors import RedisUnavailable, StartupError
from hypha_cluster.hub_settings import HubSettings
from hypha_cluster.serving import runner as module
from hypha_cluster.serving.runner import _Beside, run_runner, runner_beside, terms_of

LIMIT = 60.0
# Notes a line, and the rest of what it is told, in a file; then ends as it is told by its name.
_LIVES = (
    "import signal, sys\n"
    "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
    "line = sys.stdin.readline()\n"
    "open({path!r}, 'a').write(line)\n"
)
PROGRAMS = {
    "lives": _LIVES + "sys.stdin.read()\n",
    "dies": _LIVES + "sys.exit(3)\n",
    "does not listen": "import sys\nopen({path!r}, 'a').write('{{}}\\n')\nsys.exit(3)\n",
    "deaf": _LIVES.replace("lambda *_: sys.exit(0)", "signal.SIG_IGN") + "sys.stdin.read()\n",
}


def settings(*flags: str) -> HubSettings:
    return HubSettings.load(flags, {})


class Rig:
    """A program in the place of the runner, and what it has been told each time."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self._monkeypatch = monkeypatch
        self.beside = _Beside(settings("--jwt-secret", "s" * 40))
        self._thread = threading.Thread(target=self.beside.keep, daemon=True)

    def start(self, program: str) -> None:
        code = PROGRAMS[program].format(path=str(self.path))
        self._monkeypatch.setattr(module, "_COMMAND", (sys.executable, "-c", code))
        self._monkeypatch.setattr(module, "_PAUSES", (0.0,))
        self._thread.start()

    @property
    def told(self) -> list[str]:
        return self.path.read_text().splitlines() if self.path.exists() else []

    def until(self, reached: Callable[[], bool]) -> None:
        waiting = threading.Event()
        for _ in range(int(LIMIT / 0.02)):
            if reached():
                return
            waiting.wait(0.02)
        raise AssertionError("It has not come to this in time.")

    def has_ended(self) -> bool:
        self._thread.join(LIMIT)
        return not self._thread.is_alive()


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(tmp_path / "told", monkeypatch)


def test_the_runner_is_told_the_settings_by_a_line_and_not_by_its_command(rig: Rig) -> None:
    rig.start("lives")
    rig.until(lambda: len(rig.told) == 1)

    process: Any = rig.beside._process
    rig.beside.stop(LIMIT)

    told = HubSettings.from_wire(json.loads(rig.told[0]))
    assert told.node.jwt_secret == "s" * 40
    assert "s" * 40 not in " ".join(process.args)
    assert rig.has_ended()
    assert (process.returncode, process.stdin.closed) == (0, True)


@pytest.mark.parametrize("program", ["dies", "does not listen"])
def test_one_that_ends_is_started_again_until_the_hub_stops(rig: Rig, program: str) -> None:
    rig.start(program)
    rig.until(lambda: len(rig.told) >= 3)

    rig.beside.stop(LIMIT)

    assert rig.has_ended()


def test_one_that_does_not_stop_in_time_is_killed(rig: Rig) -> None:
    rig.start("deaf")
    rig.until(lambda: len(rig.told) == 1)

    rig.beside.stop(0.05)

    assert rig.has_ended()
    process: Any = rig.beside._process
    assert process.returncode == -9


def test_one_that_never_started_need_not_be_stopped(rig: Rig) -> None:
    rig.beside.stop(LIMIT)


@pytest.mark.parametrize("flags", [(), ("--enable-server-apps", "--app-runners", "elsewhere")])
def test_where_none_is_wanted_there_is_none(
    flags: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_Beside", None)

    with runner_beside(settings(*flags)):
        pass


def test_without_a_browser_the_hub_says_so_at_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ("--enable-server-apps", "--app-browser", "/nowhere/chromium")
    monkeypatch.setattr(module, "_Beside", None)

    with pytest.raises(StartupError, match="/nowhere/chromium"), runner_beside(settings(*flags)):
        pass


def test_the_terms_of_apps_are_those_of_the_settings() -> None:
    terms = terms_of(settings("--app-slots", "3"))

    assert terms.app_slots == 3
    assert dataclasses.is_dataclass(terms)


def test_a_redis_that_is_away_is_a_reason_not_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(*_: object) -> None:
        raise RedisUnavailable("Redis is away.")

    monkeypatch.setattr(module, "run", run)

    with pytest.raises(StartupError, match="Redis is away"):
        run_runner(settings(), lambda: None, None)  # type: ignore[arg-type]  # never asked


def test_a_runner_whose_hub_is_gone_before_it_was_told_anything_ends() -> None:
    process = subprocess.run(
        [sys.executable, "-P", "-m", "hypha_cluster.serving.runner"],
        stdin=subprocess.DEVNULL,
        timeout=LIMIT,
        check=False,
    )

    assert process.returncode == 1
