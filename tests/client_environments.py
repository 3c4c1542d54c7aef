"""Virtual environments for the published clients, made once and kept outside the tree.

`python -m tests.client_environments` makes them all.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

PINS = Path(__file__).with_suffix(".toml")


class Environment(NamedTuple):
    """A set of pinned packages, and where they live once they are installed."""

    kind: str
    name: str
    pins: tuple[str, ...]

    @property
    def path(self) -> Path:
        python = f"{sys.implementation.cache_tag}-{sys.platform}-{os.uname().machine}"
        content = "\n".join([python, *self.pins])
        digest = hashlib.sha256(content.encode()).hexdigest()[:12]
        return cache() / self.kind / f"{self.name}-{digest}"

    @property
    def python(self) -> Path:
        return self.path / "bin" / "python"

    def make(self) -> Path:
        """Install what is not there yet, and return the environment's interpreter."""
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with locked(self.path.with_name(f"{self.path.name}.lock")):
                if not self.path.exists():
                    self._install()
        return self.python

    def _install(self) -> None:
        unfinished = self.path.with_name(f"{self.path.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        venv.create(unfinished, with_pip=False)
        # The pins are the whole set, so there is nothing to resolve.
        command = [sys.executable, "-m", "pip", "--python", str(unfinished / "bin" / "python")]
        command += ["install", "-qq", "--no-deps", "--no-warn-script-location", *self.pins]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        unfinished.rename(self.path)


def environments() -> list[Environment]:
    kinds: dict[str, dict[str, dict[str, list[str]]]] = tomllib.loads(PINS.read_text())
    return [
        Environment(kind, name, tuple(entry["pins"]))
        for kind, entries in kinds.items()
        for name, entry in entries.items()
    ]


def environment(name: str) -> Environment:
    return next(known for known in environments() if known.name == name)


def make_all() -> None:
    with ThreadPoolExecutor(max_workers=2) as pool:
        for python in pool.map(Environment.make, environments()):
            sys.stdout.write(f"{python.parent.parent}\n")


def cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "hypha-cluster"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    make_all()
