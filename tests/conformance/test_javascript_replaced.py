"""A page that hung while another program took its client id does not take it back."""

import pytest

from tests.browser_client import BrowserClient
from tests.conformance.python_scene import eventually
from tests.conftest import GatewayFactory
from tests.metrics import metric
from tests.raw_client import RawClient

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.browser"]


async def was_refused(url: str) -> bool:
    return metric(url, "hypha_refused_admissions_total", reason="Replaced") >= 1


async def test_a_page_that_was_replaced_while_it_hung_leaves_the_other_one_alone(
    gateway_factory: GatewayFactory, own_page: BrowserClient
) -> None:
    gateway = gateway_factory()
    async with await RawClient.connect(gateway.url) as host:
        home = {"workspace": host.workspace, "token": await host.manager("generate_token")}
        page = await own_page.connect(gateway.url, client_id="worker", **home)
        await page.run(
            """
            window.hung = new Promise(done => setTimeout(() => {
              const end = Date.now() + 7000;
              while (Date.now() < end);
              done();
            }, 0));
            """
        )

        async with await RawClient.connect(gateway.url, "worker", **home) as program:
            await page.run("await hung")
            await page.run("server.echo(1).catch(() => {})")  # which has it connect again

            await eventually(lambda: was_refused(gateway.url))
            assert await program.manager("echo", 5) == 5
            assert metric(gateway.url, "hypha_clients_total", event="ousted") == 1
