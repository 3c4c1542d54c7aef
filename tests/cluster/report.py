"""The figures of the cluster tests, as docs/reliability.md shows them.

Tests add lines to the file that HYPHA_TEST_FIGURES names; `python -m tests.cluster.report FIGURES
PAGE` makes the page of them.
"""

import json
import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FIGURES = "HYPHA_TEST_FIGURES"

HEAD = """\
# Reliability

What the cluster tests have measured: three gateways behind HAProxy with `deploy/haproxy.cfg` as it
is shipped and one Valkey, if nothing else is said, and published clients that were told nothing but
the balancer's address (imjoy-rpc 0.5.16 and 0.5.59 in Python, 0.5.59 in Chromium), all on one
machine. This page is written by

```sh
make chaos
```

*Under load*, five callers in Python and a page call three providers in Python and one in the page,
without end. A caller in Python has up to three calls under way at each provider, the page has one;
the next one is placed 0.03 s after an answer.

A call that *failed* is one whose caller got an error. Besides what is counted here, every call is
checked to have exactly one outcome and the right one, to be executed at most once, in the order of
its caller, by whom it was meant for, and never after its caller was told that it failed. There is
one exception: when its connection breaks, 0.5.16 opens several at once and sends by whichever is
ready first, so what it sends or gets within 15 s of a crash is in an order of its own. Each of them
ends the one before, and it writes to one that is just closing too, so that some calls cannot be
sent ("Failed to send the request").

A "time out" is the client's own word, after 30 s, or 10 s in 0.5.16: the frame was lost with the
memory of what failed or with a connection that broke, or its answer came too late.

[What was done](#what-was-done) says what is behind each row.
"""


class Report:
    """Collects figures, if somebody wants them. about: what the experiment is, in sentences."""

    def __init__(self, about: str = "") -> None:
        self._about = " ".join(about.split())
        path = os.environ.get(FIGURES)
        self._path = Path(path) if path else None

    @property
    def is_wanted(self) -> bool:
        return self._path is not None

    def note(self, what: str, **figures: Any) -> None:
        """Add what came of one experiment; a figure's name is a word or two."""
        named = {name.replace("_", " "): value for name, value in figures.items()}
        line = {"what": what, "about": self._about, "figures": named}
        if self._path:
            with self._path.open("a", encoding="utf-8") as output:
                output.write(json.dumps(line) + "\n")


def page(lines: list[dict[str, Any]]) -> str:
    """Return the page: a row for each experiment and figure, then what each experiment is."""
    return "\n".join([HEAD, *_rows(lines), "", "## What was done", "", *_explained(lines), ""])


def _rows(lines: list[dict[str, Any]]) -> Iterator[str]:
    yield from ("| what happened | figure | |", "|---|---|---:|")
    for line in lines:
        what = line["what"]
        for name, value in line["figures"].items():
            yield f"| {what} | {name} | {_shown(value)} |"
            what = ""


def _explained(lines: list[dict[str, Any]]) -> Iterator[str]:
    named: dict[str, dict[str, None]] = {}
    for line in lines:
        named.setdefault(line["about"], {})[line["what"]] = None
    for about, names in named.items():
        if about:
            text = f"{'; '.join(f'**{name}**' for name in names)}: {about}"
            yield textwrap.fill(text, 100, initial_indent="* ", subsequent_indent="  ")


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def main(figures: Path, target: Path) -> None:
    lines = [json.loads(line) for line in figures.read_text(encoding="utf-8").splitlines()]
    target.write_text(page(lines), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
