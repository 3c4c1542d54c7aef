"""How a setting is declared, and how it is read from flags, environment variables and files."""

import argparse
import dataclasses
import difflib
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

from hypha_cluster.errors import StartupError

log = logging.getLogger(__name__)

Value = str | int | float | bool
V = TypeVar("V", str, int, float, bool)

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
MINUTE = 60.0
HOUR = 60 * MINUTE
DAY = 24 * HOUR
YEAR = 365 * DAY

# What may follow a number, by the unit of the setting.
SUFFIXES: dict[str, dict[str, float]] = {
    "bytes": {"KiB": KIB, "MiB": MIB, "GiB": GIB},
    "seconds": {"ms": 0.001, "s": 1, "m": MINUTE, "h": HOUR},
}
TRUTHS = {"true": True, "yes": True, "on": True, "1": True}
FALSEHOODS = {"false": False, "no": False, "off": False, "0": False}

# Flags of the original whose features are not here: better a refusal than a surprise.
UNAVAILABLE = {
    "--access-key-id",
    "--apps-dir",
    "--enable-s3",
    "--endpoint-url",
    "--endpoint-url-public",
    "--executable-path",
    "--launch-command",
    "--minio-port",
    "--minio-root-password",
    "--minio-root-user",
    "--minio-workdir",
    "--rdf-bucket",
    "--region-name",
    "--secret-access-key",
    "--triton-servers",
    "--user-bucket",
    "--workspace-bucket",
    "--workspace-etc-dir",
}
# The variables of commands that call a hub, as its users' programs do; no settings of a hub.
CLIENT_VARIABLES = {"server_url": "HYPHA_SERVER_URL", "token": "HYPHA_TOKEN"}
# Behind the name of a variable: the value is in a file, where containers keep secrets.
FILE = "_FILE"
# Kubernetes puts these into every pod beside a Service called `hypha…`.
SERVICE_LINK = re.compile(
    r"HYPHA\w*_(SERVICE_HOST|SERVICE_PORT\w*|PORT_\d+_\w+)=|HYPHA\w*_PORT=(tcp|udp|sctp)://"
)


class Setting(NamedTuple):
    """What there is to know about one setting."""

    name: str
    flag: str
    env: str
    default: Value
    unit: str
    help: str
    within: tuple[float, float] | None
    """The least and the most that a number may be."""
    choices: tuple[str, ...]
    secret: bool
    many: bool
    """Whether several values may follow its flag; elsewhere they have commas between."""
    also: tuple[str, ...]
    """The names of the same setting in the original, flags and variables."""

    @property
    def flags(self) -> list[str]:
        return [self.flag, *(name for name in self.also if name.startswith("--"))]

    @property
    def envs(self) -> list[str]:
        return [self.env, *(name for name in self.also if not name.startswith("--"))]


def setting(
    default: V,
    help: str,
    unit: str = "",
    **more: Any,
) -> V:
    """Declare a setting as a field of a frozen dataclass.

    more: `within`, `choices`, `secret`, `many` and `also`, as in `Setting`. Every number has
    bounds, `within`.
    """
    about = {"help": help, "unit": unit, **NOTHING_MORE, **more}
    return dataclasses.field(default=default, metadata=about)


NOTHING_MORE: Mapping[str, Any] = {
    "within": None,
    "choices": (),
    "secret": False,
    "many": False,
    "also": (),
}


def settings_of(shape: type) -> tuple[Setting, ...]:
    """The settings that a dataclass declares, in their order."""
    return tuple(
        Setting(
            name=field.name,
            flag="--" + field.name.replace("_", "-"),
            env="HYPHA_" + field.name.upper(),
            default=field.default,  # type: ignore[arg-type]  # every field has one
            **field.metadata,
        )
        for field in dataclasses.fields(shape)
    )


