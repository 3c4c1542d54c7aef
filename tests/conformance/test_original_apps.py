"""What the original's own tests of server apps do, by published clients on three gateways.

Everybody asks another gateway than the one before, and either of two runners may have the page.
"""

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pytest
from redis.asyncio import Redis

from hypha_cluster.registry.keys import Keys
from tests.conformance.python_scene import Connect, eventually
from tests.gateways import SECOND, Gateway
from tests.python_client import NEWEST, OLDEST, Connection, RemoteError
from tests.server_apps import ANN, LIMIT, Runner, User, app_cluster
from tests.token_rig import token_of

if TYPE_CHECKING:  # a plugin, which pytest imports itself
    from tests.browser import Chromium
    from tests.browser_client import BrowserClient

pytest_plugins = ["tests.browser"]
pytestmark = [pytest.mark.browser, pytest.mark.clients]

JAVASCRIPT = "JavaScript 0.5.59"
APP = """
api.log("connected");
api.export({
  async setup() {
    console.log("this is a log");
    console.error("this is an error");
    await api.log("initialized");
  },
  async check_webgpu() { return "gpu" in navigator; },
  async execute(a, b) { console.log("executing", a, b); return a + b; },
});
"""
WINDOW = """<docs lang="markdown">A window.</docs>
<config lang="json">
{"name": "Window Plugin", "type": "window", "tags": [], "ui": "", "version": "0.1.0",
 "api_version": "0.1.7", "description": "", "icon": "extension", "inputs": null, "outputs": null,
 "env": {}, "requirements": [], "dependencies": [], "defaults": {"w": 7, "h": 7}}
</config>
<script lang="javascript">
class App {
  async setup() {}
  async add2(number) { return number + 2; }
}
api.export(new App());
</script>
<window lang="html"><div><p>Hello</p></div></window>
<style lang="css"></style>
"""
WORKER = """<config lang="json">
{"name": "Worker Plugin", "type": "web-worker", "version": "0.1.0", "env": {}, "cover": "",
 "requirements": [], "dependencies": [], "services": ["echo"]}
</config>
<script lang="javascript">
class App {
  async setup() {
    await api.log("initialized");
    await api.registerService({
      id: "echo", name: "echo", type: "echo", config: { visibility: "public" },
      echo(data) { return data; },
    }, true);
  }
  async add2(number) { return number + 2; }
}
api.export(new App());
</script>
"""
UNRELIABLE = """<config lang="json">
{"name": "Unreliable Plugin", "type": "window",
 "readiness_probe": {"exec": "isReady", "period_seconds": 0.3},
 "liveness_probe": {"exec": "isAlive", "period_seconds": 0.3}}
</config>
<script lang="javascript">
let asked = 0, alive = 0;
class App {
  async setup() {}
  async isReady() { return ++asked > 1; }
  async isAlive() { return ++alive < 2; }
}
api.export(new App());
</script>
"""


class Site(NamedTuple):
    """Three gateways and two runners, of which each has another gateway for its pages."""

    gateways: list[Gateway]
    runners: list[Runner]
    keys: Keys


class Caller(Protocol):
    """A published client that is connected as ann."""

    async def apps(self, function: str, *args: Any) -> Any:
        """Call a function of `server-apps`."""

    async def ask(self, query: Any, function: str, *args: Any) -> Any:
        """Get a service, and call a function of it."""

    async def leave(self) -> None: ...


class Python(NamedTuple):
    """A client in Python."""

    connection: Connection

    async def apps(self, function: str, *args: Any) -> Any:
        return await (await self.connection["get_service"]("server-apps"))[function](*args)

    async def ask(self, query: Any, function: str, *args: Any) -> Any:
        return await (await self.connection["get_service"](query))[function](*args)

    async def leave(self) -> None:
        await self.connection["disconnect"]()


class JavaScript(NamedTuple):
    """A client in a page."""

    connection: Any

    async def apps(self, function: str, *args: Any) -> Any:
        return await self.ask("server-apps", function, *args)

    async def ask(self, query: Any, function: str, *args: Any) -> Any:
        # 0.5.59 sends nothing when an argument is null; see test_javascript_nothing.
        body = """
          const service = await server.getService(query);
          return await service[name](...args.map((each) => each ?? undefined));
        """
        return await self.connection.run(body, 60, query=query, name=function, args=list(args))

    async def leave(self) -> None:
        await self.connection.disconnect()


class Enter(Protocol):
    async def __call__(self, workspace: str = "ann") -> Caller: ...


