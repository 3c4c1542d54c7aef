"""How files become apps, and how a log is followed while gateways come and go."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hypha_cluster.commands import using_apps
from hypha_cluster.commands.target import Hub, Interrupted
from hypha_cluster.errors import CommandFailed, StartupError

SCRIPT = "api.export({})"
PLUGIN = '<config lang="json">{"name": "A"}</config><script>1</script>'


class Recorded(Hub):
    """A hub that answers what it is told to, and keeps what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.asked: list[tuple[str, Any]] = []
        self._answers = list(answers)

    def ask(self, method: str, path: str, content: Any = None, *, patience: float = 0) -> Any:
        self.asked.append((path.rpartition("/")[2], content))
        return self._answers.pop(0)

    def lines(self, path: str, content: Any, *, patience: float) -> Iterator[Any]:
        self.asked.append((path.rpartition("/")[2], content))
        for each in self._answers.pop(0):
            if isinstance(each, Exception):
                raise each
            yield each


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    hub = Recorded()
    monkeypatch.setattr(using_apps, "Hub", lambda *_: hub)
    monkeypatch.setattr(using_apps, "_AGAIN", 0.0)
    return hub


def answers(hub: Recorded, *given: Any) -> None:
    hub._answers.extend(given)


@pytest.mark.parametrize(
    ("name", "text", "asked"),
    [
        ("adder.js", SCRIPT, {"config": {"name": "adder", "type": "window"}}),
        ("adder.py", "1", {"config": {"name": "adder", "type": "web-python"}}),
        ("site.html", "<h1>", {"config": {"name": "site"}, "template": ""}),
        ("a.imjoy.html", PLUGIN, {}),
        ("a.html", PLUGIN, {}),
    ],
)
def test_a_file_is_installed_as_what_it_looks_like(
    hub: Recorded, tmp_path: Path, name: str, text: str, asked: dict[str, Any]
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    answers(hub, {"id": "ada/x"})

    using_apps.install(str(tmp_path / name))

    assert hub.asked == [("install", {"source": text, **asked})]


def test_a_file_is_installed_as_it_is_told_with_others_and_started(
    hub: Recorded,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("adder.js").write_text(SCRIPT, encoding="utf-8")
    Path("a.bin").write_bytes(b"\xff")
    answers(hub, {"id": "ada/adder"}, {"id": "c1"})

    using_apps.install(
        "adder.js", Path("a.bin"), type="web-worker", name="A", app_id="adder", start=True
    )

    assert hub.asked == [
        (
            "install",
            {
                "source": SCRIPT,
                "config": {"name": "A", "type": "web-worker"},
                "attachments": [{"name": "a.bin", "source": b"\xff"}],
                "app_id": "adder",
            },
        ),
        ("start", {"app_id": "ada/adder"}),
    ]
    assert capsys.readouterr().out == "c1\n"


def test_an_address_is_left_to_the_hub(hub: Recorded) -> None:
    answers(hub, {"id": "ada/x"})

    using_apps.install("https://lab.example/a.imjoy.html")

    assert hub.asked == [("install", {"source": "https://lab.example/a.imjoy.html"})]


def test_files_that_will_not_do_are_told(hub: Recorded, tmp_path: Path) -> None:
    (tmp_path / "a.js").write_bytes(b"\xff")
    (tmp_path / "a.json").write_text("{", encoding="utf-8")

    with pytest.raises(StartupError, match="cannot be read"):
        using_apps.install("none.js")
    with pytest.raises(StartupError, match="is no text"):
        using_apps.install(str(tmp_path / "a.js"))
    with pytest.raises(StartupError, match="is no JSON"):
        using_apps.edit("ada/x", config=tmp_path / "a.json")


def test_what_an_app_is_made_of_is_edited_in_the_editor(
    hub: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i s/one/two/ "$1"\n', encoding="utf-8")
    editor.chmod(0o755)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", str(editor))
    answers(hub, {"source": "one"}, {})

    using_apps.edit("ada/x")

    assert hub.asked[-1] == ("edit", {"app_id": "ada/x", "source": "two"})

    monkeypatch.setenv("EDITOR", "false")
    answers(hub, {"source": "one"})
    with pytest.raises(CommandFailed, match="nothing is changed"):
        using_apps.edit("ada/x")


@pytest.mark.parametrize(
    ("instance", "asked"),
    [("ws/c", {"client_id": "c", "workspace": "ws"}), ("c", {"client_id": "c"})],
)
def test_an_instance_is_named_with_its_workspace_or_without(
    hub: Recorded, instance: str, asked: dict[str, str]
) -> None:
    answers(hub, None)

    using_apps.stop(instance)

    assert hub.asked == [("stop", asked)]


def test_a_log_that_breaks_off_goes_on_where_it_was(
    hub: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    def entry(kind: str, text: str, cursor: str) -> dict[str, Any]:
        return {"time": 0.0, "type": kind, "text": text, "cursor": cursor}

    answers(
        hub,
        [entry("log", "one", "1"), Interrupted("gone")],
        [entry("log", "two", "2")],
        [entry("error", "three", "3"), entry("state", "stopped", "3")],
    )

    using_apps.logs("ws/c", follow=True, type="log")

    assert [content["after"] for _, content in hub.asked] == ["", "1", "2"]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == ["log: one", "log: two"]


def test_a_hub_that_stays_away_is_told(hub: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(using_apps, "_TRIES", 2)
    answers(hub, [Interrupted("gone")], [Interrupted("gone")])

    with pytest.raises(Interrupted):
        using_apps.logs("c", follow=True)
