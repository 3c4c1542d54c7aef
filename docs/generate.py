"""Writes the pages that are made from the code: `python -m docs.generate`."""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path

from docs.commands import commands_page
from docs.http import http_page
from docs.messages import messages_page
from hypha_cluster.features.built_in import BUILT_IN
from hypha_cluster.hub_settings import all_settings, topics_of
from hypha_cluster.identity.access import LEAST, RULES, Standing
from hypha_cluster.metrics import BOUNDS
from hypha_cluster.prometheus import METRICS, About
from hypha_cluster.protocol.limits import TABLE, Limit
from hypha_cluster.registry.keys import Keys
from hypha_cluster.settings import YEAR, Setting, amount

FOLDER = Path(__file__).parent
ARCHITECTURE = FOLDER / "architecture.md"
OPERATIONS = FOLDER / "operations.md"
SECURITY = FOLDER / "security.md"
# Between these lines of a page that is written by hand stands what is made.
LIMITS = "<!-- Made by `python -m docs.generate` from hypha_cluster/protocol/limits.py. -->\n"
PERMISSION = "<!-- Made by `python -m docs.generate` from hypha_cluster/identity/access.py. -->\n"
KEYS = "<!-- Made by `python -m docs.generate` from hypha_cluster/registry/keys.py. -->\n"
END = "<!-- End of what is made. -->\n"

SETTINGS_HEAD = """\
# Settings

<!-- Made by `python -m docs.generate` from hypha_cluster/config.py. -->

Each setting is a flag of `hypha-cluster serve` and an environment variable; the flag wins.
`hypha-cluster config` prints what is in force, with the secrets masked, and takes the same flags.
A flag or a `HYPHA_…` variable that is not known stops the start, and the nearest name is given; so
does a number out of its bounds, or another value with which nobody could use the hub.

Sizes may be written with `KiB`, `MiB`, `GiB`, times with `ms`, `s`, `m`, `h`: `--outbox-size 8MiB`,
`HYPHA_DRAIN_TIME=1m`. A switch is given as `--reset-redis`, as `--no-reset-redis`, or with `true`
or `false`. Where `XDG_STATE_HOME` is set, `--data-dir` is `hypha-cluster` in that folder.

A value may be in a file, as secrets are where containers run: `HYPHA_REDIS_URL_FILE` is the path of
a file that holds what `HYPHA_REDIS_URL` would, and so with `_FILE` behind every other variable.

| flag | variable | default | from … to | meaning |
|---|---|---|---|---|
"""

METRICS_HEAD = """\
# Metrics

<!-- Made by `python -m docs.generate` from hypha_cluster/prometheus.py. -->

What each gateway tells Prometheus at `/metrics`, beside the `process_…` metrics of CPU, memory and
open files. No label holds the name of a workspace, a client or a user, so their number is bounded.
[Observability](observability.md) says what to look at and when.

A histogram `name` has three series, `name_bucket`, `name_sum` and `name_count`. All have the same
buckets, with these upper ends in seconds: {bounds}.

| metric | type | labels | meaning |
|---|---|---|---|
"""


def pages() -> dict[Path, str]:
    """Every generated page, and what it should hold."""
    settings = [
        row
        for topic, found in topics_of(BUILT_IN).items()
        for row in (f"| **{topic}** | | | | |\n", *map(_row, found))
    ]
    metrics = [_metric_row(about) for about in METRICS]
    bounds = ", ".join(f"{bound:g}" for bound in BOUNDS)
    return {
        FOLDER / "settings.md": SETTINGS_HEAD + "".join(settings),
        FOLDER / "metrics.md": METRICS_HEAD.format(bounds=bounds) + "".join(metrics),
        FOLDER / "messages.md": messages_page(),
        FOLDER / "http.md": http_page(),
        FOLDER / "cli.md": commands_page(),
        ARCHITECTURE: _with_made(ARCHITECTURE, KEYS, keys_table()),
        OPERATIONS: _with_made(OPERATIONS, LIMITS, limits_table()),
        SECURITY: _with_made(SECURITY, PERMISSION, permission_tables()),
    }


