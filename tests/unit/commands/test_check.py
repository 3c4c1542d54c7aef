"""What a check makes of what it finds, in the words of monitoring plugins."""

import pytest

from hypha_cluster.commands import check
from hypha_cluster.commands.check import Finding, Level
from hypha_cluster.config import Config


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    found: list[Finding] = []
    monkeypatch.setattr(check, "_findings", lambda config, url: iter(found))
    return found


def test_all_is_well(findings: list[Finding], capsys: pytest.CaptureFixture[str]) -> None:
    findings.append(Finding(Level.OK, "redis", "it answers"))

    assert check.check() == 0
    assert capsys.readouterr().out.startswith("HYPHA OK - all is well\n")


@pytest.mark.parametrize("level", [Level.WARNING, Level.CRITICAL])
def test_the_worst_is_in_the_first_line_and_in_the_exit_code(
    findings: list[Finding], level: Level, capsys: pytest.CaptureFixture[str]
) -> None:
    findings += [
        Finding(Level.OK, "redis", "it answers"),
        Finding(level, "clock", "it is slow"),
        Finding(level, "hub", "it is away"),
    ]

    assert check.check() == level
    first = capsys.readouterr().out.splitlines()[0]
    assert first == f"HYPHA {level.name} - it is slow; it is away"


def test_it_knocks_at_no_address_of_its_own_making(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def note(config: Config, url: str) -> list[Finding]:
        asked.append(url)
        return [Finding(Level.OK, "hub", "")]

    monkeypatch.setattr(check, "_findings", note)
    monkeypatch.setenv("HYPHA_SERVER_URL", "https://hub.example/")

    check.check()
    check.check(server_url="https://other.example")

    assert asked == ["https://hub.example", "https://other.example"]
