"""The configurations of balancers that are shipped, each in front of a cluster."""

import asyncio
import re
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from hypha_cluster.settings import MIB
from tests.cluster.cluster import Cluster, until
from tests.cluster.conftest import StartCluster
from tests.cluster.load import Load, now
from tests.cluster.report import Report
from tests.conftest import GatewayFactory
from tests.gateways import SECOND, status
from tests.haproxy import CONFIGURATION, Balancer, HAProxy
from tests.http import ask
from tests.nginx import Nginx
from tests.raw_client import RawClient
from tests.sse_client import EventSource, SseClient
from tests.traefik import Traefik

pytestmark = pytest.mark.cluster

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"

PATIENCE = 10  # seconds that Python clients wait for an upgrade


class OneMachine(HAProxy):
    """HAProxy with a line for each gateway, as docs/operations.md has them for one machine."""

    def __init__(self, directory: Path, ports: Sequence[int]) -> None:
        super().__init__(directory, [], 0)
        page = OPERATIONS.read_text(encoding="utf-8")
        lines = re.findall(r"^    server gateway-\d 127\.0\.0\.1:\d+$", page, re.MULTILINE)
        assert len(lines) == len(ports)
        servers = [
            f"{line.rpartition(':')[0]}:{port}" for line, port in zip(lines, ports, strict=True)
        ]
        shipped = CONFIGURATION.read_text(encoding="utf-8")
        found = re.sub("^    server-template .*$", "\n".join(servers), shipped, flags=re.MULTILINE)
        self._file = directory / "haproxy.cfg"
        self._file.write_text(found, encoding="utf-8")

    def _command(self) -> Sequence[str | Path]:
        return [self.program(), "-db", "-f", self._file]

    def _environment(self) -> dict[str, str]:
        return {"BALANCER_BIND": self.url.removeprefix("http://")}


def _name(balancer: type[Balancer]) -> str:
    return balancer.name


@pytest.fixture(params=[HAProxy, Nginx, Traefik], ids=_name)
def cluster(request: pytest.FixtureRequest, start_cluster: StartCluster) -> Cluster:
    return start_cluster(balancer=request.param)


# nginx can do nothing of the kind; see deploy/nginx.conf.
without_nginx = pytest.mark.parametrize("cluster", [HAProxy, Traefik], ids=_name, indirect=True)


@without_nginx
async def test_an_upgrade_waits_while_no_gateway_is_ready(cluster: Cluster, report: Report) -> None:
    """Two gateways are killed, and the third one is frozen (SIGSTOP). When the balancer has
    noticed, a client connects; a second later the third gateway continues.
    """
    # Frozen, not killed: so it is there again at once, however slow the machine.
    last, *others = cluster.gateways
    for gateway in others:
        gateway.kill()
    with last.frozen():
        await until(lambda: _nobody_answers(cluster), "the balancer has found out")
        started = time.monotonic()
        connecting = asyncio.create_task(RawClient.connect(cluster.url))
        await asyncio.sleep(1)

    async with await connecting:
        waited = time.monotonic() - started
        what = f"no gateway is ready for a moment, behind {cluster.balancer.name}"
        report.note(what, seconds_that_an_upgrade_waited=waited)
        assert waited < PATIENCE * SECOND


async def _nobody_answers(cluster: Cluster) -> bool:
    return await asyncio.to_thread(status, f"{cluster.url}/health/ready") != 200


async def test_upgrades_go_past_a_gateway_that_was_killed(cluster: Cluster) -> None:
    cluster.gateways[1].kill()

    clients = await asyncio.gather(*(RawClient.connect(cluster.url) for _ in range(30)))

    answers = await asyncio.gather(*(each.manager("echo", n) for n, each in enumerate(clients)))
    assert answers == [*range(30)]
    await asyncio.gather(*(client.close() for client in clients))


