"""The way of itkwidgets: a blocking program, a page in a static mount, and calls both ways."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.client_environments import environment
from tests.conftest import GatewayFactory
from tests.gateways import SECOND, Gateway

if TYPE_CHECKING:
    from tests.browser import Chromium

pytestmark = [pytest.mark.browser, pytest.mark.clients]
pytest_plugins = ["tests.browser"]

PROGRAM = Path(__file__).with_name("viewer_program.py")
LIMIT = 45 * SECOND
PAGE = """<!doctype html><meta charset=utf-8><title>viewer</title><link rel=icon href=data:,>
<script src="SCRIPT"></script>
<script type=module>
const query = new URLSearchParams(location.search);
const client = window.hyphaWebsocketClient ?? window.hyphaSSEClient;
const server = await client.connectToServer({
  name: "viewer",
  server_url: location.origin,
  client_id: query.get("client"),
  workspace: query.get("workspace"),
  token: query.get("token"),
});
let shown = null;
await server.registerService({
  id: "viewer-of-" + query.get("client"),
  config: { visibility: "protected" },
  getViewer: async () => ({
    setImage: async image => { shown = image; return image._rshape; },
    getImage: async () => shown,
  }),
});
const helper = await server.getService("parser-helper");
const first = await helper.inputObject();
document.title = "shows " + first._rshape.join(" x ");
</script>"""


class Client(NamedTuple):
    """A published client, as a page loads it."""

    release: str
    way: str  # websocket or sse

    @property
    def file(self) -> str:
        return f"dist/hypha-rpc-{self.way}.min.js"

    @property
    def script(self) -> str:
        """That of the hub itself for the newest release; beside the page for older ones."""
        if self.release == "0.5.59":
            return f"/assets/imjoy-rpc@{self.release}/{self.file}"
        return f"{self.release}-{self.way}.js"

    @property
    def name(self) -> str:
        return f"{self.release.replace('.', '-')}-{self.way}"


CLIENTS = [
    *(Client(release, "websocket") for release in ("0.5.9", "0.5.44", "0.5.59")),
    *(Client(release, "sse") for release in ("0.5.44", "0.5.59")),
]


def write_pages(folder: Path, package_of: Callable[[str], Path]) -> None:
    """A page for each client, and the clients that the hub itself need not have."""
    for client in CLIENTS:
        page = PAGE.replace("SCRIPT", client.script)
        (folder / f"{client.name}.html").write_text(page)
        if not client.script.startswith("/"):
            shutil.copy(package_of(client.release) / client.file, folder / client.script)


class Program:
    """The Python side, in a process of its own."""

    def __init__(self, server_url: str) -> None:
        connect = json.dumps({"server_url": server_url})
        self._process = subprocess.Popen(
            [environment("imjoy-rpc-0.5.59").make(), PROGRAM, connect],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    async def hear(self) -> dict[str, Any]:
        """The next thing that it says."""
        async with asyncio.timeout(LIMIT):
            return await asyncio.to_thread(self._hear)

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith("{"):
                said: dict[str, Any] = json.loads(line)
                return said
        raise EOFError("the program has ended")

    async def use(self, viewer: str) -> dict[str, Any]:
        """Have it call the viewer of a page."""
        assert self._process.stdin
        self._process.stdin.write(viewer + "\n")
        self._process.stdin.flush()
        return await self.hear()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def gateways(
    gateway_factory: GatewayFactory, chromium: "Chromium", tmp_path: Path
) -> tuple[Gateway, Gateway]:
    folder = tmp_path / "viewer"
    folder.mkdir()
    write_pages(folder, chromium.package)
    mount = f"/viewer:{folder}"
    return gateway_factory(static_mounts=mount), gateway_factory(static_mounts=mount)


@pytest.fixture
def program(gateways: tuple[Gateway, Gateway]) -> Iterator[Program]:
    program = Program(gateways[0].url)
    yield program
    program.kill()


async def test_a_page_shows_what_a_program_has_and_is_called_by_it(
    gateways: tuple[Gateway, Gateway], program: Program, chromium: "Chromium"
) -> None:
    """With each published client that pages have, by WebSocket and by server-sent events."""
    about = await program.hear()
    for client in CLIENTS:
        page = await chromium.loop.run(chromium.new_page())
        query = f"client={client.name}&workspace={about['workspace']}&token={about['token']}"

        await chromium.loop.run(page.goto(f"{gateways[1].url}/viewer/{client.name}.html?{query}"))
        shows = "document.title == 'shows 1000 x 1200'"
        await chromium.loop.run(page.wait_for_function(shows))
        used = await program.use(f"viewer-of-{client.name}")

        assert (used["shape"], used["same"]) == ([1000, 1200], True), client
        await chromium.loop.run(page.close())
