"""Apps that are installed: what is kept of them, who sees them, and how their files are served.

No browser runs here: tests/conformance/test_apps.py has what needs one.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from redis.asyncio import Redis

from hypha_cluster.config import Config
from hypha_cluster.errors import BadRequest
from hypha_cluster.features.built_in import BUILT_IN
from hypha_cluster.features.launcher import installing
from hypha_cluster.features.launcher.installing import Installer, Place, Recipe
from hypha_cluster.features.launcher.terms import LauncherSettings
from hypha_cluster.identity.access import Identity
from hypha_cluster.protocol.limits import (
    APP_FETCHES,
    APP_FILE,
    APP_INSTALLS,
    APP_SIZE,
    APP_VERSIONS,
)
from hypha_cluster.registry.keys import Keys
from tests.in_process import served
from tests.raw_client import RawClient, Rejected
from tests.token_rig import SECRET, token_of

ANN = Identity("ann", is_anonymous=False, email="ann@example.org")
BOB = Identity("bob", is_anonymous=False, email="bob@example.org")
SOURCE = "api.export({ add: (a, b) => a + b });"
PLUGIN = """<docs>How to &amp; why</docs>
<!-- <config lang="json">{"name": "not this"}</config> -->
<config lang="json">{
  "name": "Two Faces", "type": {"app": "window", "worker": "web-worker"},
  "tags": ["app", "worker"], "version": "0.2.0", "labels": ["l"], "flags": ["f"],
  "services": ["faces"], "author": "Ann", "cover": "a.png"
}</config>
<script lang="javascript" tag="app">api.export({face: "app"})</script>
<script lang="javascript" tag="worker">api.export({face: "worker"})</script>
<window><div>Hello</div></window>
<style>div { color: red }</style>
"""
YAML = """<config lang="yaml">
name: Yaml Plugin
type: web-worker
</config>
<script>api.export({})</script>
"""


class User:
    """Somebody who calls `server-apps`."""

    def __init__(self, client: RawClient) -> None:
        self.client = client

    async def __call__(self, function: str, *args: Any, **kwargs: Any) -> Any:
        manager = "public/workspace-manager"
        return await self.client.call(manager, f"services.server-apps.{function}", *args, **kwargs)


@pytest.fixture
async def url(valkey_url: str, redis_prefix: str) -> AsyncIterator[str]:
    config = Config(port=0, jwt_secret=SECRET, redis_url=valkey_url, redis_prefix=redis_prefix)
    settings = LauncherSettings(enable_server_apps=True)
    features = [
        (kind, settings if kind.Settings is LauncherSettings else kind.Settings())
        for kind in BUILT_IN
    ]
    async with served(config, features) as (url, _):
        yield url


@pytest.fixture
async def ann(url: str) -> AsyncIterator[User]:
    async with await RawClient.connect(url, token=token_of(ANN)) as client:
        yield User(client)


@pytest.fixture
async def bob(url: str) -> AsyncIterator[User]:
    async with await RawClient.connect(url, token=token_of(BOB)) as client:
        yield User(client)


@pytest.fixture
async def guest(url: str) -> AsyncIterator[User]:
    async with await RawClient.connect(url) as client:
        yield User(client)


async def get(url: str, **headers: str) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False) as client:
        return await client.get(url, headers=headers)


async def raw_get(url: str, path: str) -> int:
    """Ask for a path as it is written; return the status."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    line = await reader.readline()
    writer.close()
    return int(line.split()[1])


async def test_an_app_is_installed_with_its_manifest(url: str, ann: User) -> None:
    for kind in ("window", "web-worker", "iframe"):
        config = {"name": kind, "type": kind, "description": "d", "services": ["s"]}
        manifest = await ann("install", f"{SOURCE}//{kind}", config=config)

        assert manifest["id"].startswith("ann/Qm")
        assert len(manifest["id"]) == len("ann/") + 46
        page = f"{url}/apps/{manifest['id']}/index.html"
        assert manifest == {
            "type": "application",
            "id": manifest["id"],
            "name": kind,
            "version": "0.1.0",
            "description": "d",
            "services": ["s"],
            "tags": ["bioengine"],
            "covers": [],
            "badges": [],
            "authors": [],
            "attachments": {},
            "source": page,
            "local_url": page,
            "public_url": page,
        }


