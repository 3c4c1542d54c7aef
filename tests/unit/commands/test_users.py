"""`hypha-cluster user`: what each action does to the accounts of a real store."""

import io
import json
import sys
from collections.abc import Sequence

import pytest

from hypha_cluster.commands.users import USAGE, run
from hypha_cluster.errors import StartupError

ANN = ("add", "ann", "--email", "ann@example.org")
PASSWORD = "correct horse battery"


class Terminal(io.StringIO):
    """Where somebody sits."""

    def isatty(self) -> bool:
        return True


class Command:
    """Runs it on the store of a test."""

    def __init__(self, flags: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._flags = flags
        self._monkeypatch = monkeypatch

    def __call__(self, *words: str, password: str = "", stdin: io.StringIO | None = None) -> str:
        stdin = stdin or io.StringIO(f"{password}\n")
        self._monkeypatch.setattr(sys, "stdin", stdin)
        return run([*words, *self._flags])


@pytest.fixture
def user(valkey_url: str, redis_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    flags = [f"--redis-url={valkey_url}", f"--redis-prefix={redis_prefix}"]
    return Command([*flags, "--public-base-url=https://hub.example/lab"], monkeypatch)


@pytest.mark.parametrize("words", [[], ["--help"], ["add", "-h"]])
def test_help_is_given(words: list[str]) -> None:
    assert run(words) == USAGE


def test_a_user_is_added_shown_and_removed(user: Command) -> None:
    assert user(*ANN, "--admin", "--password-stdin", password=PASSWORD) == "User ann is there.\n"
    assert user("list") == "ann  ann@example.org  admin\n"
    assert json.loads(user("list", "--json")) == [
        {"name": "ann", "email": "ann@example.org", "roles": ["admin"]}
    ]
    assert user("remove", "ann") == "User ann is gone; their workspaces stay.\n"
    assert user("list").startswith("There are no users yet")


def test_where_nobody_can_be_asked_there_is_a_link(user: Command) -> None:
    assert "https://hub.example/lab/login/invitation?code=" in user(*ANN)


def test_who_sits_at_a_terminal_is_asked(user: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def getpass(prompt: str) -> str:
        asked.append(prompt)
        return PASSWORD

    monkeypatch.setattr("getpass.getpass", getpass)

    assert user(*ANN, stdin=Terminal()) == "User ann is there.\n"
    assert asked == ["Password of ann: "]


def test_a_new_password_is_taken(user: Command) -> None:
    user(*ANN)

    said = user("passwd", "ann", "--password-stdin", password=PASSWORD)

    assert said == "User ann has a new password.\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["ad"], "unknown command user 'ad'"),
        (["remove", "zoe"], "There is no user 'zoe'"),
        (["passwd", "zoe"], "There is no user 'zoe'"),
        (["add", "ann"], "--email"),
        (["list", "--jsn"], "unknown flag '--jsn'"),
    ],
)
def test_a_mistake_is_said(user: Command, words: list[str], says: str) -> None:
    with pytest.raises(StartupError, match=says):
        user(*words, *(["--password-stdin"] if words[0] == "passwd" else []), password=PASSWORD)


def test_a_store_in_memory_keeps_nobody() -> None:
    with pytest.raises(StartupError, match="keeps nothing"):
        run(["list", "--data-dir=:memory:"])
