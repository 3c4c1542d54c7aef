"""Two programs of one client id, of which one hangs for a while: one stays, and is left alone.

Before, each ousted the other hundreds of times a second, until both were spinning for ever.
"""

import asyncio

import pytest

from tests.conformance.python_scene import eventually, refusal_of
from tests.conftest import GatewayFactory
from tests.metrics import metric
from tests.python_client import Connection, Local, PythonClient
from tests.raw_client import RawClient

pytestmark = pytest.mark.clients

# What the client says of each connection that it loses.
BROKEN = "Connection is broken"


@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize("release", ["0.5.44", "0.5.59"])
async def test_a_program_that_was_replaced_while_it_hung_leaves_the_other_one_alone(
    gateway_factory: GatewayFactory, release: str, nodes: int
) -> None:
    gateways = [gateway_factory() for _ in range(nodes)]
    first, last = gateways[0], gateways[-1]
    async with await RawClient.connect(first.url) as host:
        home = {"workspace": host.workspace, "token": await host.manager("generate_token")}
        with PythonClient(release) as hangs, PythonClient(release) as starts:
            old = await hangs.connect(first.url, client_id="worker", **home)
            await old["register_service"]({"id": "mirror", "echo": Local("echo")})

            hangs.freeze()
            new = await starts.connect(last.url, client_id="worker", **home)
            await new["register_service"]({"id": "mirror", "echo": Local("echo")})
            hangs.thaw()

            async def has_heard() -> bool:
                return BROKEN in hangs.log()

            await eventually(has_heard)
            assert "403" in await refusal_of(old["echo"](1))
            refused = metric(first.url, "hypha_refused_admissions_total", reason="Replaced")
            mirror = await host.manager("get_service", "mirror")
            for number in range(20):
                assert await host.call(mirror["echo"]["_rtarget"], "services.mirror.echo", 1) == 1
                await asyncio.sleep(0.05 * bool(number % 5 == 0))
            attached = sum(
                metric(each.url, "hypha_clients_total", event="attached") for each in gateways
            )
            assert attached == 3  # the host, the old one and the new one, each once
            assert refused >= 1
            assert metric(first.url, "hypha_refused_admissions_total", reason="Replaced") <= 5
            assert BROKEN not in starts.log()
            assert hangs.log().count(BROKEN) <= 2


@pytest.mark.parametrize("release", ["0.5.44", "0.5.59"])
async def test_a_worker_that_crashed_comes_again_with_a_token_made_anew(
    gateway_factory: GatewayFactory, release: str
) -> None:
    first, other = gateway_factory(), gateway_factory()
    async with await RawClient.connect(first.url) as host:

        async def start(client: PythonClient, url: str) -> Connection:
            home = {"workspace": host.workspace, "token": await host.manager("generate_token")}
            return await client.connect(url, client_id="worker", **home)

        with PythonClient(release) as crashes:
            worker = await start(crashes, first.url)
            await worker["register_service"]({"id": "mirror", "echo": Local("echo")})
            crashes.kill()
        with PythonClient(release) as comes_again:
            worker = await start(comes_again, other.url)
            await worker["register_service"]({"id": "mirror", "echo": Local("echo")})

            mirror = await host.manager("get_service", "mirror")
            assert await host.call(mirror["echo"]["_rtarget"], "services.mirror.echo", 5) == 5
            assert (await host.manager("list_clients")).count("worker") == 1
