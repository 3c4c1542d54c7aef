"""What pages call by its name is there: flags, variables, metrics, commands, files, messages."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.messages import known_messages
from hypha_cluster.commands.app import build
from hypha_cluster.commands.main import COMMANDS
from hypha_cluster.features.built_in import BUILT_IN
from hypha_cluster.hub_settings import all_settings
from hypha_cluster.prometheus import METRICS
from hypha_cluster.settings import CLIENT_VARIABLES, UNAVAILABLE

ROOT = Path(__file__).parents[2]
# What Hypha 0.15 has and this hub has not is named where that is the matter.
MIGRATION = "migration.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = [*(ROOT / "hypha_cluster").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
TOP_LEVEL = {path.name for path in ROOT.iterdir()}
OF_THE_CLIENT = {
    "Method call time out",
    "PermissionError: Permission denied for …",
    "pip install 'websockets<14'",
}
DOCKERS = re.compile(r"(?<![\w-])docker[^`\n]*")  # commands with flags of their own
NOT_OURS = re.compile(r"hypha_(cluster|rpc)\b")


def of_every_page(pattern: str) -> Iterator[tuple[str, str]]:
    """Where something stands that looks like this, and what it is."""
    for page in PAGES:
        text = DOCKERS.sub("", page.read_text(encoding="utf-8"))
        for found in re.findall(pattern, text, re.MULTILINE):
            yield page.name, found


def test_flags_exist() -> None:
    known = {flag for about in all_settings(BUILT_IN) for flag in about.flags} | {"--redis-port"}
    for source in SOURCES:
        known |= set(re.findall(r'"(--[a-z][a-z0-9-]+)"', source.read_text(encoding="utf-8")))
    known -= set(UNAVAILABLE)
    app = build()
    commands = [app[name] for name in COMMANDS if name in app]
    commands += [each[name] for each in commands for name in each if not name.startswith("-")]
    arguments = (command.assemble_argument_collection() for command in commands)
    known |= {name for each in arguments for argument in each for name in argument.names}

    named = set(of_every_page(r"(?<=[`\s(])(--[a-z][a-z0-9-]+)"))

    theirs = {(MIGRATION, flag) for flag in UNAVAILABLE}
    off = {f"--no-{flag[2:]}" for flag in known}
    assert [(page, flag) for page, flag in named - theirs if flag not in known | off] == []


def test_every_flag_of_the_original_is_on_the_page_about_moving() -> None:
    text = (ROOT / "docs" / MIGRATION).read_text(encoding="utf-8")
    also = {name for about in all_settings(BUILT_IN) for name in about.also}

    names = {*UNAVAILABLE, *also, "--redis-port"} - {"--loglevel", "HYPHA_REDIS_URI"}
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []


def test_variables_exist() -> None:
    known = {name for about in all_settings(BUILT_IN) for name in about.envs}
    known |= set(CLIENT_VARIABLES.values())
    rigs = (ROOT / "tests").glob("*.py")
    known |= set(re.findall(r"\bHYPHA_TEST_\w+", "".join(path.read_text() for path in rigs)))

    named = of_every_page(r"\b(HYPHA_[A-Z0-9_]*[A-Z0-9]|AUTH0_[A-Z_]+|JWT_SECRET)\b")

    assert [n for n in named if n[1] not in known and n[1].removesuffix("_FILE") not in known] == []


def test_metrics_exist() -> None:
    known = {about.full_name for about in METRICS}

    named = of_every_page(r"(?<![./\w])(hypha_[a-z_]+[a-z])\b(?![./])")

    ours = ((page, name) for page, name in named if not NOT_OURS.match(name))
    missing = [n for n in ours if re.sub("_(bucket|sum|count)$", "", n[1]) not in known]
    assert missing == []


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    known = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))

    named = of_every_page(r"(?:^|`)make ([a-z-]+)")

    assert [(page, target) for page, target in named if target not in known] == []


def test_files_exist() -> None:
    named = of_every_page(r"`([\w.-]+/[\w./-]+)`")

    missing = [(page, path) for page, path in named if not _is_there(path)]
    assert missing == []


def _is_there(path: str) -> bool:
    """A path in the repository or in the package; a first part of no such folder is no path."""
    folders = {entry.name for entry in (ROOT / "hypha_cluster").iterdir()}
    first = path.partition("/")[0]
    if first in TOP_LEVEL - {"site"}:
        return (ROOT / path).exists()
    return first not in folders or (ROOT / "hypha_cluster" / path).exists()


@pytest.mark.parametrize("page", ["troubleshooting.md", "use.md"])
def test_messages_are_the_hubs(page: str) -> None:
    """A message is quoted from its beginning, word for word but for what differs."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    known = [*known_messages(), *_log_lines()]

    quoted = {
        "".join(pair)
        for pair in re.findall(r"`([^`\n]+ [^`\n]+ [^`\n]+)`|\"(Client …[^\"]*)\"", text)
    }

    unknown = {quote for quote in quoted if not any(_is_of(quote, message) for message in known)}
    assert unknown <= OF_THE_CLIENT


def _log_lines() -> Iterator[str]:
    for source in SOURCES:
        for line in re.findall(r"_log\.\w+\(\s*\"([^\"]+)\"", source.read_text(encoding="utf-8")):
            yield re.sub("%[sdr]", "…", line)


def _is_of(quote: str, message: str) -> bool:
    pattern = ".*".join(map(re.escape, message.split("…")))
    return message.startswith(quote) or bool(re.fullmatch(pattern, quote))


def test_the_tests_that_hold_the_promises_exist() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", text)

    assert len(named) > 10
    for path, test in named:
        source = (ROOT / path).read_text(encoding="utf-8")
        assert not test or re.search(rf"^(async )?def {test}\(", source, re.MULTILINE), test
