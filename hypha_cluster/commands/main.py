"""Finds the sub-command that was asked for, and runs it."""

import difflib
import logging
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Final

from hypha_cluster.commands.target import FLAGS
from hypha_cluster.errors import StartupError
from hypha_cluster.features.built_in import all_features
from hypha_cluster.hub_settings import HubSettings, all_settings, topics_of
from hypha_cluster.settings import FlagParser, add_flags, add_settings

# What each is for; the first two and the runner get the flags of the hub as they are.
COMMANDS: Final = {
    "serve": "Run a hub on this machine.",
    "user": "Add, list or remove users who sign in with a password.",
    "config": "Print the settings in force, secrets masked.",
    "status": "Print the gateways of a cluster.",
    "top": "Show what the gateways of a cluster do, live.",
    "check": "Check a hub and what it needs; for monitoring.",
    "workspaces": "List workspaces.",
    "clients": "List clients.",
    "kick": "End a client's connection.",
    "token": "Make a token for a user.",
    "revoke": "End tokens, of a user or a workspace.",
    "apps": "List server apps, install, start, stop and watch them.",
    "runner": "Run server apps, in a browser on this machine.",
    "services": "List services.",
    "call": "Call a function of a service.",
    "run": "Run a plugin file as a client of a hub.",
    "assets": "List or get the npm packages that pages need.",
    "completion": "Print what makes a shell complete these commands.",
}

UNKNOWN: Final = 3  # how `check` ends when its flags or settings make no sense


def run(words: Sequence[str]) -> int:
    """Run one sub-command; return its exit code. StartupError for a mistake of the user's."""
    name, rest = (words[0], words[1:]) if words else ("--help", ())
    if name in ("--help", "-h"):
        sys.stdout.write(_usage())
    elif name == "--version":
        sys.stdout.write(f"hypha-cluster {version('hypha-cluster')}\n")
    elif name in _WITH_WORDS:
        _WITH_WORDS[name](rest)
    elif name == "check":
        return _check(rest)
    elif name in COMMANDS:
        return _run_app(name, rest)
    else:
        raise StartupError(f"unknown command {name!r}; {_instead_of(name)}")
    return 0


def _instead_of(name: str) -> str:
    close = difflib.get_close_matches(name, COMMANDS, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(COMMANDS)}"


def _check(words: Sequence[str]) -> int:
    """As monitoring plugins do it: a question that is not right has no answer, and is no alarm."""
    try:
        return _run_app("check", words)
    except StartupError as error:
        sys.stdout.write(f"HYPHA UNKNOWN - {error}\n")
        return UNKNOWN


def _usage() -> str:
    lines = [f"  {name:<12}{purpose}" for name, purpose in COMMANDS.items()]
    return "\n".join(["usage: hypha-cluster COMMAND [--help]", "", *lines, ""])


def _serve(words: Sequence[str]) -> None:
    from hypha_cluster.serving import run
    from hypha_cluster.serving.titles import call_process, title_of

    known = all_settings(all_features())
    if {"-h", "--help"} & set(words):
        sys.stdout.write(help_for_serve())
        return
    settings = HubSettings.load(words)
    call_process(title_of("serve", words, known))
    run.serve(settings)


def help_for_serve() -> str:
    """Its flags by topics."""
    parser = FlagParser(
        prog="hypha-cluster serve",
        usage="hypha-cluster serve [FLAG=VALUE …]",
        description="Run a hub on this machine; without a flag on port 9000, with its own store.",
        epilog="docs/settings.md has the same flags with their bounds.",
    )
    for topic, settings in topics_of(all_features()).items():
        add_settings(parser.add_argument_group(topic), settings)
    return parser.format_help()


def _runner(words: Sequence[str]) -> None:
    from hypha_cluster.commands import runner

    runner.run([word.replace("--slots", "--app-slots", 1) for word in words])


def _manage_users(words: Sequence[str]) -> None:
    from hypha_cluster.commands import users

    _be_quiet()
    sys.stdout.write(users.run(words))


_WITH_WORDS: Final[dict[str, Callable[[Sequence[str]], None]]] = {
    "serve": _serve,
    "runner": _runner,
    "user": _manage_users,
}


def _run_app(name: str, words: Sequence[str]) -> int:
    """Run a command of the app; the flags of the hub say which cluster it is about."""
    from cyclopts import CycloptsError

    from hypha_cluster.commands.app import build

    _be_quiet()
    flags, rest = split(words)
    FLAGS.set(flags)
    try:
        code = build()([name, *rest], exit_on_error=False, print_error=False)
    except CycloptsError as error:
        words_of = " ".join(str(error).split())
        raise StartupError(f"{name}: {words_of}{_close_flag(rest)}") from None
    return int(code or 0)


def _close_flag(words: Sequence[str]) -> str:
    """Which flag of the hub a word may have been meant to be, that no flag is."""
    known = [flag for about in all_settings(all_features()) for flag in about.flags]
    unknown = [word.partition("=")[0] for word in words if word.startswith("--")]
    close = [difflib.get_close_matches(word, known, n=1, cutoff=0.75) for word in unknown]
    return next((f" Did you mean {found[0]}?" for found in close if found), "")


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The flags of the hub, and what is the command's own."""
    known = all_settings(all_features())
    parser = FlagParser(add_help=False)
    add_flags(parser, known)
    flags, rest = parser.parse_known_args(words)
    by_name = {about.name: about for about in known}
    return [f"{by_name[name].flag}={text}" for name, text in vars(flags).items()], rest


def _be_quiet() -> None:
    logging.getLogger().addHandler(logging.NullHandler())  # an error says it all, and once
