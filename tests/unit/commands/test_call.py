"""How a function and its arguments are written on a command line."""

from typing import Any

import pytest

from hypha_cluster.commands import call as module
from hypha_cluster.commands.call import call, keyword, path_of
from hypha_cluster.errors import CommandFailed, StartupError


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("public/hello.greet", "public/services/hello/greet"),
        ("ws-1/client:sums.add", "ws-1/services/client:sums/add"),
        ("w|x/a b.c", "w%7Cx/services/a%20b/c"),
        ("w/s.a.b", "w/services/s/a.b"),
    ],
)
def test_a_target_is_a_path_of_the_hub(target: str, path: str) -> None:
    assert path_of(target) == path


@pytest.mark.parametrize("target", ["", "hello", "w/hello", "hello.greet", "/a.b", "w/.b", "w/a."])
def test_what_is_no_target_is_told(target: str) -> None:
    with pytest.raises(StartupError, match=r"write WORKSPACE/SERVICE\.FUNCTION"):
        path_of(target)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("a=1", 1),
        ("a=1.5", 1.5),
        ("a=true", True),
        ('a="1"', "1"),
        ("a=[1, 2]", [1, 2]),
        ("a=Ada", "Ada"),
        ("a=b=c", "b=c"),
        ("a=", ""),
    ],
)
def test_a_value_is_json_or_text(argument: str, value: Any) -> None:
    assert keyword(argument) == ("a", value)


@pytest.mark.parametrize("argument", ["a", "=1"])
def test_what_is_no_argument_is_told(argument: str) -> None:
    with pytest.raises(StartupError, match="NAME=VALUE"):
        keyword(argument)


@pytest.mark.parametrize(
    ("target", "answer", "hints"),
    [
        ("public/hello.hi", "404: Service not found: public/hello", True),
        ("public/hello.hi", "404: Service public/c:hello has no 'hi'; it has 'greet'.", False),
        ("public/hello.hi", "500: It failed.", False),
        ("ann/hello.hi", "404: Service not found: ann/hello", False),
    ],
)
def test_that_public_is_a_workspace_is_said_where_it_is_not_meant(
    monkeypatch: pytest.MonkeyPatch, target: str, answer: str, hints: bool
) -> None:
    class FakeHub:
        def __init__(self, url: str, token_file: object) -> None:
            """It is asked once."""

        def ask(self, method: str, path: str, content: object) -> None:
            raise CommandFailed(answer)

    monkeypatch.setattr(module, "Hub", FakeHub)

    with pytest.raises(CommandFailed) as failed:
        call(target)

    assert str(failed.value).startswith(answer)
    assert ("not in `public`" in str(failed.value)) is hints
