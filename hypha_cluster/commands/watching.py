"""Shows a table again and again, for as long as somebody looks."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from hypha_cluster.commands.output import Row, plain_table, rich_table
from hypha_cluster.errors import StartupError
from hypha_cluster.serving.logs import wants_colour


class View(NamedTuple):
    """look: what there is now, for programs; row: the same for people."""

    columns: Row
    look: Callable[[], Awaitable[Sequence[dict[str, Any]]]]
    row: Callable[[dict[str, Any]], Row]

    def found(self) -> Sequence[dict[str, Any]]:
        return asyncio.run(_awaited(self.look))

    def rows(self, found: Sequence[dict[str, Any]]) -> list[Row]:
        return [self.row(each) for each in found]


async def _awaited(look: Callable[[], Awaitable[Sequence[dict[str, Any]]]]) -> Any:
    return await look()


def watch(view: View, every: float, *, as_json: bool) -> None:
    """Show it until Ctrl-C: live on a terminal, else one table, or one line of JSON, a look.

    StartupError when there is nothing to look into at first; later that is told, and it goes on.
    """
    if not every > 0:
        raise StartupError(f"--every is a number of seconds above 0, not {every:g}")
    with suppress(KeyboardInterrupt):
        if wants_colour(sys.stdout) and not as_json:
            _show_live(view, every)
        else:
            _show_lines(view, every, as_json=as_json)


def _show_lines(view: View, every: float, *, as_json: bool) -> None:
    found, trouble = view.found(), ""
    while True:
        if trouble:
            sys.stderr.write(f"{trouble}\n")
        elif as_json:
            sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")
        else:
            sys.stdout.write(plain_table([view.columns, *view.rows(found)]) + "\n")
        sys.stdout.flush()
        time.sleep(every)
        found, trouble = _again(view, found)


def _show_live(view: View, every: float) -> None:
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    def shown(found: Sequence[dict[str, Any]], trouble: str) -> Group:
        words = Text(trouble, style="red") if trouble else Text("Ctrl-C ends it.", style="dim")
        return Group(rich_table(view.columns, view.rows(found)), Text(""), words)

    found = view.found()
    with Live(shown(found, ""), screen=True) as live:
        while True:
            time.sleep(every)
            found, trouble = _again(view, found)
            live.update(shown(found, trouble), refresh=True)


def _again(view: View, before: Sequence[dict[str, Any]]) -> tuple[Sequence[dict[str, Any]], str]:
    """What there is now; or what there was, and why no more is known."""
    try:
        return view.found(), ""
    except StartupError as error:
        return before, f"{time.strftime('%H:%M:%S')} {error}"
