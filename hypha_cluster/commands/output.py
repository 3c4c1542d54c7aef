"""How commands show what they found: tables and colours for people, JSON for programs."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from hypha_cluster.serving.logs import wants_colour

Row = Sequence[str]


def show_json(value: Any, *, colours: bool = True) -> None:
    """Print it as JSON, in colours on a terminal."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    if colours and wants_colour(sys.stdout):
        from rich.console import Console

        Console().print_json(text)
    else:
        sys.stdout.write(text + "\n")


def show_table(columns: Row, rows: Sequence[Row], nothing: str) -> None:
    """Print rows below their columns, or say that there are none."""
    if not rows:
        sys.stdout.write(f"{nothing}\n")
    elif wants_colour(sys.stdout):
        from rich.console import Console

        Console().print(rich_table(columns, rows))
    else:
        sys.stdout.write(plain_table([columns, *rows]))


def plain_table(rows: Sequence[Row]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "".join(f"{line.rstrip()}\n" for line in lines)


COLOURS = {
    "ready": "green",
    "online": "green",
    "OK": "green",
    "draining": "yellow",
    "suspended": "yellow",
    "WARNING": "yellow",
    "no lease": "red",
    "CRITICAL": "red",
}


def rich_table(columns: Row, rows: Sequence[Row]) -> Any:
    """The same for a terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in row))
    return table
