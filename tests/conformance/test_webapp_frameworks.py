"""Applications of FastAPI, as under Pyodide and current, of Flask and of Django."""

import asyncio
import json
import re
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from websockets.asyncio.client import connect as open_websocket

from tests.client_environments import environment
from tests.gateways import SECOND, Hub
from tests.http import Answer, ask
from tests.webapps import LIMIT, Provider

if TYPE_CHECKING:  # a plugin, which pytest imports itself
    from tests.browser import Chromium

pytest_plugins = ["tests.browser"]
pytestmark = pytest.mark.clients

FAST = {"fast": "public"}
CURRENT = {**FAST, "flask": "public", "django": "public"}
JSON = {"Content_Type": "application/json"}

WEBAPPS = Path(__file__).parents[2] / "docs" / "webapps.md"


class Site:
    """Applications, and where to ask for them: at the other gateway."""

    def __init__(self, provider: Provider, url: str) -> None:
        self.provider = provider
        self.path = f"/{provider.workspace}/apps"
        self.base = f"{url}{self.path}"

    async def get(self, path: str, **headers: str) -> Answer:
        return await ask(f"{self.base}/{path}", **headers)


async def sites(hub: Hub, kind: str, services: dict[str, str]) -> AsyncIterator[Site]:
    program = "framework_program.py"
    async with Provider(hub.first, kind, program, services) as provider:
        yield Site(provider, hub.second)


@pytest.fixture(params=["frameworks-2021", "frameworks-current"])
async def fast(request: pytest.FixtureRequest, hub: Hub) -> AsyncIterator[Site]:
    async for site in sites(hub, request.param, FAST):
        yield site


@pytest.fixture
async def current(hub: Hub) -> AsyncIterator[Site]:
    async for site in sites(hub, "frameworks-current", CURRENT):
        yield site


async def test_the_program_of_the_docs_serves_fastapi(hub: Hub, tmp_path: Path) -> None:
    pattern = r"Save this as `fast_site\.py`:\n\n```python\n(.*?)^```$"
    (source,) = re.findall(pattern, WEBAPPS.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    program = tmp_path / "fast_site.py"
    program.write_text(source.replace("http://localhost:9000", hub.first), encoding="utf-8")
    running = await asyncio.create_subprocess_exec(
        *(environment("frameworks-current").make(), "-u", program),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert running.stdout
        printed = await asyncio.wait_for(running.stdout.readline(), LIMIT)
        url = printed.decode().strip()

        assert (await ask(url)).value == {"hello": "world"}
        assert (await ask(f"{url}docs")).status == 200
    finally:
        running.kill()
        await running.wait()


async def test_fastapi_finds_its_routes_files_and_redirects(fast: Site) -> None:
    item = await fast.get("fast/items/5?query=a%20b")
    file = await fast.get("fast/static/page.txt")
    slashed = await fast.get("fast/slashed")
    missing = await fast.get("fast/missing")

    assert item.value == {"number": 5, "query": "a b"}
    assert file.body == b"from a file"
    assert slashed.value == "slashed"
    assert missing.status == 404
    assert (await fast.get("fast/items/five")).status == 422


async def test_fastapi_fails_and_documents_itself(fast: Site) -> None:
    openapi = (await fast.get("fast/openapi.json")).value

    assert "/items/{number}" in openapi["paths"]
    assert (await fast.get("fast/docs")).status == 200
    assert (await fast.get("fast/fail")).status == 500


async def test_links_of_a_current_fastapi_lead_back_to_it(current: Site) -> None:
    link = (await current.get("fast/")).value["link"]

    assert link == f"{current.base}/fast/items/7"
    assert (await ask(link)).value["number"] == 7
    assert (await current.get("fast/old")).value["number"] == 1


async def test_fastapi_reads_a_body_and_cookies(fast: Site) -> None:
    url = f"{fast.base}/fast/body"

    answer = await ask(url, json.dumps({"x": [1]}).encode(), Cookie="a=b", **JSON)

    assert answer.value == {"body": {"x": [1]}, "cookie": "b"}


async def test_fastapi_streams_until_the_browser_leaves(fast: Site) -> None:
    def read_some() -> list[bytes]:
        with urllib.request.urlopen(f"{fast.base}/fast/stream", timeout=30 * SECOND) as answer:
            return [answer.readline() for _ in range(3)]

    assert await asyncio.to_thread(read_some) == [b"0\n", b"1\n", b"2\n"]
    assert await fast.provider.notice("stream ended")


async def test_what_fastapi_does_after_its_answer_is_done(fast: Site) -> None:
    assert (await fast.get("fast/background")).value == "answered"
    assert await fast.provider.notice("background done")


async def test_fastapi_talks_over_a_websocket(fast: Site) -> None:
    url = f"{fast.base}/fast/socket".replace("http", "ws", 1)
    async with open_websocket(url) as socket:
        await socket.send(json.dumps({"a": 1}))
        assert json.loads(await socket.recv()) == {"got": {"a": 1}}

    assert (await fast.provider.notice("socket closed"))["code"] == 1000


@pytest.mark.browser
async def test_a_page_of_fastapi_works_in_a_browser(current: Site, chromium: "Chromium") -> None:
    visit = await chromium.visit(current.base.removesuffix(current.path))
    try:
        assert await visit.go(f"{current.path}/fast/page") == 200
        await visit.until("document.getElementById('events').textContent === '123'")
        await visit.until("document.getElementById('socket').textContent !== ''")
        answered = json.loads(await visit.text("#socket"))
        await visit.do(lambda page: page.click("a"))
        await visit.until("document.body.textContent.includes('number')")

        assert answered == {"got": {"said": "hello"}}
        assert json.loads(await visit.text("body"))["number"] == 7
        assert visit.complaints == []
        assert visit.foreign == []
    finally:
        await visit.close()


async def test_flask_is_served_by_an_adapter(current: Site) -> None:
    index = (await current.get("flask/?a=b")).value
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    posted = await ask(f"{current.base}/flask/form", b"a=1&b=2", **form)
    stream = await current.get("flask/stream")

    assert index == {"link": f"{current.path}/flask/", "query": "b"}
    assert posted.value == {"a": "1", "b": "2"}
    assert stream.body.splitlines()[-1] == b"999"


async def test_django_is_served(current: Site) -> None:
    answer = (await current.get("django/?a=b")).value

    assert answer == {"path": f"{current.path}/django/", "query": "b"}
