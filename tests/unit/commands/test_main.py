"""Which words are flags of the hub, and which the command's own."""

import re

import pytest

from hypha_cluster.commands.main import COMMANDS, run, split
from hypha_cluster.errors import StartupError
from hypha_cluster.features.built_in import all_features
from hypha_cluster.hub_settings import all_settings, topics_of


@pytest.mark.parametrize(
    ("words", "flags", "rest"),
    [
        (["--json", "--redis-url", "redis://a"], ["--redis-url=redis://a"], ["--json"]),
        (["a/b.c", "x=1", "--port=2"], ["--port=2"], ["a/b.c", "x=1"]),
        (["--user", "ada", "--redis-uri=redis://a"], ["--redis-url=redis://a"], ["--user", "ada"]),
        (["--no-fast-websockets"], ["--fast-websockets=false"], []),
    ],
)
def test_flags_of_the_hub_are_told_from_the_commands_own(
    words: list[str], flags: list[str], rest: list[str]
) -> None:
    assert split(words) == (flags, rest)


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0

    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)


def test_the_flags_of_serve_stand_below_what_they_are_about(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["serve", "--help"]) == 0

    topics = re.split(r"^(\S[^\n]*):$", capsys.readouterr().out, flags=re.MULTILINE)
    shown = {
        title: set(re.findall(r"--[a-z0-9-]+", text))
        for title, text in zip(topics[1::2], topics[2::2], strict=True)
    }
    known = topics_of(all_features())
    assert list(shown) == ["options", *known]
    for title, settings in known.items():
        assert {about.flag for about in settings} <= shown[title]
    assert {about.flag for about in all_settings(all_features())} == {
        about.flag for settings in known.values() for about in settings
    }


def test_an_unknown_command_is_told() -> None:
    with pytest.raises(StartupError, match="unknown command 'x'; there are serve, user, config"):
        run(["x"])


def test_a_misspelt_command_is_told_what_it_may_be() -> None:
    with pytest.raises(StartupError, match="unknown command 'sevices'; did you mean 'services'"):
        run(["sevices"])


@pytest.mark.parametrize("words", [["--nonsense"], ["--port=x"], ["--redis-url=nowhere"]])
def test_a_check_that_is_asked_wrongly_is_no_alarm(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", *words]) == 3

    assert capsys.readouterr().out.startswith("HYPHA UNKNOWN - ")


def test_a_misspelt_flag_of_the_hub_is_told_what_it_may_be() -> None:
    with pytest.raises(
        StartupError, match="Unknown option: --redis-ur.*Did you mean --redis-ur[li]"
    ):
        run(["status", "--redis-ur=redis://a"])
