"""docker-compose.yml as a user runs it, under a name and on a port of its own."""

import json
import secrets
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Self

from tests.gateways import SECOND, environment, status
from tests.haproxy import free_port

ROOT = Path(__file__).parents[2]
STARTING_TIME = 60 * SECOND
LONGEST_COMMAND = 240 * SECOND
POLL = 0.2

# Drains shorter than they are by default, so that the tests are.
SETTINGS = {"HYPHA_DRAIN_TIME": "5s", "STOP_GRACE_PERIOD": "20s"}


class Missing(Exception):
    """There is no container engine, or no compose."""


def compose_command() -> list[str]:
    """How to call compose; raise Missing if there is none, or no engine."""
    if not _succeeds("docker", "info"):
        raise Missing("no container engine answers to `docker info`")
    for command in (["docker", "compose"], ["docker-compose"]):
        if _succeeds(*command, "version"):
            return command
    raise Missing("neither `docker compose` nor `docker-compose` is here")


def _succeeds(*command: str) -> bool:
    if not shutil.which(command[0]):
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class Deployment:
    """One project of containers; its volumes go with it."""

    def __init__(self) -> None:
        self._compose = compose_command()
        port = free_port()
        self.project = f"hypha-test-{secrets.token_hex(3)}"
        self.image = f"{self.project}:latest"
        self.url = f"http://127.0.0.1:{port}"
        self._environ = {
            **environment(),
            **SETTINGS,
            "COMPOSE_PROJECT_NAME": self.project,
            "COMPOSE": " ".join(self._compose),
            "GATEWAY_IMAGE": self.image,
            "BALANCER_PORT": f"127.0.0.1:{port}",
        }

    def __enter__(self) -> Self:
        try:
            self.build("first")
            self.up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "1")
        self.docker("rmi", "--force", self.image)

    def build(self, revision: str) -> None:
        self.compose("build", "--build-arg", f"REVISION={revision}", "gateway")

    def up(self, *words: str) -> None:
        self.compose("up", "-d", *words)

    def compose(self, *words: str) -> str:
        return self.run(*self._compose, *words)

    def docker(self, *words: str) -> str:
        return self.run("docker", *words)

    def run(self, *command: str) -> str:
        """Run a command as the user of the deployment does, and return what it prints."""
        ended = subprocess.run(
            command,
            cwd=ROOT,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST_COMMAND,
            check=False,
        )
        assert not ended.returncode, f"{' '.join(command)}:\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "-q", service).split()

    def inspect(self, container: str) -> dict[str, Any]:
        described: list[dict[str, Any]] = json.loads(self.docker("inspect", container))
        return described[0]

    def in_gateway(self, *command: str) -> str:
        """Run a command in the container of a gateway."""
        return self.docker("exec", self.containers("gateway")[0], *command)

    def states(self) -> list[str]:
        """What the cluster says of its gateways, by their number."""
        lines = self.in_gateway("hypha-cluster", "status").splitlines()[1:]
        return [line.split()[-1] for line in lines]

    def await_gateways(self, count: int) -> None:
        """Wait until so many gateways are ready, and none besides, and the balancer has one."""
        deadline = time.monotonic() + STARTING_TIME
        while self._seen() != (["ready"] * count, 200):
            assert time.monotonic() < deadline, f"{self._seen()}\n{self.logs()}"
            time.sleep(POLL)

    def _seen(self) -> tuple[list[str], int]:
        return self.states(), status(f"{self.url}/health/ready")

    def logs(self) -> str:
        return self.compose("logs", "--no-color", "--tail", "40")
