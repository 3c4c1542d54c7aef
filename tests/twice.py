"""Runs a command that runs tests, and what fails once more: `python -m tests.twice make test`.

What passes the second time, by itself, failed for the load of the machine: it is printed as flaky,
and to be mended. More than a few of them in one run of CI, or one that fails again, are a fault.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

MOST: Final = 3  # flaky tests of one run of CI, which may have several commands
CACHE: Final = Path(".pytest_cache")
FAILED: Final = CACHE / "v" / "cache" / "lastfailed"
FLAKY: Final = CACHE / "flaky"  # one name a line; whoever starts a run of CI removes it
# One test after the other, and only those that failed.
AGAIN: Final = {
    "PYTEST_ADDOPTS": "--last-failed --last-failed-no-failures none",
    "JOBS": "0",
}


def run(command: Sequence[str]) -> int:
    """The exit code that CI should end with."""
    FAILED.unlink(missing_ok=True)
    code = subprocess.call(command)
    first = _failed()
    if code == 0 or not first:
        return code
    known = FLAKY.read_text(encoding="utf-8").splitlines() if FLAKY.exists() else []
    if len(first) + len(known) > MOST:
        return _say(code, f"{len(first)} tests failed, which is too many to be flaky.", first)
    _say(0, "These tests failed. They are run again, by themselves:", first)
    code = subprocess.call(command, env={**os.environ, **AGAIN})
    flaky = first - _failed()
    FLAKY.parent.mkdir(exist_ok=True)
    FLAKY.write_text("".join(f"{name}\n" for name in [*known, *sorted(flaky)]), encoding="utf-8")
    return _say(code, "FLAKY, to be mended:", flaky) if flaky else code


def _failed() -> set[str]:
    if not FAILED.exists():
        return set()
    return set(json.loads(FAILED.read_text(encoding="utf-8")))


def _say(code: int, what: str, names: set[str]) -> int:
    sys.stdout.write("\n".join([what, *(f"  {name}" for name in sorted(names)), ""]))
    sys.stdout.flush()
    return code


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
