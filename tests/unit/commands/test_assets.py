"""`hypha-cluster assets` lists packages, and says what it cannot get."""

import json
from pathlib import Path

import pytest

from hypha_cluster.commands import assets as module
from hypha_cluster.commands.assets import assets
from hypha_cluster.errors import CommandFailed
from hypha_cluster.web.assets.catalogue import PACKAGES


def test_packages_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assets("imjoy-rpc", json=True)

    first = json.loads(capsys.readouterr().out)[0]
    assert first == {
        "package": "imjoy-rpc@0.5.59",
        "purpose": "the JavaScript client",
        "there": True,
    }


def test_they_are_a_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assets()

    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["imjoy-rpc@0.5.59", "there"]


def test_what_is_there_needs_no_npm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("hypha_cluster.commands.assets.is_complete", lambda package: True)

    assets(get=True)

    assert "missing" not in capsys.readouterr().out


def test_an_unknown_package_is_an_error_of_one_line() -> None:
    with pytest.raises(CommandFailed, match="there is no package 'nothing'"):
        assets("nothing")


@pytest.mark.parametrize("is_terminal", [True, False])
def test_what_is_missing_is_fetched_one_by_one_and_shown_meanwhile(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_terminal: bool
) -> None:
    fetched: list[str] = []
    monkeypatch.setattr(module, "wants_colour", lambda stream: is_terminal)
    monkeypatch.setattr(module, "is_complete", lambda package: package.label in fetched)
    monkeypatch.setattr(module, "fetch", lambda package: fetched.append(package.label))
    labels = [package.label for package in PACKAGES]

    assets(get=True)

    assert fetched == labels
    shown = capsys.readouterr().err
    if is_terminal:
        assert f"{len(labels)}/{len(labels)}" in shown
    else:
        assert shown.splitlines() == [f"Getting {label} …" for label in labels]
