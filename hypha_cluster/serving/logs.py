"""What log lines look like; no line shows a token."""

import json
import logging
import os
import re
import sys
from datetime import UTC, datetime
from typing import TextIO

from hypha_cluster import log_fields
from hypha_cluster.serving.log_bounds import FewOfAKind

TEXT = "%(asctime)s %(level)s %(gateway)s%(name)s: %(message)s"
COLOURS = {"DEBUG": "\x1b[2m", "INFO": "\x1b[32m", "WARNING": "\x1b[33m", "ERROR": "\x1b[31m"}
PLAIN = "\x1b[0m"
SECRETS = re.compile(
    r"((?:token|secret|password|code)=|Bearer\s+)[^\s&\"']+"  # queries and headers
    r"|(?<![\w-])eyJ[\w-]+\.[\w-]+\.[\w-]+",  # a token by itself
    re.IGNORECASE,
)
# Most lines have none of these, and nothing to hide; to search them took half of what they cost.
HINTS = ("=", "bearer", "eyj")


class TextFormatter(logging.Formatter):
    """One line for a person, with tokens taken out."""

    def __init__(self, *, in_colour: bool = False) -> None:
        super().__init__(TEXT)
        self._in_colour = in_colour

    def format(self, record: logging.LogRecord) -> str:
        node = log_fields.node_of(record)
        record.gateway = f"{node} " if node else ""
        record.level = record.levelname
        if self._in_colour and (colour := COLOURS.get(record.levelname)):
            record.level = f"{colour}{record.levelname}{PLAIN}"
        return _without_secrets(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object for a program, with tokens taken out."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _without_secrets(record.getMessage()),
            "process": record.process,
        }
        for name, value in log_fields.fields(record).items():
            line[name] = _without_secrets(value)
        if record.exc_info:
            line["exception"] = _without_secrets(self.formatException(record.exc_info))
        return json.dumps(line)


def configure_logging(level: str, line_format: str) -> None:
    """Send all logs to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    text = TextFormatter(in_colour=wants_colour(sys.stderr))
    handler.setFormatter(JsonFormatter() if line_format == "json" else text)
    handler.addFilter(FewOfAKind())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Hypercorn logs at INFO where it listens, which the hub logs itself.
    logging.getLogger("hypercorn.error").setLevel(max(logging.WARNING, root.level))
    # These log each request that the hub itself makes.
    for name in ("httpx2", "httpcore2"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    # This warns of mistakes that a stranger made in a form, which the answer tells.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    logging.captureWarnings(True)
    # No line says which code or which thread has written it; finding that out takes a quarter of
    # what a line costs.
    logging._srcfile = None
    logging.logThreads = logging.logMultiprocessing = False


def wants_colour(stream: TextIO) -> bool:
    """Whether a person reads this stream, and has not switched colours off (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _without_secrets(text: str) -> str:
    lower = text.lower()
    if not any(hint in lower for hint in HINTS):
        return text
    return SECRETS.sub(lambda found: (found[1] or "") + "***", text)
