"""What docker-compose.yml promises, with real containers and published clients.

The tests share one deployment, in this order; each leaves three gateways that are ready.
"""

import asyncio
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import lasting_workspace
from tests.cluster.load import Load, now
from tests.cluster.ordeal import undergo
from tests.compose.deployment import Deployment
from tests.gateways import SECOND
from tests.raw_client import RawClient, Rejected
from tests.server_apps import ADDER, ANN, LIMIT, User
from tests.token_rig import tokens_of

if TYPE_CHECKING:
    from tests.browser import Chromium

# The image of the runners is built in the time of the first test.
pytestmark = [pytest.mark.compose, pytest.mark.timeout(1_200)]
pytest_plugins = ["tests.browser"]

# A page comes back when it refreshes its connection info, 10 s after it connected.
SLOWEST_RETURN = 15 * SECOND


@pytest.fixture(scope="module")
def deployment(runner_image: str) -> Iterator[Deployment]:
    with Deployment(runner_image) as deployment:
        yield deployment


def test_up_is_all_it_takes(deployment: Deployment) -> None:
    deployment.await_gateways(3)

    assert len(deployment.containers("gateway")) == 3


def test_a_gateway_can_do_no_more_than_it_must(deployment: Deployment) -> None:
    script = """
        id -u
        touch /here /tmp/here /opt/hypha-cluster/here 2>/dev/null && echo writes
        for tool in cc gcc make; do command -v $tool; done
        grep ^CapEff /proc/1/status
        grep ^NoNewPrivs /proc/1/status
        tr '\\0' ' ' </proc/1/cmdline
    """

    said = deployment.in_gateway("sh", "-c", script).split("\n")

    assert said[:3] == ["10001", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"], said
    assert "hypha-cluster serve --host 0.0.0.0 --port 9000" in said[3]


def test_redis_asks_for_the_password_and_keeps_what_it_is_told(deployment: Deployment) -> None:
    (redis,) = deployment.containers("redis")
    script = 'redis-cli ping; REDISCLI_AUTH=$(cat /run/hypha/redis_password) redis-cli "$@"'
    asked = ("appendonly", "maxmemory-policy", "client-output-buffer-limit")

    said = [
        deployment.docker("exec", redis, "sh", "-c", script, "-", *("config", "get", name))
        for name in asked
    ]

    assert all(answer.startswith("NOAUTH") for answer in said)
    assert [answer.splitlines()[-1] for answer in said[:2]] == ["yes", "noeviction"]
    assert "pubsub 268435456 67108864 60" in said[2]


async def test_an_app_runs_in_a_runner_and_in_another_one_when_that_is_killed(
    deployment: Deployment,
) -> None:
    secret = deployment.in_gateway("cat", "/run/hypha/jwt_secret").strip()
    token = tokens_of(secret).issue(ANN)
    runners = await asyncio.to_thread(deployment.up_with_runners, 2)

    async with User(await RawClient.connect(deployment.url, token=token)) as ann:
        app = await ann.launch(ADDER)
        assert await ann.ask(app, "add", 2, 3) == 5
        (killed,) = (each for each in runners if _runs(deployment, each, app["id"]))
        await asyncio.to_thread(deployment.docker, "kill", killed)
        async with asyncio.timeout(2 * LIMIT):
            while not await _adds(ann, app):  # noqa: ASYNC110
                await asyncio.sleep(0.2)

        (other,) = (each for each in runners if each != killed)
        assert _runs(deployment, other, app["id"])
        assert await ann.states() == {app["id"]: "running"}
        await ann("uninstall", app["app_id"])
    said = deployment.docker("exec", other, "sh", "-c", "id -u; ls /run/hypha; ls /data")
    assert said.split() == ["10001", "redis_url"]
    await asyncio.to_thread(deployment.remove_runners)
    deployment.await_gateways(3)


def _runs(deployment: Deployment, runner: str, client: str) -> bool:
    """Whether a runner has said that it runs an instance."""
    command = ["docker", "logs", runner]
    ended = subprocess.run(command, env=deployment.environ, capture_output=True, check=True)
    return f"ann/{client} runs the app".encode() in ended.stdout + ended.stderr


async def _adds(ann: User, app: dict[str, Any]) -> bool:
    """Whether an app answers; each call of it is answered or refused in time."""
    async with asyncio.timeout(LIMIT):
        try:
            return bool(await ann.ask(app, "add", 2, 3) == 5)
        except Rejected:
            return False


async def test_more_gateways_fewer_gateways_and_a_new_image_fail_no_call(
    deployment: Deployment, chromium: "Chromium", tmp_path: Path
) -> None:
    load = Load(deployment.url, tmp_path, chromium)
    async with load:
        await load.run(2)
        await asyncio.to_thread(deployment.up, "--scale", "gateway=5")
        await asyncio.to_thread(deployment.await_gateways, 5)
        await load.run(2)
        await asyncio.to_thread(deployment.up, "--scale", "gateway=3")
        await asyncio.to_thread(deployment.await_gateways, 3)
        before = deployment.containers("gateway")
        await asyncio.to_thread(deployment.build, "second")
        await asyncio.to_thread(deployment.run, "deploy/replace-gateways.sh")
        await load.run(2)
        at_the_end = now()
        await load.run(2)

    after = deployment.containers("gateway")
    assert len(after) == 3
    assert not set(before) & set(after)
    assert {_revision(deployment, container) for container in after} == {"second"}
    load.history.check()
    assert not load.history.failures(), load.history.errors()
    assert not load.lost(since=at_the_end)
    deployment.await_gateways(3)


def _revision(deployment: Deployment, container: str) -> str:
    labels: dict[str, str] = deployment.inspect(container)["Config"]["Labels"]
    return labels["org.opencontainers.image.revision"]


@pytest.mark.parametrize("service", ["gateway", "redis"])
async def test_after_a_kill_all_are_back_by_themselves(
    service: str, deployment: Deployment, chromium: "Chromium", tmp_path: Path
) -> None:
    async def kill_and_start() -> float:
        container = deployment.containers(service)[0]
        await asyncio.to_thread(deployment.docker, "kill", container)
        killed = now()
        await asyncio.sleep(2)
        await asyncio.to_thread(deployment.docker, "start", container)
        return killed

    load = Load(deployment.url, tmp_path, chromium)
    ordeal = await undergo(load, kill_and_start, SLOWEST_RETURN)

    ordeal.check(SLOWEST_RETURN, broken=service == "gateway")
    deployment.await_gateways(3)


async def test_what_is_meant_to_last_is_there_after_down_and_up(deployment: Deployment) -> None:
    secret = deployment.in_gateway("cat", "/run/hypha/jwt_secret").strip()
    await lasting_workspace.make(deployment.url, secret)

    deployment.compose("down")
    assert not deployment.containers("gateway")
    deployment.up()
    deployment.await_gateways(3)

    lasting_workspace.check(deployment.url, secret)


def test_gateways_have_had_nothing_unforeseen(deployment: Deployment) -> None:
    log = deployment.compose("logs", "--no-color", "gateway")

    assert not re.findall(r".*Traceback.*", log), log