PAGE = """<!-- mine --> <!DOCTYPE html>
<html><head><title>  A &amp; B
</title></head><body><script>/* {{ nothing }} */</script></body></html>"""


@pytest.mark.parametrize("config", [None, {}, {"type": "iframe"}, {"type": "window"}])
async def test_a_page_is_served_as_it_is(
    url: str, ann: User, config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fetch(address: str, limit: int) -> bytes:
        assert (address, limit) == ("https://pages.example/a.html", APP_FILE)
        return PAGE.encode()

    monkeypatch.setattr(installing, "fetch", fetch)
    for source in (PAGE, "https://pages.example/a.html"):
        manifest = await ann("install", source, config=config)

        answer = await get(manifest["public_url"], authorization=f"Bearer {token_of(ANN)}")
        assert (manifest["name"], answer.text) == ("A & B", PAGE)
        edited = await ann("edit", manifest["id"], config={"name": "mine"})
        answer = await get(edited["public_url"], authorization=f"Bearer {token_of(ANN)}")
        assert (edited["name"], answer.text) == ("mine", PAGE)
        await ann("uninstall", manifest["id"])


async def test_of_what_gets_too_large_no_more_is_fetched(
    ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []

    async def fetch(address: str, limit: int) -> bytes:
        fetched.append(address)
        return bytes(limit)

    monkeypatch.setattr(installing, "fetch", fetch)
    app_id = (await ann("install", "<p>", template="", config={}))["id"]
    files = [{"name": f"{n}.bin", "source": f"https://files.example/{n}"} for n in range(20)]
    for function, first in {"install": "<p>", "edit": app_id}.items():
        fetched.clear()
        with pytest.raises(Rejected, match=f"at most {APP_SIZE} bytes"):
            await ann(function, first, template="", config={}, attachments=files)

        assert len(fetched) == APP_SIZE // APP_FILE + 1


class Slow:
    """Sources that come when they are let."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.go = asyncio.Event()
        self._news = asyncio.Event()
        monkeypatch.setattr(installing, "fetch", self.fetch)

    async def fetch(self, address: str, limit: int) -> bytes:
        self.asked.append(address)
        self._news.set()
        await self.go.wait()
        return SOURCE.encode()

    async def until_asked(self, many: int) -> None:
        async with asyncio.timeout(30):
            while len(self.asked) < many:
                self._news.clear()
                await self._news.wait()


async def test_a_user_installs_a_few_at_a_time_and_others_need_not_wait(
    ann: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(monkeypatch)
    async with asyncio.TaskGroup() as group:
        for number in range(APP_INSTALLS + 3):
            about = {"config": {"type": "window"}, "app_id": f"a{number}"}
            group.create_task(ann("install", "https://ann.example/", **about))
        await slow.until_asked(APP_INSTALLS)
        await ann("list_apps")  # by now all of them are under way
        group.create_task(bob("install", "https://bob.example/", config={"type": "window"}))
        await slow.until_asked(APP_INSTALLS + 1)

        assert slow.asked.count("https://ann.example/") == APP_INSTALLS
        slow.go.set()

    assert len(await ann("list_apps")) == APP_INSTALLS + 3


async def test_a_gateway_fetches_a_few_sources_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing: Any = None  # it only fetches
    slow, installer = Slow(monkeypatch), Installer(nothing, "", nothing)
    place, recipe = Place("ann", "ann", "a"), Recipe("https://ann.example/")
    installs = [
        asyncio.ensure_future(installer.install(place, recipe, source_hash="another"))
        for _ in range(APP_FETCHES + 5)
    ]
    await slow.until_asked(APP_FETCHES)
    await asyncio.sleep(0)

    assert len(slow.asked) == APP_FETCHES
    slow.go.set()
    outcomes = await asyncio.gather(*installs, return_exceptions=True)
    assert [type(each) for each in outcomes] == [BadRequest] * (APP_FETCHES + 5)
    assert len(slow.asked) == APP_FETCHES + 5


async def test_code_and_plugin_files_are_no_pages(url: str, ann: User) -> None:
    plugin = f"<!doctype html>{PLUGIN}"
    assert (await ann("install", plugin))["name"] == "Two Faces"
    code = await ann("install", PAGE, config={"type": "web-worker"})

    answer = await get(code["public_url"], authorization=f"Bearer {token_of(ANN)}")
    assert answer.text != PAGE


async def test_the_same_source_is_the_same_app(ann: User) -> None:
    first = await ann("install", SOURCE, config={"type": "window"})
    second = await ann("install", SOURCE, config={"type": "web-worker"})

    assert first["id"] == second["id"]
    assert [app["id"] for app in await ann("list_apps")] == [first["id"]]
    assert first["name"] == "Untitled Plugin"


async def test_a_plugin_file_says_what_it_is(ann: User) -> None:
    manifest = await ann("install", PLUGIN)
    other = await ann("install", YAML, template="imjoy")

    assert manifest["name"] == "Two Faces"
    assert manifest["tags"] == ["l", "f", "bioengine"]
    assert manifest["documentation"] == "How to & why"
    assert manifest["authors"] == [{"name": "Ann"}]
    assert manifest["covers"] == ["a.png"]
    assert other["name"] == "Yaml Plugin"
    assert {app["id"] for app in await ann("list_apps")} == {manifest["id"], other["id"]}


async def test_a_hash_vouches_for_a_source(ann: User) -> None:
    app_id = (await ann("install", SOURCE, config={"type": "window"}))["id"]
    known = app_id.partition("/")[2]

    again = await ann("install", SOURCE, source_hash=known, config={"type": "window"})

    assert again["id"] == app_id
    with pytest.raises(Rejected, match=r"verification failed \(source_hash: 'Qmx'\)"):
        await ann("install", SOURCE, source_hash="Qmx", config={"type": "window"})


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ({"source": 5}, "'source' of an app is text"),
        ({"source": "http://x/a.html", "config": {"type": "window"}}, "Only https sources"),
        ({"source": "https://127.0.0.1/a", "config": {"type": "window"}}, "no network that"),
        ({"source": "https://[::ffff:10.0.0.1]/a", "config": {"type": "window"}}, "no network"),
        ({"source": "", "config": {}}, "has a type"),
        ({"source": "", "config": {"type": "native-python"}}, "no template for apps of the type"),
        ({"source": "", "config": {"type": "window", "name": 1}}, "'name' of an app is text"),
        ({"source": "", "template": "login_template.html", "config": {"a": 1}}, "no template"),
        ({"source": PLUGIN, "template": "imjoy", "config": {"a": 1}}, "Config should not be"),
        ({"source": "no plugin"}, "it has no <config> block"),
        ({"source": "<config>{}</config>"}, 'lang="json" or lang="yaml"'),
        ({"source": '<config lang="json">{</config>'}, "is no json"),
        ({"source": '<config lang="json">{}</config>'}, "has a name"),
        ({"source": '<config lang="yaml">a: &a [1]\nb: *a</config>'}, "aliases"),
        ({"source": "x", "config": {"type": "window"}, "attachments": [{"name": "../a"}]}, "'..'"),
        ({"source": "x", "config": {"type": "window"}, "attachments": [{"name": "/a"}]}, "'/'"),
        ({"source": "x", "config": {"type": "window"}, "attachments": [{"name": "a%2fb"}]}, "'%'"),
        (
            {
                "source": "x",
                "config": {"type": "window"},
                "attachments": [{"name": "a", "source": "x" * 1_048_577}],
            },
            "at most 1048576 bytes",
        ),
        ({"source": "x", "config": {"type": "window"}, "workspace": "bob"}, "bob"),
    ],
)
async def test_what_is_wrong_with_an_app_is_said(
    ann: User, args: dict[str, Any], reason: str
) -> None:
    ann.client.take_chunks()
    with pytest.raises(Rejected, match=re.escape(reason)):
        await ann("install", **args)

    assert await ann("list_apps") == []


async def test_who_is_anonymous_may_do_nothing(ann: User, guest: User) -> None:
    app_id = (await ann("install", SOURCE, config={"type": "window"}))["id"]

    for function, args in {
        "install": [SOURCE],
        "launch": [SOURCE],
        "start": [app_id],
        "stop": ["x"],
        "list_running": [],
        "get_log": ["x"],
        "uninstall": [app_id],
        "edit": [app_id],
        "stop_all": [],
        "logs": ["x"],
        "parse": [PLUGIN],
        "list_versions": [app_id],
        "rollback": [app_id],
        "history": ["x"],
    }.items():
        with pytest.raises(Rejected, match="User must be authenticated"):
            await guest(function, *args)
    with pytest.raises(Rejected, match="Permission denied for workspace ann"):
        await guest("list_apps", "ann")
    assert await guest("list_apps") == []


async def test_apps_of_others_are_theirs(ann: User, bob: User) -> None:
    app_id = (await ann("install", SOURCE, config={"type": "window"}))["id"]

    for function in ("start", "uninstall", "edit"):
        with pytest.raises(Rejected, match="Workspace mismatch between app_id and workspace"):
            await bob(function, app_id)
    with pytest.raises(Rejected, match="Permission denied"):
        await bob("list_apps", workspace="ann")


async def test_an_app_is_uninstalled(url: str, ann: User) -> None:
    manifest = await ann("install", SOURCE, config={"type": "window"})

    await ann("uninstall", manifest["id"])

    assert await ann("list_apps") == []
    header = f"Bearer {token_of(ANN)}"
    assert (await get(manifest["public_url"], Authorization=header)).status_code == 404
    with pytest.raises(Rejected, match="Application not found: ann/Qm"):
        await ann("uninstall", manifest["id"])
    with pytest.raises(Rejected, match="Invalid app id: 'x', the correct format is `user-id/app"):
        await ann("uninstall", "x")


async def test_an_app_with_a_readable_id_is_edited_in_its_place(url: str, ann: User) -> None:
    attachments = [{"name": "a.txt", "source": "A"}]
    manifest = await ann(
        "install", SOURCE, config={"type": "window"}, attachments=attachments, app_id="adder"
    )
    edited = await ann("edit", manifest["id"], config={"type": "web-worker", "name": "Adder"})

    assert manifest["id"] == edited["id"] == "ann/adder"
    assert [app["name"] for app in await ann("list_apps")] == ["Adder"]
    answer = await get(f"{url}/apps/ann/adder/a.txt", Authorization=token_of(ANN))
    assert answer.text == "A"
    with pytest.raises(Rejected, match="There is an app 'adder' already"):
        await ann("install", SOURCE, config={"type": "window"}, app_id="adder")


async def test_an_app_can_be_what_it_was_before(url: str, ann: User, bob: User) -> None:
    config, mine = {"type": "window"}, {"Authorization": f"Bearer {token_of(ANN)}"}
    files = [{"name": "a.txt", "source": "A"}]
    await ann("install", SOURCE, config=config, attachments=files, app_id="adder")
    await ann("edit", "ann/adder", attachments=[{"name": "a.txt", "source": "B"}])
    await ann("edit", "ann/adder", config={**config, "name": "Third"})

    before = await ann("list_versions", "ann/adder")
    back = await ann("rollback", "ann/adder", 1)

    assert [(each["version"], each["name"]) for each in before] == [
        (3, "Third"),
        (2, "Untitled Plugin"),
        (1, "Untitled Plugin"),
    ]
    assert {each["owner"] for each in before} == {"ann"}
    assert all(0 <= time.time() - each["made_at"] < 60 for each in before)
    assert before[0]["files"] == ["a.txt", "index.html"]
    assert back["name"] == "Untitled Plugin"
    assert (await get(f"{url}/apps/ann/adder/a.txt", **mine)).text == "A"
    assert [each["version"] for each in await ann("list_versions", "ann/adder")] == [4, 3, 2, 1]
    assert (await ann("rollback", "ann/adder"))["name"] == "Third"
    edited = await ann("edit", "ann/adder", source="api.export({})")
    assert edited["name"] == "Third"  # what it was made of is back, too
    with pytest.raises(Rejected, match="The app ann/adder has no version 99, or not any more"):
        await ann("rollback", "ann/adder", 99)
    with pytest.raises(Rejected, match="'version' of an app is a number, not '1'"):
        await ann("rollback", "ann/adder", "1")
    for function in ("list_versions", "rollback"):
        with pytest.raises(Rejected, match="Workspace mismatch between app_id and workspace"):
            await bob(function, "ann/adder")
    await ann("uninstall", "ann/adder")
    with pytest.raises(Rejected, match="Application not found: ann/adder"):
        await ann("rollback", "ann/adder", 1)


async def test_an_app_is_updated_in_its_place_by_installing_it(ann: User) -> None:
    config = {"type": "window"}
    for _ in range(2):  # the same again is nothing new
        await ann("install", SOURCE, config=config, app_id="adder", overwrite=True)
    await ann("install", f"{SOURCE}//2", config=config, app_id="adder", overwrite=True)

    assert [each["version"] for each in await ann("list_versions", "ann/adder")] == [2, 1]
    assert [app["id"] for app in await ann("list_apps")] == ["ann/adder"]
    for wrong in ("", "~a", "a/b", 5):
        with pytest.raises(Rejected):
            await ann("install", SOURCE, config=config, app_id=wrong)


async def test_edits_at_the_same_time_are_all_there(ann: User) -> None:
    await ann("install", SOURCE, config={"type": "window"}, app_id="adder")
    changes: list[dict[str, Any]] = [
        {"config": {"type": "window", "name": "Renamed"}},
        {"source": f"{SOURCE}//2"},
        {"attachments": [{"name": "a.txt", "source": "A"}]},
    ]

    await asyncio.gather(*(ann("edit", "ann/adder", **change) for change in changes))

    newest, *others = await ann("list_versions", "ann/adder")
    assert (newest["name"], newest["files"]) == ("Renamed", ["a.txt", "index.html"])
    assert [each["version"] for each in others] == [3, 2, 1]


async def test_an_open_page_keeps_the_files_that_it_was_opened_with(url: str, ann: User) -> None:
    def files(text: str) -> list[dict[str, str]]:
        return [{"name": "a.txt", "source": text}]

    manifest = await ann("install", "<p>", template="", config={}, attachments=files("old"))
    led = await get(f"{manifest['public_url']}?token={token_of(ANN)}")
    page = httpx2.URL(manifest["public_url"]).join(led.headers["location"])
    await ann("edit", manifest["id"], attachments=files("new"))

    assert (await get(str(page.join("a.txt")))).text == "old"
    again = await get(f"{url}/apps/{manifest['id']}/a.txt", Authorization=token_of(ANN))
    assert again.text == "new"
    for number in range(APP_VERSIONS):
        await ann("edit", manifest["id"], attachments=files(f"newer {number}"))
    assert (await get(str(page.join("a.txt")))).status_code == 404


async def test_what_an_app_says_of_itself_is_listed_and_beside_its_page(
    url: str, ann: User
) -> None:
    config = {"type": "window", "name": "Adder", "license": "MIT"}
    files = [{"name": "a.txt", "source": "A"}]
    manifest = await ann("install", SOURCE, config=config, attachments=files)

    (shown,) = await ann("list_apps")
    beside = await get(f"{url}/apps/{manifest['id']}/rdf.json", Authorization=token_of(ANN))

    assert shown == {
        **manifest,
        "documentation": None,
        "config": None,
        "format_version": "0.2.1",
        "links": None,
        "maintainers": None,
        "git_repo": None,
    }
    assert beside.headers["content-type"] == "application/json"
    assert beside.json() == shown
    assert beside.json()["attachments"] == {"files": ["a.txt"]}
    with pytest.raises(Rejected, match=r"Two files of the app would be called 'rdf.json'"):
        await ann("install", "x", config=config, attachments=[{"name": "rdf.json", "source": "{}"}])


async def test_files_are_served_to_who_may_enter(url: str, ann: User) -> None:
    files = [
        {"name": "data/a.txt", "source": "A"},
        {"name": "b.bin", "source": b"\x00\xff"},
    ]
    source = "<h1>As it is</h1>"
    manifest = await ann("install", source, template="", config={"name": "x"}, attachments=files)
    base, mine = f"{url}/apps/{manifest['id']}", {"Authorization": f"Bearer {token_of(ANN)}"}

    page = await get(f"{base}/index.html", **mine)
    text, data = await get(f"{base}/data/a.txt", **mine), await get(f"{base}/b.bin", **mine)

    assert manifest["attachments"] == {"files": ["b.bin", "data/a.txt"]}
    assert (page.text, page.headers["content-type"]) == (source, "text/html; charset=utf-8")
    assert page.headers["content-security-policy"].startswith("sandbox ")
    assert "allow-same-origin" not in page.headers["content-security-policy"]
    assert (text.text, data.content) == ("A", b"\x00\xff")
    again = {**mine, "If-None-Match": page.headers["etag"]}
    assert (await get(f"{base}/index.html", **again)).status_code == 304
    assert (await get(f"{base}/index.html")).status_code == 403
    assert (await get(f"{base}/index.html", Authorization=token_of(BOB))).status_code == 403
    assert (await get(f"{base}/c.txt", **mine)).status_code == 404
    assert (await get(f"{base}/data", **mine)).status_code == 404


async def test_a_page_gets_its_files_without_a_token(url: str, ann: User) -> None:
    files = [{"name": "data/a.txt", "source": "A"}]
    manifest = await ann("install", "<p>", template="", config={}, attachments=files)
    base = f"{url}/apps/{manifest['id']}"

    led = await get(f"{base}/index.html?token={token_of(ANN)}&x=1")
    address = str(httpx2.URL(f"{base}/index.html").join(led.headers["location"]))
    deep = await get(f"{base}/data/a.txt?token={token_of(ANN)}")
    deep_address = str(httpx2.URL(f"{base}/data/a.txt").join(deep.headers["location"]))

    assert led.status_code == 307
    assert "token" not in address
    assert address.endswith("/index.html?x=1")
    assert (await get(address)).text == "<p>"
    assert (await get(str(httpx2.URL(address).join("data/a.txt")))).text == "A"
    assert (await get(deep_address)).text == "A"
    other = await ann("install", "<b>", template="", config={})
    ticket = urlsplit(address).path.split("/")[4]
    assert (await get(f"{url}/apps/{other['id']}/{ticket}/index.html")).status_code == 403
    assert (await get(f"{base}/~made-up/index.html")).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "../index.html",
        "data/../../index.html",
        "%2e%2e/index.html",
        "..%2findex.html",
        "/etc/passwd",
        "//etc/passwd",
        "%2fetc%2fpasswd",
        "..%5cindex.html",
        "%00",
        "index.html%00",
    ],
)
async def test_paths_lead_nowhere_else(url: str, ann: User, path: str) -> None:
    manifest = await ann("install", "<p>", template="", config={})
    led = await get(f"{url}/apps/{manifest['id']}/index.html?token={token_of(ANN)}")
    ticket = led.headers["location"].split("/")[1]

    status = await raw_get(url, f"/apps/{manifest['id']}/{ticket}/{path}")

    assert 400 <= status < 500


async def test_code_cannot_end_the_element_that_it_stands_in(url: str, ann: User) -> None:
    source = "api.export({x: '</script><script>alert(1)</script>', y: `${1}\\n`})"
    manifest = await ann("install", source, config={"type": "web-worker"})

    page = (await get(manifest["public_url"], Authorization=token_of(ANN))).text

    held = page.partition('id="hypha-app">')[2].partition("</script>")[0]
    assert json.loads(held)["script"] == source
    assert "alert(1)</script>" not in page
    assert "//cdn" not in page
    client = json.loads(held)["client"]
    assert (await get(f"{url}{client}")).status_code == 200


async def test_a_start_without_a_runner_says_so(ann: User) -> None:
    app_id = (await ann("install", SOURCE, config={"type": "window"}))["id"]

    with pytest.raises(Rejected, match="Failed to start app: Timeout: there is no runner"):
        await ann("start", app_id, timeout=0.3)

    assert await ann("list_running") == []


async def test_what_is_not_there_is_said_to_be_so(ann: User) -> None:
    with pytest.raises(Rejected, match="Server app instance not found: nobody"):
        await ann("stop", "nobody")
    await ann("stop", "nobody", raise_exception=False)
    with pytest.raises(Rejected, match="Server app instance not found: nobody"):
        await ann("get_log", "nobody")
    with pytest.raises(Rejected, match="no app called 'nothing' is installed in ann"):
        await ann.client.manager("get_service", {"client_name": "nothing", "launch": True})
    with pytest.raises(Rejected, match="no app that offers 'nothing' is installed"):
        await ann.client.manager("get_service", {"id": "nothing", "launch": True})


async def test_a_plugin_file_is_parsed_and_not_installed(ann: User) -> None:
    parsed = await ann("parse", PLUGIN)

    assert (parsed["tag"], parsed["type"], parsed["lang"]) == ("app", "window", "javascript")
    assert parsed["script"] == 'api.export({face: "app"})'
    assert await ann("list_apps") == []


async def test_the_service_is_found_by_its_name(ann: User) -> None:
    service = await ann.client.manager("get_service", "server-apps")

    assert service["id"] == "public/workspace-manager:server-apps"
    assert (service["name"], service["type"]) == ("Server Apps", "server-apps")
    assert service["config"]["require_context"] is True


async def test_the_settings_of_a_workspace_list_what_is_installed(ann: User, bob: User) -> None:
    by_hand = {"name": "made by hand", "id": "own", "tags": [], "type": "application"}
    await ann.client.manager("install_application", by_hand)
    manifest = await ann("install", SOURCE, config={"type": "window"}, app_id="adder")
    (listed,) = await ann("list_apps")

    info = await ann.client.manager("get_workspace_info")

    assert info["applications"] == {"own": by_hand, manifest["id"]: listed}
    assert (await bob.client.manager("get_workspace_info"))["applications"] == {}
    with pytest.raises(Rejected, match="Permission denied"):
        await bob.client.manager("get_workspace_info", "ann")
    await ann.client.manager("set", {**info, "description": "Ann's"})
    await ann.client.manager("create_workspace", {**info, "description": "all Ann's"}, True)
    await ann("uninstall", manifest["id"])
    left = await ann.client.manager("get_workspace_info")
    assert (left["applications"], left["description"]) == ({"own": by_hand}, "all Ann's")


async def test_a_daemon_that_is_stopped_stays_so_when_it_is_changed(
    ann: User, redis: Redis, redis_prefix: str
) -> None:
    daemon, kept = {"type": "window", "daemon": True}, Keys(redis_prefix).kept_app("ann/adder")
    await ann("install", SOURCE, config=daemon, app_id="adder")
    async with asyncio.timeout(10):
        while not (up := await ann("list_running")):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await ann("stop", up[0]["id"])

    await ann("edit", "ann/adder", source=f"{SOURCE} // more")
    await ann("rollback", "ann/adder")

    assert not await redis.exists(kept)
    with pytest.raises(Rejected, match="there is no runner"):
        await ann("start", "ann/adder", timeout=0.1)
    assert await redis.exists(kept)


@pytest.mark.parametrize(
    "query",
    ["add", "Adder", {"id": "add"}, {"client_name": "Adder"}, {"id": "add", "launch": False}],
)
async def test_who_does_not_say_launch_starts_nothing(ann: User, query: Any) -> None:
    config = {"type": "window", "name": "Adder", "services": ["add"]}
    await ann("install", SOURCE, config=config)

    assert await ann.client.manager("get_service", query) is None
    assert await ann("list_running") == []
