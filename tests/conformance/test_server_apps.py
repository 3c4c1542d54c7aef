"""Server apps in a real browser: what they do, what they may, and what is said when they fail."""

import asyncio
import hashlib
import io
import json
import secrets
import sys
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from hypha_cluster.web.assets.catalogue import PACKAGES, find, is_complete
from hypha_cluster.web.assets.fetching import FetchFailed, fetch
from tests.conformance.python_scene import Connect
from tests.gateways import Gateway, command
from tests.http import ask
from tests.python_client import NEWEST, OLDEST
from tests.raw_client import RawClient, Rejected
from tests.server_apps import ADDER, ANN, LIMIT, Runner, User, app_cluster
from tests.token_rig import token_of
from tests.unit.features.launcher.running.test_egress import a_server

if TYPE_CHECKING:  # a plugin, which pytest imports itself
    from tests.browser import Chromium

pytest_plugins = ["tests.browser"]
pytestmark = pytest.mark.browser


class Place(NamedTuple):
    """Two gateways, and a runner whose pages reach the first."""

    first: Gateway
    second: Gateway
    runner: Runner
    redis_url: str
    prefix: str


@pytest.fixture(scope="module")
def place(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    prefix = f"apps-{secrets.token_hex(4)}"
    with app_cluster(tmp_path_factory.mktemp("apps"), valkey_url, prefix) as cluster:
        # Pages of others may not connect to the first, those of apps may all the same.
        first = cluster.gateway(log_level="debug", allow_origins="https://page.example")
        second = cluster.gateway(log_level="debug")
        yield Place(first, second, cluster.runner(first.url), valkey_url, prefix)


@pytest.fixture
async def ann(place: Place) -> AsyncIterator[User]:
    async with await User.connect(place.first.url) as user:
        yield user
        await user("stop_all")


@pytest.fixture
async def elsewhere(place: Place) -> AsyncIterator[User]:
    """Ann, at the other gateway."""
    async with await User.connect(place.second.url) as user:
        yield user


@pytest.mark.parametrize("kind", ["window", "iframe", "web-worker"])
async def test_an_app_offers_what_it_exports(ann: User, elsewhere: User, kind: str) -> None:
    source = """
      let calls = 0;
      api.export({ setup() { calls += 1; }, calls: () => calls, add: (a, b) => a + b });
    """
    app = await ann.launch(source, kind, name=f"a {kind}", wait_for_service="default")

    service = await elsewhere.get_service(f"ann/{app['id']}:default")
    assert app["name"] == service["name"] == f"a {kind}"
    assert app["workspace"] == "ann"
    assert await elsewhere.ask(app, "add", 2, 3) == 5
    assert await elsewhere.ask(app, "calls") == 1
    assert await elsewhere.states() == {app["id"]: "running"}
    (running,) = await elsewhere("list_running")
    assert (running["status"], running["app_id"]) == ("connected", app["app_id"])
    await elsewhere("stop", app["id"])
    assert await ann.states() == {}


async def test_a_plugin_file_runs_with_its_window(ann: User) -> None:
    source = """<config lang="yaml">
name: Plugin
type: window
</config>
<window><p id="a">shown</p></window>
<script>api.export({ text: () => document.getElementById("a").textContent });</script>"""
    app = await ann("launch", source)

    assert await ann.ask(app, "text") == "shown"


@pytest.mark.parametrize("how", [{"template": ""}, {"config": {"type": "iframe"}}, {}])
async def test_a_page_of_ones_own_gets_its_files_and_connects(
    place: Place, ann: User, how: dict[str, Any]
) -> None:
    page = """<!doctype html><title>own</title>
    <script src="/assets/imjoy-rpc@0.5.59/dist/hypha-rpc-websocket.min.js"></script>
    <script>(async () => {
      const text = await (await fetch("data/a.txt")).text();
      const api = await hyphaWebsocketClient.connectToServer(window.hyphaApp);
      await api.register_service({ id: "texts", get: () => text });
    })();</script>"""
    files = [{"name": "data/a.txt", "source": "from a file"}]
    more = {"config": {"name": "own"}, **how} if how else {}
    manifest = await ann("install", page, **more, attachments=files)
    assert manifest["name"] == "own"

    app = await ann("start", manifest["id"], wait_for_service="texts")

    assert await ann.place(f"ann/{app['id']}", "services.texts.get") == "from a file"


async def test_a_page_is_its_launchers_child_and_no_more(place: Place, ann: User) -> None:
    source = """
      const attempt = async (what) => {
        try { return await what(); } catch (e) { return String(e); }
      };
      api.export({
        who: async () => (await api.getConnectionInfo()).user_info,
        token: () => attempt(() => api.generateToken({})),
        elsewhere: () => attempt(() => hyphaWebsocketClient.connectToServer(
          { ...config, client_id: "another", workspace: "bob" })),
        again: () => attempt(() => hyphaWebsocketClient.connectToServer(
          { ...config, client_id: "another" })),
        install: () => attempt(async () => (await api.getService("server-apps")).install("x")),
        address: () => location.href + document.referrer,
      });
    """
    app = await ann.launch(source)

    who = await ann.ask(app, "who")
    assert (who["parent"], who["scopes"], who["roles"]) == ("ann", ["ann"], [])
    assert "makes no tokens" in await ann.ask(app, "token")
    for attempt in ("elsewhere", "again"):
        assert "Error" in await ann.ask(app, attempt)
    assert "User must be authenticated" in await ann.ask(app, "install")
    shown = [await ann.ask(app, "address"), app, await ann("list_running"), await ann("list_apps")]
    shown += [await ann("get_log", app["id"]), await ann("logs", app["id"])]
    logs = place.first.log() + place.second.log() + place.runner.log()
    assert "hypha-app-" not in str(shown) + logs
    assert "reconnection_token=" not in str(shown)
    assert "/~***/index.html" in logs


async def test_what_asks_for_an_app_at_once_gets_the_same(ann: User, elsewhere: User) -> None:
    manifest = await ann(
        "install", ADDER, config={"type": "window", "name": "lazy", "services": ["default"]}
    )
    query = {"client_name": "lazy", "launch": True}

    found = await asyncio.gather(
        *(each.get_service(query) for each in (ann, elsewhere) for _ in range(10))
    )

    assert len({service["id"] for service in found}) == 1
    (running,) = await ann("list_running")
    assert running["app_id"] == manifest["id"]
    again = await elsewhere.get_service({"id": "default", "client_name": "lazy", "launch": True})
    assert again["id"] == found[0]["id"]
    add = again["add"]
    assert await elsewhere.place(add["_rtarget"], add["_rmethod"], 1, 2) == 3


async def test_a_service_is_launched_by_its_id(ann: User, elsewhere: User) -> None:
    source = 'await api.registerService({ id: "maths", add: (a, b) => a + b });'
    await ann("install", source, config={"type": "web-worker", "services": ["maths"]})

    found = await elsewhere.get_service({"id": "maths", "launch": True})

    assert found["id"].endswith(":maths")
    assert (await ann.get_service({"id": "maths", "launch": True}))["id"] == found["id"]
    assert len(await ann("list_running")) == 1


@pytest.mark.parametrize(
    ("source", "kind", "reason"),
    [
        ('throw new Error("boom went it")', "window", "boom went it"),
        ('throw new Error("boom went it")', "web-worker", "boom went it"),
        ("this is no script", "window", "SyntaxError"),
        ('console.error("is waiting"); await new Promise(() => {})', "window", "is waiting"),
        ('location.href = "about:blank"', "window", "has gone elsewhere"),
        ("window.close()", "window", "page"),
    ],
)
async def test_a_start_that_fails_says_why(
    place: Place, ann: User, source: str, kind: str, reason: str
) -> None:
    with pytest.raises(Rejected, match=f"(?s)Failed to start app: .*{reason}"):
        await ann.launch(source, kind, timeout=4)

    assert await ann.states() == {}
    async with asyncio.timeout(LIMIT):
        while "about:blank" in source and place.runner.pages() > 1:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_a_page_that_uses_up_its_memory_crashes_alone(
    valkey_url: str, redis_prefix: str, tmp_path: Any
) -> None:
    hog = "const kept = []; for (;;) kept.push(new Array(100000).fill(Math.random()));"
    with app_cluster(tmp_path, valkey_url, redis_prefix) as cluster:
        gateway = cluster.gateway()
        cluster.runner(gateway.url, app_memory=64)
        async with await User.connect(gateway.url) as ann:
            other = await ann.launch(ADDER)
            with pytest.raises(Rejected, match="The page has crashed"):
                await ann.launch(hog, timeout=30)

            assert await ann.ask(other, "add", 1, 2) == 3


async def test_the_log_is_kept_within_bounds_and_after_the_end(ann: User, elsewhere: User) -> None:
    source = """
      for (let i = 0; i < 3000; i++) console.log(`line ${i}`);
      console.error("bad"); console.warn("careful"); console.debug("x".repeat(20000));
      console.log("token=abcdefghijklmnop");
      api.export({});
    """
    app = await ann.launch(source)
    await ann.logs(app, "token=***")
    await ann("stop", app["id"])

    lines = await elsewhere("get_log", app["id"], type="log")
    assert len(lines) == 2048
    assert lines[:2] == ["line 953", "line 954"]
    assert await elsewhere("get_log", app["id"], type="log", offset=1, limit=2) == lines[1:3]
    assert await elsewhere("get_log", app["id"], type="nonsense") == []
    everything = await elsewhere("get_log", app["id"])
    assert everything["error"] == ["bad"]
    assert everything["warning"] == ["careful"]
    assert everything["debug"] == ["x" * 16384]
    page = await elsewhere("logs", app["id"], offset=2, limit=1)
    assert (page["offset"], page["limit"], len(page["items"])) == (2, 1, 1)
    assert page["total"] >= 2048


async def test_a_page_reaches_the_hub_and_nothing_else_here(place: Place, ann: User) -> None:
    source = """
      const attempt = async (url) => {
        try {
          const answer = await fetch(url, { mode: "no-cors", signal: AbortSignal.timeout(3000) });
          return answer.type === "opaque" ? "answered" : `answered ${answer.status}`;
        } catch (e) { return "refused"; }
      };
      const socket = (url) => new Promise((resolve) => {
        const ws = new WebSocket(url);
        ws.onopen = () => resolve("open");
        ws.onerror = () => resolve("refused");
      });
      api.export({ attempt, socket, hub: () => attempt(`${config.server_url}/health/live`) });
    """
    app = await ann.launch(source)
    async with a_server() as (port, asked):
        for url in (f"http://[::1]:{port}/", "http://169.254.169.254/", "https://10.0.0.1/"):
            assert await ann.ask(app, "attempt", url) in ("refused", "answered"), url
        for host in ("127.0.0.1", "localhost", "app.localhost"):
            await ann.ask(app, "attempt", f"http://{host}:{port}/")
            assert await ann.ask(app, "socket", f"ws://{host}:{port}/") == "refused"

        assert asked == []
    assert await ann.ask(app, "hub") == "answered"


async def test_one_more_than_there_are_slots_waits(
    valkey_url: str, redis_prefix: str, tmp_path: Any
) -> None:
    with app_cluster(tmp_path, valkey_url, redis_prefix) as cluster:
        gateway = cluster.gateway()
        cluster.runner(gateway.url, slots=1)
        async with await User.connect(gateway.url) as ann:
            first = await ann.launch(ADDER)
            with pytest.raises(Rejected, match="Timeout: all runners are busy"):
                await ann.launch(f"{ADDER} // more", timeout=1)
            waiting = asyncio.create_task(ann.launch(f"{ADDER} // more", timeout=30))
            await ann.until(first["id"], "running")
            while "pending" not in (await ann.states()).values():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            await ann("stop", first["id"])

            second = await waiting
            assert await ann.states() == {second["id"]: "running"}


async def test_a_client_id_is_one_instances(ann: User) -> None:
    app = await ann.launch(ADDER)

    with pytest.raises(Rejected, match="A client .* is there already"):
        await ann("start", app["app_id"], client_id=app["id"])
    with pytest.raises(Rejected, match="A client .* is there already"):
        await ann("start", app["app_id"], client_id=ann.client.client_id)
    mine = await ann("start", app["app_id"], client_id="mine")
    assert mine["id"] == "mine"
    assert set(await ann.states()) == {app["id"], "mine"}


async def test_nobody_else_comes_in_by_a_ticket(place: Place, ann: User) -> None:
    app = await ann.launch(ADDER)

    for token in ("hypha-app-", f"hypha-app-{'a' * 32}"):
        for client in (app["id"], "nobody"):
            with pytest.raises(Exception, match="403"):
                await RawClient.connect(place.first.url, client, workspace="ann", token=token)
    assert await ann.ask(app, "add", 1, 1) == 2


async def test_an_app_ends_when_what_its_launcher_came_with_is_revoked(
    place: Place, ann: User
) -> None:
    token = token_of(ANN)
    spared = await ann.launch(ADDER)
    async with User(await RawClient.connect(place.second.url, token=token)) as launcher:
        app = await launcher.launch(ADDER)
        assert await ann.ask(app, "add", 1, 1) == 2

        await ann.place("public/workspace-manager", "services.hypha-login.revoke_token", token)

        assert await launcher.client.closed() == 1000
    await ann.until(app["id"], None)
    with pytest.raises(Rejected):
        await ann.ask(app, "add", 1, 1)
    assert await ann.states() == {spared["id"]: "running"}
    assert await ann.ask(spared, "add", 1, 1) == 2


PYTHON = """
from imjoy_rpc import api as same

print("set \\n up", f"`{1 + 1}`")

class Plugin:
    def add(self, a, b):
        return a + b, same is api

async def serve(args):
    body = f"{args['scope']['path']} by Python".encode()
    head = {"type": "http.response.start", "status": 200, "headers": []}
    await args["send"](head)
    await args["send"]({"type": "http.response.body", "body": body, "more_body": False})

config = {"visibility": "public"}
await api.register_service({"id": "site", "type": "ASGI", "config": config, "serve": serve})
api.export(Plugin())
"""


async def test_an_app_in_python_needs_nothing_but_the_hub(
    valkey_url: str, redis_prefix: str, tmp_path: Any
) -> None:
    pyodide = find("pyodide")
    assert pyodide
    try:
        if not is_complete(pyodide):
            await asyncio.to_thread(fetch, pyodide)
    except FetchFailed as failed:
        pytest.skip(str(failed))
    with app_cluster(tmp_path, valkey_url, redis_prefix) as cluster:
        gateway = cluster.gateway()
        cluster.runner(gateway.url, app_network="hub")
        async with await User.connect(gateway.url) as ann:
            app = await ann.launch(PYTHON, "web-python", name="py")

            assert await ann.ask(app, "add", 2, 3) == [5, True]
            answer = await ask(f"{gateway.url}/ann/apps/site/hello")
            assert (answer.status, answer.body) == (200, b"/hello by Python")
            await ann.logs(app, " up `2`")
            with pytest.raises(Rejected, match="ZeroDivisionError"):
                await ann.launch("1 / 0", "web-python")


FASTAPI = """<config lang="json">
{"name": "FastAPI", "type": "web-python", "requirements": ["fastapi==0.70.0"]}
</config>
<script lang="python">
from typing import Optional

from fastapi import FastAPI, Request

from imjoy_rpc import api
from pydantic import BaseModel

app = FastAPI()

class Item(BaseModel):
    name: str
    price: Optional[float] = None

@app.get("/")
async def root(request: Request):
    return {"message": "Hello", "item": str(request.url_for("read", number="7"))}

@app.get("/items/{number}")
async def read(number: int, query: str = ""):
    return {"number": number, "query": query}

@app.post("/items")
async def write(item: Item):
    return item

async def serve(args):
    await app(args["scope"], args["receive"], args["send"])

async def setup():
    service = {"id": "hello-fastapi", "name": "hello-fastapi", "type": "ASGI", "serve": serve}
    await api.register_service({**service, "config": {"visibility": "public"}})

api.export({"setup": setup})
</script>
"""


async def test_a_fastapi_of_2021_answers_with_the_network_cut(
    valkey_url: str, redis_prefix: str, tmp_path: Any
) -> None:
    wheels = [package for package in PACKAGES if package.is_wheel]
    for package in (find("pyodide"), *wheels):
        assert package
        if not is_complete(package):
            pytest.skip(f"{package.label} is missing; `make install` fetches it")
    with app_cluster(tmp_path, valkey_url, redis_prefix) as cluster:
        gateway, other = cluster.gateway(), cluster.gateway()
        cluster.runner(gateway.url, app_network="hub")
        async with await User.connect(gateway.url) as ann:
            await ann("launch", FASTAPI, wait_for_service="hello-fastapi")

            site = f"{other.url}/ann/apps/hello-fastapi"
            root = (await ask(f"{site}/")).value
            assert root["message"] == "Hello"
            assert (await ask(f"{site}/items/7?query=a%20b")).value == {"number": 7, "query": "a b"}
            assert (await ask(f"{site}/items/seven")).status == 422
            body = json.dumps({"name": "x", "price": "1.5"}).encode()
            written = await ask(f"{site}/items", body, Content_Type="application/json")
            assert written.value == {"name": "x", "price": 1.5}
            with pytest.raises(Rejected, match="no-such-thing"):
                await ann("launch", FASTAPI.replace("fastapi==0.70.0", "no-such-thing"), timeout=30)


def a_wheel(name: str, code: str) -> bytes:
    """A package of one module."""
    found = io.BytesIO()
    about = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(found, "w") as wheel:
        wheel.writestr(f"{name}.py", code)
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")
    return found.getvalue()


async def an_index(user: User, url: str, name: str, wheel: bytes) -> None:
    """Offer a package index as a web application, at this URL, with one package in it."""
    file = f"{name}-1.0-py3-none-any.whl"
    headers = {"access-control-allow-origin": "*"}
    digest = hashlib.sha256(wheel).hexdigest()
    listing = {
        "meta": {"api-version": "1.0"},
        "name": name,
        "files": [{"filename": file, "url": f"{url}/wheel", "hashes": {"sha256": digest}}],
    }
    kind = {"content-type": "application/vnd.pypi.simple.v1+json"}

    def package(event: dict[str, Any]) -> dict[str, Any]:
        return {"status": 200, "headers": headers | kind, "body": json.dumps(listing)}

    def download(event: dict[str, Any]) -> dict[str, Any]:
        return {"status": 200, "headers": headers, "body": wheel}

    offered: dict[str, Any] = {name: package, "wheel": download}
    config = {"visibility": "public"}
    own = {"id": "index", "name": "index", "type": "functions", "config": config}
    await user.client.offer("index", visibility="public", **offered)
    service = user.client.functions["services.built-in.get_service"]("index") | own
    user.client.functions["services.built-in.get_service"] = lambda _: service
    info = {**own, "id": f"{user.client.client_id}:index"}
    listed = {"id": user.client.client_id, "services": [info]}
    await user.client.manager("update_client_info", listed)


async def test_an_app_in_python_gets_what_it_may_require(
    valkey_url: str, redis_prefix: str, tmp_path: Any
) -> None:
    for name in ("pyodide", "micropip"):
        package = find(name)
        if not package or not is_complete(package):
            pytest.skip(f"{name} is missing; `make install` fetches it")
    source = "import mine, tiny; api.export({'said': lambda: mine.TEXT + tiny.TEXT})"
    wheel = {"name": "mine-1.0-py3-none-any.whl", "source": a_wheel("mine", "TEXT = 'a'")}
    config = {"requirements": ["tiny>=1", "imjoy-rpc", wheel["name"]]}
    with app_cluster(tmp_path, valkey_url, redis_prefix) as cluster:
        gateway = cluster.gateway(
            app_packages="tiny", app_package_index="/ann/apps/index/{package_name}"
        )
        cluster.runner(gateway.url, app_network="hub")
        async with await User.connect(gateway.url) as ann:
            await an_index(
                ann, f"{gateway.url}/ann/apps/index", "tiny", a_wheel("tiny", "TEXT = 'b'")
            )
            app = await ann.launch(source, "web-python", config=config, attachments=[wheel])

            assert await ann.ask(app, "said") == "ab"
            with pytest.raises(Rejected, match="'pandas' is no package that apps of this hub may"):
                await ann.launch(source, "web-python", config={"requirements": ["pandas"]})


async def test_an_app_that_does_not_feel_well_is_started_again(ann: User) -> None:
    source = """
      let well = true, asked = 0;
      const born = Math.random();
      api.export({
        born: () => born,
        sicken() { well = false; },
        is_ready: () => (asked += 1) > 2,
        is_well: () => well,
        asked: () => asked,
      });
    """
    probe = {"period_seconds": 0.2}
    config = {
        "readiness_probe": {"exec": "is_ready", **probe},
        "liveness_probe": {"exec": "is_well", **probe},
    }
    app = await ann.launch(source, config=config)
    assert await ann.ask(app, "asked") == 3
    born = await ann.ask(app, "born")
    await ann.ask(app, "sicken")

    await ann.until(app["id"], "backoff")
    (seen,) = await ann("list_running")
    assert seen["reason"] == "Its liveness probe has failed 3 times."
    await ann.until(app["id"], "running")
    assert await ann.ask(app, "born") != born


async def test_what_crashes_goes_on_as_what_was_started(ann: User) -> None:
    def source(which: str) -> str:
        leave = 'setTimeout(() => { location.href = "about:blank" }, 50)'
        return f"api.export({{ which: () => '{which}', leave: () => {{ {leave} }} }})"

    installed = await ann(
        "install", source("old"), config={"type": "window"}, app_id="changed", overwrite=True
    )
    app = await ann("start", installed["id"])
    await ann("edit", installed["id"], source=source("new"))

    await ann.ask(app, "leave")

    async with asyncio.timeout(LIMIT):
        steps: list[str] = []
        while steps.count("running") < 2:
            steps = [each["to"] for each in await ann("history", app["id"])]
            await asyncio.sleep(0.1)
    assert await ann.ask(app, "which") == "old"
    await ann("stop", app["id"])
    again = await ann("start", installed["id"])
    assert await ann.ask(again, "which") == "new"


async def test_operators_see_what_runs(place: Place, ann: User) -> None:
    app = await ann.launch(f"{ADDER} // seen", name="Seen")  # which no other test installs

    settings = {"redis_url": place.redis_url, "redis_prefix": place.prefix}
    running = await printed("apps", **settings, json=True)
    installed = await printed("apps", **settings, json=True, installed=True)

    states = {each["instance"]: each["state"] for each in json.loads(running)}
    assert states[f"ann/{app['id']}"] == "running"
    assert {"app": app["app_id"], "name": "Seen", "version": 1, "owner": "ann", "files": 1} in (
        json.loads(installed)
    )


async def test_users_run_apps_by_commands(place: Place, ann: User, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(token_of(ANN), encoding="utf-8")
    source = 'console.log(`said ${await (await fetch("a.txt")).text()}`); api.export({});'
    (tmp_path / "said.js").write_text(source, encoding="utf-8")
    (tmp_path / "a.txt").write_bytes("this – ".encode())
    hub = [f"--server-url={place.second.url}", "--token-file=token"]

    async def run(*words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hypha_cluster", "apps", *words, *hub),
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0, words
        return output.decode().strip()

    app = await run("install", "said.js", "a.txt", "--app-id", "said")
    instance = await run("start", app)
    following = asyncio.create_task(run("logs", instance, "--follow"))
    running = json.loads(await run("list", "--json"))
    await run("edit", app, "said.js")
    await run("stop", instance)
    followed = await following

    assert app == "ann/said"
    assert [(each["instance"], each["state"]) for each in running] == [(instance, "running")]
    assert "log: said this – " in followed
    assert followed.endswith("state: stopped")
    assert "log: said this" in await run("logs", instance, "--type", "log")
    assert app in await run("list", "--installed")
    assert await run("remove", app) == "ann/said is removed."


async def printed(name: str, **settings: Any) -> str:
    """What a command prints."""
    flags = {key: each for key, each in settings.items() if each is not True}
    switches = [f"--{key}" for key, each in settings.items() if each is True]
    process = await asyncio.create_subprocess_exec(
        *command(name, **flags), *switches, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


@pytest.mark.clients
@pytest.mark.parametrize("release", [OLDEST, NEWEST])
async def test_published_clients_launch_apps(place: Place, connect: Connect, release: str) -> None:
    ann = await connect(release, place.second.url, token=token_of(ANN), workspace="ann")
    apps = await ann["get_service"]("server-apps")
    config = {"type": "window", "name": f"of {release}", "services": ["default"]}

    app = await apps["launch"](ADDER, config=config, wait_for_service="default")

    adder = await ann["get_service"](f"ann/{app['id']}:default")
    assert await adder["add"](2, 3) == 5
    lazy = await ann["get_service"]({"client_name": f"of {release}", "launch": True})
    assert lazy["id"] == adder["id"]
    assert [each["id"] for each in await apps["list_running"]()] == [app["id"]]
    assert await apps["get_log"](app["id"], type="error") == []
    await apps["stop"](app["id"])
    assert await apps["list_running"]() == []


async def test_a_published_page_launches_apps(place: Place, chromium: "Chromium") -> None:
    page = await chromium.open("0.5.59")
    try:
        ann = await page.connect(place.second.url, token=token_of(ANN), workspace="ann")
        body = """
          const apps = await server.getService("server-apps");
          const app = await apps.launch(source, 60, config);
          const adder = await server.getService(`ann/${app.id}:default`);
          const lazy = await server.getService({ client_name: "of a page", launch: true });
          const sum = await adder.add(2, 3);
          await apps.stop(app.id);
          return [sum, lazy.id === adder.id, (await apps.list_running()).length];
        """
        config = {"type": "web-worker", "name": "of a page"}

        assert await ann.run(body, 60, source=ADDER, config=config) == [5, True, 0]
    finally:
        await page.close()
