"""`make fuzz`: millions of inputs for each target; a table of what came of them.

What is new is kept in .fuzz/, in a folder for each target, and what fails beside it.
"""

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

from tests.fuzz.targets import CORPUS, LONGEST, TARGETS

FOUND: Final = Path(".fuzz")
INPUTS: Final = 1_000_000
_STATUS: Final = re.compile(r"#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+) corp: (\d+)/")
_HANGS: Final = 20  # seconds


class Figures(NamedTuple):
    """What came of one target. places: branches of the hub's code that were reached."""

    target: str
    inputs: int
    seconds: float
    places: int
    kept: int
    findings: int

    def row(self) -> str:
        pace = f"{self.inputs / self.seconds:,.0f}"
        figures = (f"{self.inputs:,}", f"{self.seconds:,.0f}", pace, f"{self.places:,}")
        return (
            "| " + " | ".join((self.target, *figures, f"{self.kept:,}", str(self.findings))) + " |"
        )


def fuzz(name: str, inputs: int) -> Figures:
    """Give a target so many inputs; what it prints goes to a log beside what it finds."""
    folder = FOUND / name
    folder.mkdir(parents=True, exist_ok=True)
    log = FOUND / f"{name}.log"
    command = [
        *(sys.executable, "-m", "tests.fuzz.one", name, str(FOUND)),
        *(f"-runs={inputs}", f"-max_len={LONGEST}", f"-timeout={_HANGS}", "-rss_limit_mb=2048"),
        *(f"-artifact_prefix={folder}-stuck-", str(folder), str(CORPUS / name)),
    ]
    dictionary = CORPUS.parent / "words" / name
    if dictionary.exists():
        command.append(f"-dict={dictionary}")
    began = time.monotonic()
    with log.open("w") as output:
        ended = subprocess.run(command, stdout=output, stderr=output, check=False).returncode
    text = log.read_text(errors="replace")
    done, places, _, kept = map(int, _STATUS.findall(text)[-1])
    if ended:
        sys.stderr.write(f"{name} failed:\n{text[-3_000:]}\n")
    return Figures(name, done, time.monotonic() - began, places, kept, int(bool(ended)))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", default=list(TARGETS), metavar="TARGET")
    parser.add_argument("--inputs", type=int, default=INPUTS)
    asked = parser.parse_args()
    rows = []
    for name in asked.targets:
        rows.append(fuzz(name, asked.inputs))
        sys.stdout.write(f"{rows[-1].row()}\n")
        sys.stdout.flush()
    sys.exit(any(row.findings for row in rows))


if __name__ == "__main__":
    main()
