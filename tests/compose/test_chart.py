"""The pods of the chart, with the real image: they start, serve and stop as they are written."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.chart.rendering import NAME
from tests.compose.deployment import Missing
from tests.compose.pods import Pods, address, docker, ended, eventually, state, succeeds
from tests.gateways import status
from tests.raw_client import RawClient
from tests.server_apps import ADDER, ANN, User
from tests.token_rig import tokens_of

# The image of the runners is built in the time of the first test.
pytestmark = [pytest.mark.compose, pytest.mark.timeout(1_200)]

RUNNER = f"{NAME}-runner"


@pytest.fixture(scope="module")
def pods(runner_image: str) -> Iterator[Pods]:
    repository, _, tag = runner_image.partition(":")
    runners = {"enabled": True, "image": {"repository": repository, "tag": tag}}
    try:
        with Pods({"settings": {"drain_time": "2s"}, "runners": runners}) as pods:
            yield pods
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def gateways(pods: Pods) -> list[str]:
    """Start Redis and two gateways, as Kubernetes would: at once, the gateways after their init."""
    redis, spec = pods.spec("StatefulSet"), pods.spec("Deployment", NAME)
    (wait,), (gateway,) = spec["initContainers"], spec["containers"]
    (server,) = redis["containers"]

    waiting = pods.start(spec, wait)
    store = pods.start(redis, server, f"{NAME}-redis")
    probe = server["readinessProbe"]["exec"]["command"]
    eventually(lambda: succeeds(store, *probe), store)
    assert ended(waiting)[0] == 0
    started = [pods.start(spec, gateway, NAME) for _ in range(2)]
    path = gateway["readinessProbe"]["httpGet"]["path"]
    for name in started:
        await_answer(f"{address(name)}{path}", name)
    return started


def await_answer(url: str, name: str) -> None:
    eventually(lambda: status(url) == 200, name)


def test_a_call_goes_through_the_service(pods: Pods, gateways: list[str]) -> None:
    spec = pods.spec("Pod")

    code, said = ended(pods.start(spec, spec["containers"][0]))

    assert (code, said) == (0, f"5 calls through http://{NAME}:9000 were answered\n")


def test_gateways_have_the_names_of_their_pods(gateways: list[str]) -> None:
    listed = docker("exec", gateways[0], "hypha-cluster", "status").splitlines()[1:]

    assert [line.split()[0] for line in listed] == sorted(gateways)


async def test_a_runner_runs_apps_and_stops_in_the_time_that_it_has(
    pods: Pods, gateways: list[str]
) -> None:
    spec = pods.spec("Deployment", RUNNER)
    (container,) = spec["containers"]
    token = tokens_of(pods.secret(NAME, "jwt-secret")).issue(ANN)
    assert ended(pods.start(spec, spec["initContainers"][0]))[0] == 0  # Redis knows who it is
    runner = pods.start(spec, container)

    async with User(await RawClient.connect(address(gateways[0]), token=token)) as ann:
        app = await ann.launch(ADDER)
        assert await ann.ask(app, "add", 2, 3) == 5
        began, time_given = time.monotonic(), spec["terminationGracePeriodSeconds"]
        await asyncio.to_thread(docker, "stop", "--time", str(time_given), runner)

        assert time.monotonic() - began < time_given
        assert state(runner)["ExitCode"] == 0
        assert await ann.states() == {app["id"]: "pending"}
        await ann("uninstall", app["app_id"])


async def test_a_gateway_drains_in_the_time_that_it_has(pods: Pods, gateways: list[str]) -> None:
    spec = pods.spec("Deployment", NAME)
    time_given = spec["terminationGracePeriodSeconds"]
    client = await RawClient.connect(address(gateways[1]))

    began = time.monotonic()
    docker("exec", gateways[1], *spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"])
    docker("stop", "--time", str(time_given), gateways[1])

    assert await client.closed() == 1012
    assert state(gateways[1])["ExitCode"] == 0
    assert time.monotonic() - began < time_given
    await client.close()
