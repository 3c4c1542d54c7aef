"""`hypha-cluster config` shows what is in force, and no secret."""

import json

import pytest

from hypha_cluster.commands import config as module
from hypha_cluster.commands.config import config
from hypha_cluster.hub_settings import HubSettings


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ["--port", "8080", "--jwt-secret", "a-secret-of-the-operator"]
    settings = HubSettings.load(flags)
    monkeypatch.setattr(module, "hub_settings", lambda: settings)


def test_what_is_not_as_by_default_has_a_star(capsys: pytest.CaptureFixture[str]) -> None:
    config()

    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("* port ")][0].split()[2] == "8080"
    assert [line for line in lines if line.startswith("  host ")]


def test_programs_get_names_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    config(json=True)

    shown = json.loads(capsys.readouterr().out)
    assert shown["port"] == 8080


@pytest.mark.parametrize("as_json", [True, False])
def test_no_secret_is_shown(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    config(json=as_json)

    assert "a-secret-of-the-operator" not in capsys.readouterr().out
