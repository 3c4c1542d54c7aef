"""The page that lists every message of the hub's own, as they stand in its code."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import hypha_cluster
from hypha_cluster import errors
from hypha_cluster.errors import HubError, StartupError

PACKAGE = Path(hypha_cluster.__file__).parent

HEAD = """\
# Messages and close codes

<!-- Made by `python -m docs.generate` from the code. -->

Every message of the hub's own, with … for what differs. [Troubleshooting](troubleshooting.md) says
what to do about those that need more than their own words.

A call that fails ends with the message as its error; imjoy-rpc puts `RemoteError:` before it. Over
HTTP the answer has the status of its kind, and the message as `detail`. A client that is not let in
gets HTTP 403 with the message as text, whatever its kind; imjoy-rpc shows only that it was refused;
the hub's log has the reason (at level `info`).

## Close codes

| code | reason | what it means for the client |
|---|---|---|
| 1000 | attached elsewhere | a newer connection of the same client has its place |
| 1002, 1007 | what was wrong | what came was no WebSocket: look at what is between client and hub |
| 1009 | message of more than … bytes | a message is larger than `--max-frame-size` |
| 1011 | no answer to a ping | nothing came for `--ping-interval` and `--ping-timeout` |
| 1012 | going away | the gateway is stopping; the client connects to another one |
| 1012 | the relay is unavailable | the hub cannot reach its Redis; the client tries again |
| 1013 | too many; try again in … s | its user or address has too many connections; it tries again |
| 1013 | unfinished; send it again | a message was begun and not ended; others need the memory |
| 1013 | too slow | it took nothing for `--send-timeout`, or twice `--outbox-size` waited |
"""


class Found(NamedTuple):
    """A text that the code raises, with … for what differs, and its class."""

    kind: type[Exception]
    text: str


def messages_page() -> str:
    """The messages, under a heading for each class that has some."""
    return HEAD + "".join(_sections())


def known_messages() -> list[str]:
    return [found.text for found in _messages()]


def _sections() -> Iterator[str]:
    found = _messages()
    yield "\n## To clients and over HTTP\n"
    for kind, texts in _by_kind(found, HubError):
        about = (kind.__doc__ or "").partition("\n")[0].partition(" (")[0].removesuffix(".")
        yield f"\n### {kind.__name__}\n\n{about}. HTTP {kind.status}.\n\n"
        yield from texts
    yield "\n## From a start that fails\n\n"
    yield "One line on stderr, after `hypha-cluster: `; the exit code is 2.\n\n"
    for _, texts in _by_kind(found, StartupError):
        yield from texts


def _by_kind(messages: list[Found], base: type[Exception]) -> Iterator[tuple[Any, list[str]]]:
    kinds = {found.kind for found in messages if issubclass(found.kind, base)}
    for kind in sorted(kinds, key=lambda kind: kind.__name__):
        yield kind, [f"* `{found.text}`\n" for found in messages if found.kind is kind]


def _messages() -> list[Found]:
    texts = {
        found
        for path in PACKAGE.rglob("*.py")
        for found in _in_tree(ast.parse(path.read_text(encoding="utf-8")))
    }
    return sorted(texts, key=lambda found: (found.text.lstrip("'…"), found.kind.__name__))


def _in_tree(tree: ast.Module) -> Iterator[Found]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            kind = getattr(errors, node.func.id, None)
            text = _text(node.args[0])
            if text and isinstance(kind, type) and issubclass(kind, HubError | StartupError):
                yield Found(kind, text)
        # config.py collects its complaints first, and raises them in one place.
        if isinstance(node, ast.FunctionDef) and node.name.endswith("complaints"):
            yield from _yielded(node)


def _yielded(function: ast.FunctionDef) -> Iterator[Found]:
    for node in ast.walk(function):
        if isinstance(node, ast.Yield) and node.value and (text := _text(node.value)):
            yield Found(StartupError, text)


def _text(node: ast.expr) -> str:
    """A text as it stands in the code, with … for each value; "" for anything else."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    written = [part.value if isinstance(part, ast.Constant) else "…" for part in parts]
    if not any(part.strip(": …") for part in written if isinstance(part, str)):
        return ""  # nothing but somebody else's words
    if not all(isinstance(part, str) for part in written):
        return ""
    return "".join(map(str, written)).replace("`", "'")
