"""The figures of the cluster tests, as docs/reliability.md shows them.

Tests add lines to the file that HYPHA_TEST_FIGURES names; `python -m tests.cluster.report FIGURES
PAGE` makes the page of them.
"""

import json
import os
import sys
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

A call that *failed* is one whose caller got an error. Besides what is counted here, every call is
checked to have exactly one outcome and the right one, to be executed at most once, in the order of
its caller, by whom it was meant for, and never after its caller was told that it failed. There is
one exception: when its connection breaks, 0.5.16 opens several at once and sends by whichever is
ready first, so what it sends or gets within 15 s of a crash is in an order of its own. Each of them
ends the one before, so that some calls cannot be sent ("Failed to send the request").

A "time out" is the client's own word, after 30 s, or 10 s in 0.5.16: the frame was lost with the
memory of what failed or with a connection that broke, or its answer came too late.
"""


class Report:
    """Collects figures, if somebody wants them."""

    def __init__(self) -> None:
        path = os.environ.get(FIGURES)
        self._path = Path(path) if path else None

    @property
    def is_wanted(self) -> bool:
        return self._path is not None

    def note(self, what: str, **figures: Any) -> None:
        """Add what came of one experiment; a figure's name is a word or two."""
        line = {"what": what, **{name.replace("_", " "): value for name, value in figures.items()}}
        if self._path:
            with self._path.open("a", encoding="utf-8") as output:
                output.write(json.dumps(line) + "\n")


def page(lines: list[dict[str, Any]]) -> str:
    """The page, a table row for each experiment and figure, in the order in which they came."""
    rows = ["| what happened | figure | |", "|---|---|---:|"]
    for line in lines:
        what = line.pop("what")
        for name, value in line.items():
            rows.append(f"| {what} | {name} | {_shown(value)} |")
            what = ""
    return HEAD + "\n" + "\n".join(rows) + "\n"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def main(figures: Path, target: Path) -> None:
    lines = [json.loads(line) for line in figures.read_text(encoding="utf-8").splitlines()]
    target.write_text(page(lines), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
