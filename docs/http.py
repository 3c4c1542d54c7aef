"""The page of every address over HTTP, made from the table that a test asks the hub."""

import itertools
from collections.abc import Iterable
from typing import Final

from tests.http_feature_routes import FEATURE_ROWS
from tests.http_optional_routes import OPTIONAL_ROWS
from tests.http_routes import ROWS
from tests.http_row import JSON, Row

SHOWN: Final = 70  # characters of a path or a body
HEAD: Final = """\
# Every address over HTTP

<!-- Made by `python -m docs.generate` from tests/http_routes.py, http_feature_routes.py and
http_optional_routes.py beside it. -->

What the hub answers to good and bad requests, address by address. A test sends each of them through
one gateway and through another one than the provider's. [Use it](use.md#over-http) explains the
calls, [Web applications](webapps.md) what runs in clients; the same as OpenAPI is at
`/openapi.json`, and the functions of a workspace at `/{workspace}/openapi.json`.

`{ws}` is a workspace in which the client `{client}` offers the public service `open`, with the
functions `echo` (returns its arguments), `blob` (returns bytes) and `count` (returns a stream), the
protected service `closed` with `secret`, and the web applications `site`, public, and `hidden`.
*as a member* is a request with a token for the workspace. *says* is a part of the answer's body.
An error is `{"success": false, "detail": "one sentence"}`; a request that accepts `text/html` gets
a page.

"""
TURNED_ON: Final = """\
`/tools` is a directory of `--static-mounts`, and `{app}` an app that was installed in the workspace
`ann` of a hub with `--enable-server-apps` ([server apps](apps.md)).

"""


def http_page() -> str:
    """The whole page."""
    own = [row for row in ROWS if row not in FEATURE_ROWS]
    return (
        HEAD
        + "".join(
            (
                "## The hub's own\n\n",
                *_tables(row for row in own if row.route),
                "## Of features\n\n",
                *_tables(FEATURE_ROWS),
                "## Of what an operator turns on\n\n",
                TURNED_ON,
                *_tables(OPTIONAL_ROWS),
                "## Anything else\n\n",
                *_table(row for row in own if not row.route),
            )
        ).rstrip("\n")
        + "\n"
    )


def _tables(rows: Iterable[Row]) -> Iterable[str]:
    ordered = sorted(rows, key=lambda row: row.route)  # rows of one address keep their order
    for route, group in itertools.groupby(ordered, lambda row: row.route):
        yield f"### `{route}`\n\n"
        yield from _table(group)


def _table(rows: Iterable[Row]) -> Iterable[str]:
    yield "| request | status | says |\n|---|---|---|\n"
    for row in rows:
        yield f"| {_request(row)} | {row.status} | {_code(row.says) if row.says else ''} |\n"
    yield "\n"


def _request(row: Row) -> str:
    parts = [_code(f"{row.method} {row.path}")]
    if row.body:
        text = _text(row.body)
        parts.append(_code(text) if text else f"{len(row.body)} bytes")
    if row.body and row.content_type != JSON:
        parts.append(f"as {_code(row.content_type)}")
    if row.encoding:
        parts.append(f"encoded as {_code(row.encoding)}")
    if row.accept:
        parts.append(f"accepts {_code(row.accept)}")
    if row.token:
        member = row.token == "member"
        parts.append("as a member" if member else f"with the token {_code(row.token)}")
    return ", ".join(parts)


def _text(body: bytes) -> str:
    """A body as text; empty where it is none that can be shown."""
    text = body.decode("ascii", "replace")
    return text if text.isprintable() and "\ufffd" not in text and len(text) <= SHOWN else ""


def _code(text: str) -> str:
    shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
    plain = shown.replace("\0", "\\0").replace("\n", "\\n")
    return f"`{plain}`".replace("|", "\\|")
