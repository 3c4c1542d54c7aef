"""Does what a page tells its reader to do, word for word: `python walk.py PAGE REPOSITORY`.

Needs nothing but Python, curl and bash, for it runs where nothing is installed yet. What it
understands of prose: `Save this as X`, `leave it running`, `In another terminal`, `in the folder of
the repository`, `in the same folder`, `a moment later`, `Stop X with Ctrl-C`. A block of text after
a command is what that must print, with … for what differs.
"""

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

PORT = "9000"
INSTALLING_TIME = 600  # seconds
ANSWERING_TIME = 60  # seconds
POLL = 0.05  # seconds


class Step(NamedTuple):
    """A block of the page, and the prose between it and the block before."""

    prose: str
    language: str
    text: str


class Running(NamedTuple):
    """A command that was left running."""

    command: str
    process: subprocess.Popen[bytes]
    log: Path

    def printed(self) -> str:
        return self.log.read_text()


def steps(page: str) -> Iterator[Step]:
    parts = re.split(r"^```([\w-]+)\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    for prose, language, text in zip(parts[::3], parts[1::3], parts[2::3], strict=False):
        yield Step(" ".join(prose.split()), language, text)


class Reader:
    """Somebody who follows a page.

    port: where their hub listens, if not where the page says. patience: seconds to wait for what a
    command that goes on should print, and for its end.
    """

    def __init__(
        self, repository: Path, port: str = PORT, patience: float = ANSWERING_TIME
    ) -> None:
        self._patience = patience
        self._repository = self._folder = repository
        self._port = port
        self._running: list[Running] = []
        # What the last command has printed so far, and whether there may be more.
        self._look: Callable[[], str] = str
        self._may_change: Callable[[], bool] = bool

    def follow(self, step: Step) -> None:
        self._read(step.prose)
        if step.language == "sh":
            _say(step.text)
            self._type(self._adapted(step.text), step.prose)
        elif step.language == "text":
            self._compare(self._adapted(step.text))
        else:
            self._save(step)

    def stop(self, name: str = "") -> None:
        """Press Ctrl-C where a command runs: where the last one was started first.

        So no program looks for a hub that has gone. Python does not end when Ctrl-C comes just when
        a program starts a thread, as for looking up a host's address.
        """
        for running in [r for r in reversed(self._running) if name in r.command]:
            self._running.remove(running)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.process.pid, signal.SIGINT)
            running.process.wait(self._patience)
            running.log.unlink()

    def _read(self, prose: str) -> None:
        for name in re.findall(r"Stop `([^`]+)` with Ctrl-C", prose):
            _say(f"Ctrl-C: {name}")
            assert any(name in running.command for running in self._running), f"{name} is not there"
            self.stop(name)
        lower = prose.lower()
        if "in the folder of the repository" in lower:
            self._folder = self._repository
        elif "in another terminal" in lower and "in the same folder" not in lower:
            self._folder = Path.home()

    def _adapted(self, text: str) -> str:
        if self._port == PORT:
            return text
        text = text.replace(f":{PORT}", f":{self._port}")
        return text.replace("hypha-cluster serve", f"hypha-cluster serve --port {self._port}")

    def _type(self, commands: str, prose: str) -> None:
        if "running" in prose:
            self._leave_running(commands)
            return
        printed = self._run(commands)
        self._look, self._may_change = lambda: printed, lambda: False
        if "a moment later" in prose:
            self._look, self._may_change = lambda: self._run(commands), lambda: True

    def _run(self, commands: str) -> str:
        with tempfile.NamedTemporaryFile("r") as folder:
            done = subprocess.run(
                ["bash", "-ec", f"{commands}\npwd > {folder.name}"],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
                timeout=INSTALLING_TIME,
            )
            _say(done.stdout)
            assert done.returncode == 0, f"it ended with {done.returncode}"
            self._folder = Path(folder.read().strip())
        return done.stdout

    def _leave_running(self, commands: str) -> None:
        log = Path(tempfile.mkstemp()[1])
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "-ec", commands],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        running = Running(commands, process, log)
        self._running.append(running)
        self._look, self._may_change = running.printed, lambda: process.poll() is None

    def _compare(self, expected: str) -> None:
        """The last command must have printed this, or print it soon if it goes on."""
        pattern = re.compile(".*".join(map(re.escape, expected.strip().split("…"))))
        deadline = time.monotonic() + self._patience
        while not pattern.search(printed := self._look()):
            may_come = self._may_change() and time.monotonic() < deadline
            assert may_come, f"it should print\n{expected}but printed\n{printed}"
            time.sleep(POLL)
        _say(expected)

    def _save(self, step: Step) -> None:
        name = re.search(r"Save this as `([^`]+)`", step.prose)
        assert name, f"what is to be done with this?\n{step.text}"
        _say(f"saves {name[1]}")
        (self._folder / name[1]).write_text(self._adapted(step.text), encoding="utf-8")


def _say(text: str) -> None:
    sys.stdout.write(f"{text.rstrip()}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--port", default=PORT)
    options = parser.parse_args()
    reader = Reader(options.repository.resolve(), options.port)
    try:
        for step in steps(options.page.read_text(encoding="utf-8")):
            reader.follow(step)
    finally:
        reader.stop()
    _say("The page holds what it promises.")


if __name__ == "__main__":
    main()
