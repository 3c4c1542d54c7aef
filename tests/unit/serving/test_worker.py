"""One worker process and what goes between it and its parent."""

import json
import socket
import subprocess
from collections.abc import Iterator

import pytest

from hypha_cluster.config import Config
from hypha_cluster.hub_settings import HubSettings
from hypha_cluster.serving.workers import COMMAND
from tests.gateways import SECOND, environment


@pytest.fixture
def worker() -> Iterator["subprocess.Popen[str]"]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = subprocess.Popen(
            [*COMMAND, str(listener.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(listener.fileno(),),
            env=environment(),
            text=True,
        )
    yield process
    process.kill()
    process.communicate()


def test_why_a_worker_cannot_start_is_one_line(worker: "subprocess.Popen[str]") -> None:
    config = Config(redis_url="redis://127.0.0.1:1", relay_timeout=0.1)
    assert worker.stdin
    assert worker.stdout
    orders = {"settings": HubSettings(config, ()).to_wire(), "is_held": False}
    worker.stdin.write(json.dumps(orders) + "\n")
    worker.stdin.flush()

    said = worker.stdout.read()

    assert "127.0.0.1:1" in json.loads(said)
    assert said.count("\n") == 1
    assert worker.wait(20 * SECOND) == 2


def test_a_worker_whose_parent_is_gone_ends(worker: "subprocess.Popen[str]") -> None:
    _, errors = worker.communicate(timeout=20 * SECOND)

    assert worker.returncode
    assert "Traceback" not in errors
