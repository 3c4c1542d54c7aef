"""A client comes back elsewhere while its old connection looks open, or its gateway sleeps."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cluster.cluster import Cluster, Line, until
from tests.cluster.load import Load, now
from tests.cluster.ordeal import undergo
from tests.cluster.report import Report
from tests.gateways import SECOND
from tests.haproxy import HAProxy
from tests.raw_client import RawClient, call_envelope

if TYPE_CHECKING:
    from tests.browser import Chromium

pytestmark = [pytest.mark.cluster, pytest.mark.clients, pytest.mark.browser]
pytest_plugins = ["tests.browser"]

ASLEEP = 10  # seconds
SILENCE = 6  # seconds, after which a connection that nothing comes from would be given up
MANY = 2000  # calls, which need more room than the buffers of a connection have
BACK = 15 * SECOND


@pytest.fixture
def pair(cluster: Cluster) -> tuple[str, str]:
    return cluster.gateways[0].url, cluster.gateways[1].url


async def test_a_client_with_its_token_takes_its_place_from_a_half_open_connection(
    cluster: Cluster, pair: tuple[str, str], report: Report
) -> None:
    """The network of a client goes dead, and nobody is told. The client connects to another gateway
    with its reconnection token, while it still looks connected to the first one.
    """
    first, second = pair
    async with Line(first) as line, await RawClient.connect(second) as caller:
        old = await RawClient.connect(line.url)
        service = await old.offer("mirror", "public", echo=lambda value: value)
        token = old.info["reconnection_token"]
        with line.dead():
            started = time.monotonic()
            query = {"workspace": old.workspace, "reconnection_token": token}
            new = await RawClient.connect(second, old.client_id, **query)
            took = time.monotonic() - started
            new.functions = old.functions
            assert await caller.call(new.address, "services.mirror.echo", "here?") == "here?"
        report.note("a client returns while it looks connected", seconds_to_return=took)

        # The old connection is told to go, and its end cleans up nothing.
        assert await old.closed() is not None
        assert cluster.state_of(new.address) == "online"
        listed = await caller.manager("list_services", "public")
        assert service in {listed["id"] for listed in listed}
        await new.close()


async def test_a_client_without_a_token_takes_its_place_from_a_half_open_connection(
    pair: tuple[str, str], report: Report
) -> None:
    """The same as above, by a client that has no reconnection token but only the token that it
    first came with, as clients in Pyodide do. The hub first asks by the old connection whether
    anybody is there.
    """
    first, second = pair
    async with Line(first) as line, await RawClient.connect(second) as owner:
        query = {"workspace": owner.workspace, "token": await owner.manager("generate_token")}
        old = await RawClient.connect(line.url, "pyodide", **query)
        with line.dead():
            started = time.monotonic()
            async with await RawClient.connect(second, "pyodide", **query):
                took = time.monotonic() - started
                assert took < 5 * SECOND, "old Python clients wait no longer for an upgrade"
                report.note(
                    "a client without a reconnection token returns while it looks connected",
                    seconds_to_return=took,
                )
        await old.closed()


async def test_frames_wait_for_who_is_between_two_connections(cluster: Cluster) -> None:
    first, second, third = (gateway.url for gateway in cluster.gateways)
    async with await RawClient.connect(second) as caller:
        old = await RawClient.connect(first)
        old.break_off()
        await old.closed()

        async def is_noticed() -> bool:
            return cluster.state_of(old.address) == "suspended"

        await until(is_noticed, "the hub has noticed")
        calls = [
            asyncio.create_task(caller.call(old.address, "services.built-in.ping", number))
            for number in range(20)
        ]
        query = {"workspace": old.workspace, "reconnection_token": old.info["reconnection_token"]}
        async with await RawClient.connect(third, old.client_id, **query) as new:
            assert await asyncio.gather(*calls) == ["pong"] * 20
            pings = [frame.args[0] for frame in new.received if frame.method.endswith(".ping")]
            assert pings == list(range(20))


async def test_a_gateway_that_sleeps_delivers_what_came_meanwhile(cluster: Cluster) -> None:
    sleeper, other = cluster.gateways[:2]
    async with (
        await RawClient.connect(sleeper.url) as provider,
        await RawClient.connect(other.url) as caller,
    ):
        await provider.offer("mirror", "public", echo=lambda number, _: number)
        envelope = call_envelope(provider.address, "services.mirror.echo")
        bodies = [{"args": [number, b"x" * 2000]} for number in range(MANY)]
        with sleeper.frozen():
            calls = [
                asyncio.create_task(caller.place(envelope, body, limit=30 * SECOND))
                for body in bodies
            ]
            await asyncio.sleep(SILENCE)

        assert await asyncio.gather(*calls) == list(range(MANY))


@pytest.mark.chaos
@pytest.mark.timeout(300)
async def test_a_gateway_sleeps_and_wakes_up(
    cluster: Cluster, chromium: "Chromium", tmp_path: Path, report: Report
) -> None:
    """Under load, the kernel stops a gateway for 10 s; then it continues."""
    sleeper = cluster.gateways[0]

    async def sleep_and_wake_up() -> float:
        froze = now()
        with sleeper.frozen():
            await asyncio.sleep(ASLEEP)

        async def is_ready() -> bool:
            return sleeper.is_ready

        await until(is_ready, "the gateway is ready again")
        return froze

    ordeal = await undergo(Load(cluster.url, tmp_path, chromium), sleep_and_wake_up, BACK)

    report.note(f"a gateway frozen for {ASLEEP} s (SIGSTOP)", **ordeal.figures())
    ordeal.check(ASLEEP + BACK, broken=True)


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "ip", "iptables"))),
    reason="only root can make a network, with unshare, iproute2 and iptables",
)
def test_packets_are_lost(tmp_path: Path, report: Report) -> None:
    """All packets between a client and its gateway are dropped from one moment on, in a network of
    their own. Neither side is told.
    """
    HAProxy.program()  # while there is a network to install it from
    script = [sys.executable, "-m", "tests.cluster.lost_packets", str(tmp_path)]
    command = ["unshare", "--net", *script]
    with (tmp_path / "errors").open("w+b") as errors:
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, check=False)
        errors.seek(0)
        assert ended.returncode == 0, errors.read().decode()
    times = json.loads(ended.stdout)
    report.note(
        "all packets of a connection are lost",
        seconds_until_the_hub_noticed=times["noticed"],
        seconds_until_the_client_was_back=times["returned"],
    )