def _with_made(page: Path, mark: str, made: str) -> str:
    """A page as it is, with what is made in it brought up to date."""
    before, _, rest = page.read_text(encoding="utf-8").partition(mark)
    after = rest.partition(END)[2]
    return f"{before}{mark}\n{made}\n{END}{after}"


def keys_table() -> str:
    """Every key and channel by an example, and what it holds."""
    keys, rows = Keys(), ["| key or channel | what it is |", "|---|---|"]
    for name, method in inspect.getmembers(Keys, inspect.isfunction):
        if name.startswith("_") or inspect.signature(method).return_annotation is not str:
            continue
        examples = {parameter: _example(parameter) for parameter in _parameters(method)}
        key = getattr(keys, name)(**examples)
        rows.append(f"| `{key}` | {' '.join((inspect.getdoc(method) or '').split())} |")
    return "\n".join(rows) + "\n"


def _parameters(method: Callable[..., object]) -> list[str]:
    return list(inspect.signature(method).parameters)[1:]


def _example(parameter: str) -> str:
    return "WORKSPACE/CLIENT" if parameter == "address" else parameter.upper()


def permission_tables() -> str:
    """Who is what to a workspace, and what they may do there."""
    rows = ["| who | is |\n|---|---|\n"]
    rows += [f"| {rule.who} | {_standing_text(rule.standing)} |\n" for rule in RULES]
    columns = " | ".join(map(_standing_text, Standing))
    rows.append(f"\n| may | {columns} |\n|---|{'---|' * len(Standing)}\n")
    for action, least in LEAST.items():
        marks = " | ".join("yes" if standing >= least else "" for standing in Standing)
        rows.append(f"| {action.value} | {marks} |\n")
    return "".join(rows)


def _standing_text(standing: Standing) -> str:
    return standing.name.lower()


def limits_table() -> str:
    """What a stranger may make the hub keep or do, topic by topic."""
    rows = ["| what | at most | why |\n|---|---|---|\n"]
    topic = ""
    for limit in TABLE:
        if limit.topic != topic:
            topic = limit.topic
            rows.append(f"| **{topic}** | | |\n")
        rows.append(f"| {limit.what} | {_limit_text(limit)} | {limit.reason} |\n")
    return "".join(rows)


def _limit_text(limit: Limit) -> str:
    if limit.value is None:
        about = next(about for about in all_settings(BUILT_IN) if about.flag == limit.setting)
        return f"{default_text(about)} ({_codes(about.flag)})"
    if limit.unit == "seconds" and limit.value >= YEAR:
        return f"{limit.value / YEAR:g} years"
    value = int(limit.value) if limit.value % 1 == 0 else limit.value
    return f"{value:,} {limit.unit.removesuffix('s') if value == 1 else limit.unit}"


def _metric_row(about: About) -> str:
    values = f": {_codes(*about.values)}" if len(about.values) > 1 else ""
    label = f"{_codes(about.label)}{values}" if about.label else ""
    return f"| {_codes(about.full_name)} | {about.kind} | {label} | {about.help} |\n"


def _row(about: Setting) -> str:
    names = [name for name in about.also if name.startswith("--")]
    variables = [name for name in about.also if not name.startswith("--")]
    cells = [
        _codes(about.flag, *names),
        _codes(about.env, *variables),
        default_text(about),
        bounds_text(about),
        help_text(about).replace("|", "\\|"),
    ]
    return f"| {' | '.join(cells)} |\n"


def _codes(*names: str) -> str:
    return ", ".join(f"`{name}`" for name in names)


def default_text(about: Setting) -> str:
    """The default, as a person would write it."""
    if isinstance(about.default, bool):
        return "on" if about.default else "off"
    if isinstance(about.default, str):
        return _codes(about.default) if about.default else ""
    return amount(about.default, about.unit)


def bounds_text(about: Setting) -> str:
    """The least and the most that a number may be."""
    return "" if about.within is None else " … ".join(amount(n, about.unit) for n in about.within)


def help_text(about: Setting) -> str:
    """What the setting means, and what may be chosen."""
    choices = f" One of {_codes(*about.choices)}." if about.choices else ""
    return f"{about.help}{choices}"


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{path.name}\n")
