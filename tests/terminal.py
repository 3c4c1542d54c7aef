"""A terminal at which a person types, and reads what a program shows."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from tests.gateways import SECOND

LINES, COLUMNS = 40, 160
INTERRUPT: Final = "\x03"  # Ctrl-C
TAB: Final = "\t"
# Colours, moves of the cursor, titles: what is no text.
_NO_TEXT: Final = re.compile(
    r"\x1b(?:\[[0-9;?<>=]*[a-zA-Z]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Z0-9]|[=>78MP])"
)


class Terminal:
    """One program, on a terminal of its own."""

    def __init__(self, words: list[str], folder: Path, variables: Mapping[str, str]) -> None:
        self._words = words
        self._folder = folder
        self._variables = {**variables, "TERM": "xterm-256color"}
        self._seen = ""

    def __enter__(self) -> Self:
        self._mine, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *self._words],  # so that Ctrl-C reaches it
            cwd=self._folder,
            env=self._variables,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._mine)

    def type(self, text: str) -> None:
        """Type it; what was shown so far is no answer to it."""
        self._read(0)
        self._seen = ""
        os.write(self._mine, text.encode())

    def until(self, pattern: str, limit: float = 30 * SECOND) -> str:
        """Wait until this is shown since something was typed; answer all that was."""
        deadline = time.monotonic() + limit
        while not re.search(pattern, self._seen):
            assert time.monotonic() < deadline, self._seen
            self._read(0.2)
        return self._seen

    def ended(self, limit: float = 30 * SECOND) -> int:
        """Wait until the program has ended; answer its exit code."""
        deadline = time.monotonic() + limit
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self._seen
            self._read(0.2)
        return self.process.wait()

    def _read(self, patience: float) -> None:
        while select.select([self._mine], [], [], patience)[0]:
            try:
                new = os.read(self._mine, 65_536)
            except OSError:  # nobody has the other end any more
                return
            self._seen = _NO_TEXT.sub("", self._seen + new.decode(errors="replace"))
            patience = 0