@without_nginx
async def test_upgrades_go_past_a_gateway_that_is_frozen(cluster: Cluster) -> None:
    with cluster.gateways[1].frozen():
        started = time.monotonic()
        clients = await asyncio.gather(*(RawClient.connect(cluster.url) for _ in range(30)))
        assert time.monotonic() - started < PATIENCE * SECOND
    await asyncio.gather(*(client.close() for client in clients))


async def test_new_clients_are_spread(cluster: Cluster) -> None:
    clients = [await RawClient.connect(cluster.url) for _ in range(30)]

    shares = [0] * len(cluster.gateways)
    for client in clients:
        shares[cluster.gateways.index(cluster.gateway_of(client.address))] += 1
    assert min(shares) >= 4, shares
    await asyncio.gather(*(client.close() for client in clients))


async def test_nobody_can_say_where_a_request_came_from(cluster: Cluster) -> None:
    """The hub tells clients its own URL, which it has from these headers."""
    forged = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    url = f"{cluster.url.replace('http', 'ws', 1)}/ws?client_id=honest"
    async with RawClient(await connect(url, additional_headers=forged), "honest") as client:
        info = await client.manager("get_connection_info")
        assert info["public_base_url"] == cluster.url


async def test_a_stream_of_events_is_not_held_back(cluster: Cluster) -> None:
    """Nor need a balancer keep a client at one gateway."""
    async with await SseClient.connect(cluster.url) as client:
        for number in range(12):
            assert await client.manager("echo", number) == number

        source = await EventSource.open(cluster.url, {"client_id": "me", "session_id": "12345678"})
        assert source.headers["content-type"] == "text/event-stream"
        source.close()


@pytest.mark.parametrize("killed", [0, 1])
def test_gateways_of_one_machine_are_named_one_by_one(
    gateway_factory: GatewayFactory, tmp_path: Path, killed: int
) -> None:
    """With the lines of docs/operations.md."""
    gateways = [gateway_factory(), gateway_factory()]
    ports = [int(gateway.url.rpartition(":")[2]) for gateway in gateways]

    with OneMachine(tmp_path, ports) as balancer:
        balancer.await_ready()
        gateways[killed].kill()
        balancer.await_ready()


def test_requests_by_http_reach_the_hub(cluster: Cluster) -> None:
    with urllib.request.urlopen(f"{cluster.url}/health/live", timeout=5 * SECOND) as response:
        assert response.status == 200
    assert status(f"{cluster.url}/nobody/services") == 404


async def test_a_large_body_reaches_the_hub(cluster: Cluster) -> None:
    async with await RawClient.connect(cluster.url) as client:
        await client.offer("mirror", "public", echo=lambda kwargs: kwargs)
        url = f"{cluster.url}/{client.workspace}/services/mirror/echo"

        answer = await ask(url, b"x" * (20 * MIB), Content_Type="application/json")

    assert answer.status == 400
    assert "not valid application/json" in answer.body.decode()


# Failed calls among all, in a rolling restart. nginx sends clients to gateways that drain. HAProxy
# has a test of its own, test_restarts.py.
TOLERATED = {Nginx: 0.01, Traefik: 0.0}


@pytest.mark.clients
@pytest.mark.timeout(300)
@pytest.mark.parametrize("balancer", TOLERATED, ids=_name)
async def test_a_rolling_restart_loses_nobody_and_hardly_a_call(
    balancer: type[Balancer], start_cluster: StartCluster, tmp_path: Path, report: Report
) -> None:
    """Under load without a page, and behind the balancer that is named, each gateway in turn is
    stopped by SIGTERM and started again.
    """
    cluster = start_cluster(balancer)
    load = Load(cluster.url, tmp_path)

    async with load:
        for gateway in cluster.gateways:
            await load.run(1)
            await cluster.replace(gateway)
        at_the_end = now()
        await load.run(2)

    history = load.history
    failed, calls = len(history.failures()), len(history.begun)
    report.note(f"rolling restart behind {balancer.name}", calls=calls, calls_failed=failed)
    history.check()
    assert failed <= TOLERATED[balancer] * calls, history.errors()
    assert not load.lost(since=at_the_end)
