"""Finds the sub-command that was asked for, and runs it."""

import logging
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

from hypha_cluster.errors import StartupError
from hypha_cluster.features.built_in import all_features
from hypha_cluster.hub_settings import HubSettings, all_settings
from hypha_cluster.settings import FlagParser, add_flags

Command = Callable[[Sequence[str]], None]


def run(words: Sequence[str]) -> None:
    """Run one sub-command; raise StartupError for a mistake of the user's."""
    name = words[0] if words else "--help"
    if name in ("--help", "-h"):
        sys.stdout.write(_usage())
    elif name == "--version":
        sys.stdout.write(f"hypha-cluster {version('hypha-cluster')}\n")
    elif name in COMMANDS:
        COMMANDS[name](words[1:])
    else:
        raise StartupError(f"unknown command {name!r}; there are {', '.join(COMMANDS)}")


def serve(words: Sequence[str]) -> None:
    """Run a hub on this machine."""
    from hypha_cluster.serving import run
    from hypha_cluster.serving.titles import call_process, title_of

    settings = _settings("serve", words)
    call_process(title_of("serve", words, [about for about, _ in settings.shown()]))
    run.serve(settings)


def show_config(words: Sequence[str]) -> None:
    """Print the settings in force, secrets masked."""
    for about, value in _settings("config", words).shown():
        changed = "*" if value != about.default else " "
        shown = f"{value!r} {about.unit}".rstrip()
        sys.stdout.write(f"{changed} {about.name:<28}{shown:<38}{about.env:<36}{about.help}\n")


def show_status(words: Sequence[str]) -> None:
    """Print the gateways of a cluster; --json for programs."""
    from hypha_cluster.serving import status

    logging.getLogger().addHandler(logging.NullHandler())  # an error says it all, and once
    as_json = JSON_FLAG in words
    settings = _settings("status", [word for word in words if word != JSON_FLAG])
    sys.stdout.write(status.report(settings.node, as_json=as_json))


def manage_users(words: Sequence[str]) -> None:
    """Add, list or remove users who sign in with a password."""
    from hypha_cluster.commands import users

    logging.getLogger().addHandler(logging.NullHandler())  # an error says it all, and once
    sys.stdout.write(users.run(words))


JSON_FLAG = "--json"
COMMANDS: dict[str, Command] = {
    "serve": serve,
    "config": show_config,
    "status": show_status,
    "user": manage_users,
}


def _settings(command: str, words: Sequence[str]) -> HubSettings:
    if {"-h", "--help"} & set(words):
        parser = FlagParser(prog=f"hypha-cluster {command}", description=COMMANDS[command].__doc__)
        add_flags(parser, all_settings(all_features()))
        parser.parse_args(["--help"])
    return HubSettings.load(words)


def _usage() -> str:
    lines = [f"  {name:<10}{command.__doc__}" for name, command in COMMANDS.items()]
    return "\n".join(["usage: hypha-cluster COMMAND [--help]", "", *lines, ""])
