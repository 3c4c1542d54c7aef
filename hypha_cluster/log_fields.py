"""Which gateway, request and client a line of the log is about.

Whoever begins a request or a connection says so here, and every line that is logged in its course
has these fields. A line that is logged elsewhere names its client: `extra={"client": address}`.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from hypha_cluster.randomness import unguessable

node: Final[ContextVar[str]] = ContextVar("node", default="")
request_id: Final[ContextVar[str]] = ContextVar("request_id", default="")
client: Final[ContextVar[str]] = ContextVar("client", default="")

_GOOD_ID: Final = re.compile(r"[\w.:+/=@-]{1,128}", re.ASCII)


def fields(record: logging.LogRecord) -> dict[str, str]:
    """What a line is about, as far as that is known."""
    known = {
        variable.name: str(getattr(record, variable.name, "") or variable.get())
        for variable in (node, request_id, client)
    }
    return {name: value for name, value in known.items() if value}


def node_of(record: logging.LogRecord) -> str:
    """The gateway that a line is about, if that is known."""
    return str(getattr(record, node.name, "") or node.get())


@contextmanager
def about(request: str, address: str) -> Iterator[None]:
    """Whatever is logged or begun meanwhile is about this client, which came by this request."""
    tokens = request_id.set(request), client.set(address)
    try:
        yield
    finally:
        request_id.reset(tokens[0])
        client.reset(tokens[1])


def good_request_id(given: str) -> str:
    """The id that a request came with, or a new one if it has none that may be logged."""
    return given if _GOOD_ID.fullmatch(given) else unguessable()[:16]