@pytest.fixture(scope="module")
def site(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    prefix = f"original-{secrets.token_hex(4)}"
    with app_cluster(tmp_path_factory.mktemp("original"), valkey_url, prefix) as cluster:
        gateways = [cluster.gateway() for _ in range(3)]
        runners = [cluster.runner(gateway.url, slots=4) for gateway in gateways[:2]]
        yield Site(gateways, runners, Keys(prefix))


@pytest.fixture(params=[OLDEST, NEWEST, JAVASCRIPT])
async def enter(
    request: pytest.FixtureRequest, site: Site, connect: Connect, chromium: "Chromium"
) -> AsyncIterator[Enter]:
    """Connect, each time to the next gateway."""
    urls = itertools.cycle([gateway.url for gateway in site.gateways])
    pages: list[BrowserClient] = []

    async def enter(workspace: str = "ann") -> Caller:
        terms = {"token": token_of(ANN), "workspace": workspace}
        if request.param == JAVASCRIPT:
            pages.append(await chromium.open("0.5.59"))
            return JavaScript(await pages[-1].connect(next(urls), **terms))
        return Python(await connect(request.param, next(urls), **terms))

    yield enter
    async with await User.connect(site.gateways[0].url) as ann:
        await ann("stop_all")
    await asyncio.gather(*(page.close() for page in pages))


async def test_who_is_nobody_runs_nothing(site: Site, connect: Connect) -> None:
    for release in (OLDEST, NEWEST):
        nobody = Python(await connect(release, site.gateways[1].url))

        with pytest.raises(RemoteError, match="User must be authenticated"):
            await nobody.apps("launch", APP, 60, {"type": "window"}, None, "default")


async def test_apps_run_are_used_and_stopped(enter: Enter) -> None:
    first, second, third = await enter(), await enter(), await enter()

    config = {"type": "window", "name": "an app"}
    app = await first.apps("launch", APP, 60, config, None, "default")
    plugin = await second.apps("launch", WINDOW)
    worker = await third.apps("launch", WORKER, 60, None, None, "default")

    mine = f"ann/{app['id']}:default"
    assert "app_id" in app
    assert await second.ask(mine, "execute", 2, 4) == 6
    assert await third.ask(mine, "check_webgpu") is True
    logs = await third.apps("get_log", app["id"])
    assert logs["log"]
    assert logs["error"][0] == "this is an error"
    assert await first.apps("get_log", app["id"], "log", 0, 1) == logs["log"][:1]
    for launched, name in ((plugin, "Window Plugin"), (worker, "Worker Plugin")):
        assert launched["name"] == name
        assert await first.ask(f"ann/{launched['id']}:default", "add2", 4) == 6
    running = {each["id"] for each in await third.apps("list_running")}
    assert running == {app["id"], plugin["id"], worker["id"]}
    await asyncio.gather(
        first.apps("stop", app["id"]),
        second.apps("stop", plugin["id"]),
        third.apps("stop", worker["id"]),
    )
    assert await first.apps("list_running") == []


async def test_apps_and_services_start_when_they_are_asked_for(site: Site, enter: Enter) -> None:
    first, second = await enter(), await enter()
    app = await first.apps("install", WORKER)
    assert app["id"] in {each["id"] for each in await second.apps("list_apps")}

    echo, adder = {"id": "echo", "launch": True}, {"client_name": app["name"], "launch": True}

    assert await second.ask(echo, "echo", "hello") == "hello"
    long = "h" * 10_000_000
    assert await first.ask(echo, "echo", long) == long
    assert await first.ask(adder, "add2", 4) == 6
    assert len(await second.apps("list_running")) == 1
    await second.apps("uninstall", app["id"])
    assert app["id"] not in {each["id"] for each in await first.apps("list_apps")}
    assert await first.apps("list_running") == []
    async with await User.connect(site.gateways[2].url) as ann:  # its page is closed by now
        assert await ann.client.manager("get_service", {"id": "echo"}) is None


async def test_one_that_does_not_feel_well_comes_back(enter: Enter) -> None:
    first, second = await enter(), await enter()
    app = await first.apps("launch", UNRELIABLE)

    async def has_come_back() -> bool:
        steps = await second.apps("history", app["id"])
        return any(step["to"] == "running" and step["epoch"] == 2 for step in steps)

    assert app["name"] == "Unreliable Plugin"
    await eventually(has_come_back, LIMIT / SECOND)
    assert await second.ask(f"ann/{app['id']}:default", "isReady") in (True, False)
    steps = await first.apps("history", app["id"])
    reasons = {step["reason"] for step in steps if step["to"] == "backoff"}
    assert reasons == {"Its liveness probe has failed 3 times."}


async def test_what_runs_in_a_passing_workspace_goes_with_who_came(
    site: Site, enter: Enter, redis: Redis
) -> None:
    name = f"passing-{secrets.token_hex(4)}"
    new = {"name": name, "owners": ["ann"], "visibility": "protected", "persistent": False}
    async with await User.connect(site.gateways[0].url) as ann:
        await ann.client.manager("create_workspace", new)
    visitor = await enter(name)
    app = await visitor.apps("launch", WORKER)
    assert await visitor.ask(f"{name}/{app['id']}:default", "add2", 4) == 6
    assert await redis.exists(site.keys.workspace(name))

    await visitor.leave()

    async def is_gone() -> bool:
        return not await redis.exists(site.keys.workspace(name))

    await eventually(is_gone, LIMIT / SECOND)
    assert await redis.hget(site.keys.instance(f"{name}/{app['id']}"), "state") == b"stopped"
