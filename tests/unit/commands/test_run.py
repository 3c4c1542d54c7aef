"""`hypha-cluster run` becomes the program of a plugin, with its token where nobody else looks."""

import os
from pathlib import Path
from typing import Any

import pytest

from hypha_cluster.commands import main
from hypha_cluster.errors import StartupError


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the process would have become: the program, its words, its environment."""
    found: list[Any] = []
    monkeypatch.setattr(os, "execve", lambda *what: found.extend(what))
    monkeypatch.delenv("HYPHA_TOKEN", raising=False)
    return found


def test_it_becomes_the_program_of_the_plugin(became: list[Any], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")

    main.run(
        ["run", "a.py", "--functions-python=/python", "--workspace=lab", "--quit-on-ready"]
        + ["--server-url=http://hub/", f"--token-file={tmp_path}/token"]
    )

    program, words, environ = became
    assert program == "/python"
    assert words[2:] == ["a.py", "--server-url=http://hub", "--workspace=lab", "--quit-on-ready"]
    assert environ["HYPHA_TOKEN"] == "secret"
    assert not any("secret" in word for word in words)


def test_a_token_that_cannot_be_read_is_named(became: list[Any]) -> None:
    with pytest.raises(StartupError, match="--token-file: /no/token cannot be read"):
        main.run(["run", "a.py", "--token-file=/no/token"])
