"""The page of the commands, made of what they say themselves."""

import re
from typing import Final

from hypha_cluster.commands.app import COMMANDS as FUNCTIONS, Asks, build
from hypha_cluster.commands.main import COMMANDS
from hypha_cluster.commands.runner import USAGE as RUNNER_USAGE
from hypha_cluster.commands.users import USAGE

HEAD = """\
# Commands

<!-- Made by `python -m docs.generate` from hypha_cluster/commands/. -->

`hypha-cluster COMMAND --help` says the same. On a terminal there are colours, unless `NO_COLOR` is
set; elsewhere tables are plain lines. With `--json` a command prints JSON, for programs.

The last column says whom a command asks. One that asks **the store** of a cluster takes the flags
and variables of `serve`: `--redis-url` and `--redis-prefix`, or `--data-dir` of a hub with an
embedded store. One that asks **a hub** that runs, as its users do, takes `--server-url` or
`HYPHA_SERVER_URL`, and the token of a user from `--token-file` or `HYPHA_TOKEN`.

A command ends with 0; with 1 if it could not do what it was asked for, and says why in one line;
with 2 if it was asked for something that makes no sense. `check` ends as monitoring plugins do.

| command | what it does | asks |
|---|---|---|
"""
ASKED: Final = {
    Asks.NOBODY: "",
    Asks.STORE: "the store",
    Asks.HUB: "a hub",
    Asks.BOTH: "the store, and a hub",
}
# Of those that read their arguments in ways of their own.
OTHERS: Final = {
    "user": "the store",
    "runner": "the store",
    "apps": "a hub; `list` the store, unless `--server-url` or `--token-file` is given",
}

SERVE = """
## hypha-cluster serve

It takes a flag for every [setting](settings.md). It runs until Ctrl-C, or until SIGTERM, which lets
its clients move to other gateways first. With `--workers`, SIGHUP replaces the gateways one by one;
see [operations](operations.md).

"""
USER = """\
## hypha-cluster user

"""


def commands_page() -> str:
    """What `docs/cli.md` should hold."""
    asked = {function.__name__: ASKED[asks] for function, asks in FUNCTIONS.items()} | OTHERS
    rows = (
        f"| [`{name}`](#hypha-cluster-{name}) | {about} | {asked.get(name, '')} |\n"
        for name, about in COMMANDS.items()
    )
    runner = f"## hypha-cluster runner\n\n```text\n{RUNNER_USAGE}```\n\n"
    usage = f"```text\n{USAGE.partition(chr(10) * 2)[0]}\n```\n{USAGE.partition(chr(10) * 2)[2]}"
    return HEAD + "".join(rows) + SERVE + runner + USER + usage + "\n" + _generated()


def _generated() -> str:
    text = build().generate_docs(output_format="markdown")
    text = text[text.index("## hypha-cluster ") :]
    text = re.sub(r"(?<=^hypha-cluster )(\w+(?: \w+)?) -m \S+", r"\1", text, flags=re.MULTILINE)
    text = text.replace("```console", "```text").replace("*[default: ", "*(default ")
    text = text.replace("*[choices: ", "*(choices: ")
    text = re.sub(r"\]\*$", ")*", text, flags=re.MULTILINE)
    return re.sub(r"\*\*\[required\]\*\*", "*(required)*", text).rstrip() + "\n"
