"""What `hypha-cluster services` asks a hub, and shows."""

import json
from typing import Any, ClassVar

import pytest

from hypha_cluster.commands import services as module
from hypha_cluster.commands.call import path_of
from hypha_cluster.commands.services import services

SERVICE = {
    "id": "ws 1/me:sums",
    "name": "Sums",
    "type": "tool",
    "config": {"visibility": "public"},
    "description": "Adds.\nAnd more.",
}


class FakeHub:
    """Has one service."""

    asked: ClassVar[list[tuple[str, str]]] = []
    found: ClassVar[list[dict[str, Any]]] = [SERVICE]

    def __init__(self, url: str, token_file: object) -> None:
        assert (url, token_file) == ("", None)

    def ask(self, method: str, path: str) -> list[dict[str, Any]]:
        self.asked.append((method, path))
        return self.found


@pytest.fixture(autouse=True)
def _hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Hub", FakeHub)
    monkeypatch.setattr(FakeHub, "asked", [])


def test_they_are_asked_for_by_their_workspace(capsys: pytest.CaptureFixture[str]) -> None:
    services("ws 1", json=True)

    assert FakeHub.asked == [("GET", "ws%201/services")]
    assert json.loads(capsys.readouterr().out) == [SERVICE]


def test_the_table_has_a_line_of_what_each_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    services()

    _, row = capsys.readouterr().out.splitlines()
    assert row.split() == ["ws", "1/me:sums", "Sums", "tool", "public", "Adds."]


@pytest.mark.parametrize("service_id", ["me:sums", "ann/me:sums"])
def test_ids_are_as_call_takes_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, service_id: str
) -> None:
    """The hub leaves the workspace out that it was asked for."""
    monkeypatch.setattr(FakeHub, "found", [{**SERVICE, "id": service_id}])

    services("ann", json=True)
    services("ann")

    printed = capsys.readouterr().out
    assert '"id": "ann/me:sums"' in printed
    assert printed.splitlines()[-1].startswith("ann/me:sums  ")
    assert path_of("ann/me:sums.add") == "ann/services/me:sums/add"


def test_there_may_be_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeHub, "found", [])

    services()

    assert capsys.readouterr().out == "No service is there.\n"
