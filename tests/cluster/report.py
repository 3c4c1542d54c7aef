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

What the cluster tests measured, all on one machine: three gateways behind HAProxy with
`deploy/haproxy.cfg` as it is shipped, one Valkey, and published clients (imjoy-rpc 0.5.16 and
0.5.59 in Python, 0.5.59 in Chromium) that know nothing but the balancer's address. Where an
experiment has something else, its description says so. This page is written by

```sh
make chaos
```

*Under load*, five callers in Python and one in a browser page call three providers in Python and
one in the page, without end. A caller in Python has up to three calls under way at each provider,
the page has one; each places its next call 0.03 s after an answer.

A call *failed* if its caller got an error. Besides what is counted here, the tests check of every
call that it has exactly one outcome, and the right one; and that nobody but its target executes it,
at most once, in the order in which its caller placed its calls, and never after its caller was told
that it failed. There is one exception. When its connection breaks, 0.5.16 opens several at once and
sends by whichever is ready first, so no hub can keep what it sends or gets within 15 s of a crash
in order. Each of these connections ends the one before, and 0.5.16 also writes to one that is just
closing, so some of its calls cannot be sent ("Failed to send the request"). Some of its answers
cannot be sent either; their callers get a time out.

A "time out" is an error that the client itself raises, after 30 s, or 10 s in 0.5.16. The frame was
lost with the memory of what failed or with a connection that broke, or its answer came too late.

*Clients lost* are callers whose calls to at least one provider did not succeed any more in the
end. *Clients in an endless loop of their own* are Python programs that a fault of imjoy-rpc, from
0.5.32 on, keeps busy for ever when a connection breaks while a frame waits to be read. *Seconds*
count from what happened: *to the first good call* of each pair of caller and provider, and *in
which calls failed* to the placing of the last call that failed. The *longest call* may be one that
failed.

[What was done](#what-was-done) says what is behind each row.
"""


class Report:
    """Collects figures, if it is told where. about: what the experiment is, in sentences."""

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
