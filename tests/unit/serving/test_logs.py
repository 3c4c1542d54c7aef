"""Log lines: their two shapes, and what they must not show."""

import io
import json
import logging
import sys

import pytest

from hypha_cluster import log_fields
from hypha_cluster.serving.logs import JsonFormatter, TextFormatter, wants_colour

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl"


def record(message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("hub", logging.INFO, __file__, 1, message, args, None)


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (f"GET /ws?workspace=w&token={TOKEN}&x=1", "workspace=w&token=***&x=1"),
        ("/ws?reconnection_token=abc def", "reconnection_token=*** def"),
        (f"Authorization: Bearer {TOKEN}", "Bearer ***"),
        (f"no way in with {TOKEN}.", "no way in with ***"),
        (f"BEARER {TOKEN}", "BEARER ***"),
        (f"TOKEN={TOKEN}", "TOKEN=***"),
    ],
)
def test_tokens_do_not_reach_a_log(formatter: logging.Formatter, text: str, kept: str) -> None:
    line = formatter.format(record("%s", text))

    assert kept in line
    assert TOKEN not in line


def test_tokens_are_taken_out_of_tracebacks() -> None:
    try:
        raise ValueError(f"token={TOKEN}")
    except ValueError:
        entry = record("oops")
        entry.exc_info = sys.exc_info()

    assert TOKEN not in JsonFormatter().format(entry)
    assert TOKEN not in TextFormatter().format(entry)


def test_a_line_for_a_person_names_its_gateway_if_it_has_one() -> None:
    parents = TextFormatter().format(record("hello"))
    token = log_fields.node.set("east-1")
    workers = TextFormatter().format(record("hello"))
    log_fields.node.reset(token)

    assert parents.endswith(" INFO hub: hello")
    assert workers.endswith(" INFO east-1 hub: hello")


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    warning = record("careful")
    warning.levelno, warning.levelname = logging.WARNING, "WARNING"

    assert "\x1b[33mWARNING\x1b[0m" in TextFormatter(in_colour=True).format(warning)
    assert "\x1b" not in TextFormatter().format(warning)
    assert wants_colour(Terminal())
    assert not wants_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_colour(Terminal())


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_for_a_program_is_json() -> None:
    line = json.loads(JsonFormatter().format(record("two\nlines %d", 1)))

    assert line["message"] == "two\nlines 1"
    assert (line["level"], line["logger"]) == ("info", "hub")