def complaints(about: Setting, value: Value) -> Iterator[str]:
    """What is wrong with a value by itself."""
    if about.choices and value not in about.choices:
        yield f"{about.name} must be one of {', '.join(about.choices)}, not {value!r}"
    if about.within is None or isinstance(value, str):
        return
    least, most = about.within
    given = amount(value, about.unit)
    if value < 0:
        yield f"{about.name} must not be negative, but is {given}"
    elif value < least:
        yield f"{about.name} must be at least {amount(least, about.unit)}, but is {given}"
    elif value > most:
        yield f"{about.name} must be at most {amount(most, about.unit)}, but is {given}"


def amount(number: float, unit: str) -> str:
    """A number as a person would write it: 16 MiB, 3 h, 0.1 s."""
    if unit == "seconds":
        sizes = [
            (YEAR, "year" if number == YEAR else "years"),
            (HOUR, "h"),
            (MINUTE, "m"),
            (1, "s"),
        ]
    else:
        sizes = [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")] if unit == "bytes" else []
    for size, name in sizes:
        if number and number % size == 0:
            return f"{number / size:g} {name}"
    return f"{number:.12g} {'s' if unit == 'seconds' else unit}".rstrip()


def add_flags(parser: argparse.ArgumentParser, settings: Sequence[Setting]) -> None:
    """Teach `parser` one flag for each setting, and the flags of the original."""
    add_settings(parser, settings)
    add_foreign(parser, settings)


def add_settings(parser: argparse._ActionsContainer, settings: Sequence[Setting]) -> None:
    """Teach a parser, or a group of one, one flag for each setting."""
    for about in settings:
        extra: dict[str, Any] = {"metavar": (about.unit or type(about.default).__name__).upper()}
        if isinstance(about.default, bool):
            extra = {"nargs": "?", "const": "true", "metavar": "BOOL"}
            parser.add_argument(
                f"--no-{about.flag[2:]}",
                dest=about.name,
                action="store_const",
                const="false",
                default=argparse.SUPPRESS,
                help=argparse.SUPPRESS,
            )
        if about.many:
            extra = {"nargs": "+", "action": _Join, "metavar": "VALUE"}
        text = f"{about.help} (default {about.default!r}, {about.env})".replace("%", "%%")
        parser.add_argument(
            *about.flags, dest=about.name, default=argparse.SUPPRESS, help=text, **extra
        )


def add_foreign(parser: argparse.ArgumentParser, settings: Sequence[Setting]) -> None:
    """Teach `parser` the flags of the original that are no settings here."""
    hidden: dict[str, Any] = {"nargs": "*", "default": argparse.SUPPRESS, "help": argparse.SUPPRESS}
    for flag in UNAVAILABLE - {flag for about in settings for flag in about.flags}:
        parser.add_argument(flag, action=_Unavailable, **hidden)
    parser.add_argument("--redis-port", action=_NotNeeded, **hidden)


class FlagParser(argparse.ArgumentParser):
    """A parser that reports a mistake in one line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise StartupError(message)


class _Join(argparse.Action):
    """Takes the values that follow a flag, however often it is there, with commas between."""

    def __call__(self, _parser: Any, namespace: Any, values: Any, _flag: str | None = None) -> None:
        before = getattr(namespace, self.dest, None)
        setattr(namespace, self.dest, ",".join([*filter(None, [before]), *values]))


class _Unavailable(argparse.Action):
    def __call__(self, *args: Any, **_: Any) -> NoReturn:
        raise StartupError(f"{args[3]} is not available in hypha_cluster yet")


class _NotNeeded(argparse.Action):
    def __call__(self, *args: Any, **_: Any) -> None:
        log.warning("%s changes nothing: the embedded store listens on no port", args[3])


def read_flags(settings: Sequence[Setting], flags: Sequence[str]) -> dict[str, Value]:
    parser = FlagParser(add_help=False)
    add_flags(parser, settings)
    known, unknown = parser.parse_known_args(flags)
    for word in unknown:
        raise StartupError(_about_unknown(word, [n for about in settings for n in about.flags]))
    by_name = {about.name: about for about in settings}
    return {
        name: _parse(by_name[name], text, by_name[name].flag) for name, text in vars(known).items()
    }


def _about_unknown(word: str, flags: list[str]) -> str:
    if not word.startswith("-"):
        return f"unexpected argument {word!r}; settings are given as {flags[0]}=VALUE"
    flag = word.partition("=")[0]
    if re.match("-[A-Za-z]", flag):  # there are no short ones
        near = [name for name in flags if name.startswith(f"--{flag[1].lower()}")][:1]
    else:
        near = difflib.get_close_matches(flag, flags, n=1)
    hint = f"did you mean {near[0]}?" if near else "hypha-cluster serve --help lists them all"
    return f"unknown flag {flag!r}; {hint}"


def read_environment(settings: Sequence[Setting], environ: Mapping[str, str]) -> dict[str, Value]:
    names = {name: about for about in settings for name in about.envs}
    known = {*names, *(name + FILE for name in names)}
    ours = {
        name: text
        for name, text in environ.items()
        if (name.startswith("HYPHA_") or name in known) and not SERVICE_LINK.match(f"{name}={text}")
    }
    for name in ours.keys() - known - set(CLIENT_VARIABLES.values()):
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else "hypha-cluster config lists them all"
        raise StartupError(f"unknown variable {name}; {hint}")
    given: dict[str, Value] = {}
    for name, about in names.items():
        if text := _text(name, ours):
            given.setdefault(about.name, _parse(about, text, name))
    return given


def _text(name: str, ours: Mapping[str, str]) -> str:
    """What a variable says, or the file that it names."""
    # A variable that is set to nothing is how compose files leave one out.
    text, path = ours.get(name, ""), ours.get(name + FILE, "")
    if text and path:
        raise StartupError(f"{name} and {name}{FILE} are both set: give one of them")
    return _content(path, name + FILE) if path else text


def _content(path: str, source: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise StartupError(f"{source}: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise StartupError(f"{source}: {path} is not text") from None
    if not text:
        raise StartupError(f"{source}: {path} is empty")
    return text


def _parse(about: Setting, text: str, source: str) -> Value:
    if isinstance(about.default, str):
        return text.lower() if text.lower() in about.choices else text
    if isinstance(about.default, bool):
        truth = {**TRUTHS, **FALSEHOODS}.get(text.lower())
        if truth is None:
            raise StartupError(f"{source} must be true or false, not {text!r}")
        return truth
    return _parse_number(about, text, source)


def items(text: str) -> list[str]:
    """The values of a setting that has several, with commas between."""
    return [item.strip() for item in text.split(",") if item.strip()]


def read_time(text: str, source: str) -> float:
    """Seconds, of a text such as 90s, 15m, 12h or 30d."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *([a-z]*)", text.strip())
    size = {"": 1.0, "d": DAY, **SUFFIXES["seconds"]}.get(found[2]) if found else None
    if not found or size is None:
        raise StartupError(f"{source} must be a time such as 15m, 12h or 30d, not {text!r}")
    return float(found[1]) * size


def _parse_number(about: Setting, text: str, source: str) -> Value:
    suffixes = {"": 1.0, **SUFFIXES.get(about.unit, {})}
    number = re.fullmatch(r"(-?[\d.]+) *([A-Za-z]*)", text.strip())
    try:
        amount = float(number[1]) * suffixes[number[2]] if number else float("nan")
        return amount if isinstance(about.default, float) and number else _whole(amount)
    except (ValueError, KeyError):
        endings = ", ".join(suffix for suffix in suffixes if suffix)
        hint = f", if you like followed by one of {endings}" if endings else ""
        raise StartupError(f"{source} must be a number{hint}, not {text!r}") from None


def _whole(amount: float) -> int:
    if not amount.is_integer():
        raise ValueError(amount)
    return int(amount)
