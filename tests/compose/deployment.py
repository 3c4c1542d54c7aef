"""docker-compose.yml as a user runs it, under a name and on a port of its own."""

import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.gateways import SECOND, environment, status
from tests.haproxy import free_port

ROOT = Path(__file__).parents[2]
STARTING_TIME = 60 * SECOND
LONGEST_COMMAND = 240 * SECOND
LONGEST_BUILD = 900 * SECOND  # of an image with a browser
POLL = 0.2

# Drains shorter than they are by default, so that the tests are.
SETTINGS = {"HYPHA_DRAIN_TIME": "5s", "STOP_GRACE_PERIOD": "20s"}
# As docs/compose.md says, for server apps in runners.
APPS = {"HYPHA_ENABLE_SERVER_APPS": "true", "HYPHA_APP_RUNNERS": "elsewhere"}


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


def run(command: Sequence[str], environ: Mapping[str, str], patience: float) -> str:
    """Run a command at the root of the repository, and return what it prints."""
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=patience,
        check=False,
    )
    assert not ended.returncode, f"{' '.join(command)}:\n{ended.stdout}{ended.stderr}"
    return ended.stdout


def _succeeds(*command: str) -> bool:
    if not shutil.which(command[0]):
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class RunnerImage:
    """The image of runners, as compose builds it, of an image of gateways."""

    def __init__(self) -> None:
        self._compose = compose_command()
        name = f"hypha-test-runner-{secrets.token_hex(3)}"
        self.image, self._base = f"{name}:latest", f"{name}-base:latest"

    def __enter__(self) -> Self:
        self._run("docker", "build", "-q", "-t", self._base, "-f", "deploy/Dockerfile", ".")
        self._run(*self._compose, "--profile", "apps", "build", "runner")
        return self

    def __exit__(self, *_: object) -> None:
        self._run("docker", "rmi", "--force", self.image, self._base)

    def _run(self, *command: str) -> None:
        environ = {**environment(), "GATEWAY_IMAGE": self._base, "RUNNER_IMAGE": self.image}
        run(command, environ, LONGEST_BUILD)


class Deployment:
    """One project of containers; its volumes go with it. runner_image: of those in its profile."""

    def __init__(self, runner_image: str) -> None:
        self._compose = compose_command()
        port = free_port()
        self.project = f"hypha-test-{secrets.token_hex(3)}"
        self.image = f"{self.project}:latest"
        self.url = f"http://127.0.0.1:{port}"
        self.environ = {
            **environment(),
            **SETTINGS,
            **APPS,
            "RUNNER_IMAGE": runner_image,
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
        ending = ("down", "--volumes", "--remove-orphans", "--timeout", "1")
        self.compose("--profile", "apps", *ending)
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
        return run(command, self.environ, LONGEST_COMMAND)

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "-q", service).split()

    def up_with_runners(self, count: int) -> list[str]:
        """Start runners too, and answer their containers."""
        self.compose("--profile", "apps", "up", "-d", "--scale", f"runner={count}")
        return self.compose("--profile", "apps", "ps", "-q", "runner").split()

    def remove_runners(self) -> None:
        self.compose("--profile", "apps", "rm", "--stop", "--force", "runner")

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
