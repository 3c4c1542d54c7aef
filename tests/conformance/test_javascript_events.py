"""A page hears what others emit, and emits itself where the release can."""

import pytest

from tests.browser_client import BrowserClient, Connection
from tests.conformance.python_scene import Connect
from tests.gateways import Hub
from tests.python_client import NEWEST

pytestmark = [pytest.mark.browser, pytest.mark.clients]
pytest_plugins = ["tests.browser"]

LISTEN = """
    window.heard = new Promise(done => server.rpc.on("news", done));
"""


async def test_a_page_hears_a_script(hub: Hub, javascript: BrowserClient, connect: Connect) -> None:
    page = await javascript.connect(hub.first)
    script = await connect(NEWEST, hub.second, workspace=page.workspace, token=await page.token())
    await page.run(LISTEN)

    await script["emit"]({"type": "news", "to": page.address, "text": "Rain at noon"})

    news = await page.run("return await heard")
    assert news["text"] == "Rain at noon"
    assert news["from"] == await script.address()
    assert news["user"]["parent"] == page.workspace


@pytest.mark.parametrize("release", ["0.5.59"])
async def test_a_page_hears_a_page(provider: Connection, caller: Connection) -> None:
    # Only this release can emit, and only so: its `server.emit` fails in itself.
    await provider.run(LISTEN)

    await caller.run(
        """
        await server.rpc.emit({
          type: "news", to, text: "Rain at noon", from: "nobody", user: { id: "root" },
        });
        """,
        to=provider.address,
    )

    news = await provider.run("return await heard")
    assert news["text"] == "Rain at noon"
    assert news["from"] == caller.address
    assert news["user"]["id"] != "root"
