"""Prometheus with the configuration that is shipped, and its promtool.

Of Debian's package only the programs are taken: installed as a package, it would start a service.
`python -m tests.prometheus` fetches them.
"""

import json
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.client_environments import cache, locked
from tests.gateways import POLL, SECOND, STARTING_TIME, status
from tests.haproxy import free_port

DEPLOY = Path(__file__).parents[1] / "deploy"
FOLDER = DEPLOY / "prometheus"
GATEWAYS = "dns_sd_configs"


class Missing(Exception):
    """Prometheus is not here and cannot be fetched."""


class Programs(NamedTuple):
    """Where they are."""

    prometheus: Path
    promtool: Path


def install() -> Programs:
    """Return where the programs are; on a Debian machine, fetch them first."""
    found = [shutil.which(name) for name in Programs._fields]
    if all(found):
        return Programs(*(Path(path) for path in found if path))
    folder = cache() / "prometheus"
    with locked(folder.with_name("prometheus.lock")):
        if not folder.exists() and shutil.which("apt-get"):
            _fetch(folder)
    if not folder.exists():
        raise Missing("prometheus is missing; `apt-get install prometheus` as root installs it")
    return Programs(folder / "usr/bin/prometheus", folder / "usr/bin/promtool")


def _fetch(folder: Path) -> None:
    unfinished = folder.with_name("prometheus.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    # Whoever is not root can do without the first, if the lists of packages are there.
    for command in (["update"], ["download", "prometheus"]):
        subprocess.run(
            ["apt-get", "-qq", *command],
            cwd=unfinished,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    for package in unfinished.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, unfinished], check=True)
        package.unlink()
        unfinished.rename(folder)


def promtool(*arguments: str | Path) -> str:
    """Run promtool; return what it says, and fail when it finds a fault."""
    ended = subprocess.run(
        [install().promtool, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


class Prometheus:
    """A server with the shipped rules, that scrapes these gateways each second."""

    def __init__(self, directory: Path, gateways: Sequence[str]) -> None:
        self._directory = directory
        self._gateways = gateways
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._configure()
        with (self._directory / "prometheus.log").open("ab") as output:
            self._process = subprocess.Popen(
                [
                    install().prometheus,
                    f"--config.file={self._directory / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._directory / 'prometheus'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._await_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an expression is now; a mistake in it is an HTTPError."""
        return self._get("query", query=expression)["result"]  # type: ignore[no-any-return]

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def label_values(self, label: str) -> list[str]:
        return self._get(f"label/{label}/values")  # type: ignore[no-any-return]

    def _get(self, path: str, **query: str) -> Any:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10 * SECOND) as answer:
            return json.load(answer)["data"]

    def _configure(self) -> None:
        """The shipped files, but with other intervals, and addresses in the place of a name."""
        text = (FOLDER / "prometheus.yml").read_text(encoding="utf-8")
        shutil.copy(FOLDER / "alerts.yml", self._directory)
        head, _, _ = text.partition(f"    {GATEWAYS}:")
        targets = json.dumps([url.rpartition("/")[2] for url in self._gateways])
        config = f"{head}    static_configs: [{{targets: {targets}}}]\n".replace("15s", "1s")
        (self._directory / "prometheus.yml").write_text(config, encoding="utf-8")

    def _await_ready(self) -> None:
        deadline = time.monotonic() + STARTING_TIME
        while status(f"{self.url}/-/ready") != 200:
            log = (self._directory / "prometheus.log").read_text(encoding="utf-8")
            assert self._process.poll() is None, log
            assert time.monotonic() < deadline, log
            time.sleep(POLL)


if __name__ == "__main__":
    sys.stdout.write(f"{install().prometheus}\n")
