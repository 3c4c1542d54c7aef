"""Pages with `hyphaSSEClient`, by server-sent events; 0.5.44 is the first release that has it."""

import re
import struct
from typing import TYPE_CHECKING

import pytest

from tests.browser_client import (
    SSE_RELEASES,
    BrowserClient,
    Connection,
    JavaScriptError,
    binary,
    within,
)
from tests.conformance.python_scene import Connect, eventually
from tests.cut_streams import StreamCutter
from tests.gateways import Hub
from tests.python_client import Array, Connection as Script, Local, NewArray
from tests.raw_client import RawClient

if TYPE_CHECKING:  # a plugin, which pytest imports itself
    from tests.browser import Chromium

pytestmark = [pytest.mark.browser, pytest.mark.clients]
pytest_plugins = ["tests.browser"]

MEGABYTE = 1024 * 1024


@pytest.fixture(params=SSE_RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def page(hub: Hub, by_events: BrowserClient) -> Connection:
    return await by_events.connect(hub.first)


@pytest.fixture
async def script(hub: Hub, release: str, page: Connection, connect: Connect) -> Script:
    """A Python client in the page's workspace."""
    token = await page.token()
    python = {"0.5.48": "0.5.48.post2"}.get(release, release)  # PyPI has that one alone
    return await connect(python, hub.second, workspace=page.workspace, token=token)


@pytest.fixture
async def websocket(hub: Hub, page: Connection, javascript: BrowserClient) -> Connection:
    """A page in the same workspace, with a WebSocket."""
    return await page.invite(javascript, hub.second)


def test_releases_since_this_one_have_the_client_for_it(chromium: "Chromium") -> None:
    script = "dist/hypha-rpc-sse.min.js"
    releases = ("0.5.9", *SSE_RELEASES)
    having = [each for each in releases if (chromium.package(each) / script).exists()]

    assert having == list(SSE_RELEASES)


async def test_a_page_learns_who_it_is(page: Connection) -> None:
    info = await page.run("return await server.get_connection_info()")

    assert re.fullmatch(r"[a-z0-9]+", page.client_id)
    assert info["client_id"] == page.client_id
    assert info["user_info"]["id"] == page.workspace == info["workspace"]
    assert info["user_info"]["is_anonymous"] is True
    assert info["reconnection_token"]


async def test_a_token_is_honoured(
    hub: Hub, javascript: BrowserClient, by_events: BrowserClient
) -> None:
    """The original never looked at it."""
    host = await javascript.connect(hub.first)

    guest = await host.invite(by_events, hub.second, client_id="guest")

    assert guest.address == f"{host.workspace}/guest"
    user = (await guest.run("return await server.get_connection_info()"))["user_info"]
    assert user["parent"] == host.workspace
    assert user["scopes"] == [host.workspace]


@pytest.mark.parametrize(
    "config",
    [{"token": "nobody@imjoy@gave.me.this"}, {"workspace": "of-somebody-else"}],
    ids=["forged token", "no such workspace"],
)
async def test_a_page_that_may_not_connect_is_told_at_once(
    hub: Hub, by_events: BrowserClient, config: dict[str, str]
) -> None:
    by_events.tolerate("Failed to load resource")
    with within(2), pytest.raises(JavaScriptError, match="Event"):
        await by_events.connect(hub.first, **config)


async def test_pages_of_both_kinds_call_each_other(page: Connection, websocket: Connection) -> None:
    await page.register("events")
    await websocket.register("websocket")

    assert await websocket.call("events", "add", 20, 22) == 42
    assert await page.call("websocket", "join", "-", ["a", "b"]) == "a-b"
    websocket.page.tolerate("the dog ate it")
    with pytest.raises(JavaScriptError, match="the dog ate it"):
        await page.call("websocket", "fail", "the dog ate it")
    counted = await page.run(
        """
        const counter = await (await server.getService("websocket")).counter(10);
        return [await counter.next(), await counter.next()];
        """
    )
    assert counted == [11, 12]


async def test_a_page_and_a_script_call_each_other(page: Connection, script: Script) -> None:
    await page.register("page")
    await script["register_service"](
        {"id": "script", "add": Local("add"), "count_to": Local("count_to")}
    )

    assert await (await script["get_service"]("page"))["add"](20, 22) == 42
    assert await page.call("script", "add", 2, 3) == 5
    heard = await page.run(
        """
        const heard = [];
        const script = await server.getService("script");
        heard.push(await script.count_to(3, step => { heard.push(step); }));
        return heard.sort();
        """
    )
    assert heard == [0, 1, 2, "done"]


async def test_a_page_does_not_lose_track_of_many_calls_at_once(
    page: Connection, websocket: Connection
) -> None:
    await websocket.register("websocket")

    answers = await page.run(
        """
        const service = await server.getService("websocket");
        return await Promise.all(Array.from({ length: 100 }, (_, n) => service.echo(n)));
        """
    )

    assert answers == list(range(100))


def floats(count: int) -> bytes:
    cycle = struct.pack("<251f", *range(251))
    return (cycle * (count // 251 + 1))[: 4 * count]


async def test_large_arrays_go_both_ways(page: Connection, script: Script) -> None:
    count = 3 * MEGABYTE // 4
    await page.register("page")
    await script["register_service"]({"id": "script", "echo": Local("echo")})

    received = await page.run(
        """
        const script = await server.getService("script");
        return await script.echo(Float32Array.from({ length: count }, (_, index) => index % 251));
        """,
        time_limit=60,
        count=count,
    )
    returned = await (await script["get_service"]("page"))["echo"](NewArray("float32", (count,)))

    assert received["_rvalue"] == binary(floats(count))
    assert returned == Array("float32", (count,), binary(floats(count)).sha256)


async def test_a_page_gets_each_frame_once_though_its_streams_break(
    hub: Hub, release: str, chromium: "Chromium"
) -> None:
    """A network loses what comes by them, and cuts them off; each next one is at the other
    gateway.
    """
    client = await chromium.open(release, "hypha-rpc-sse.min.js")
    async with StreamCutter([hub.first, hub.second]) as network:
        page = await client.connect(network.url)
        await page.run(
            """
            window.heard = [];
            const log = { id: "log", config: { visibility: "public" }, note: n => heard.push(n) };
            await server.registerService(log);
            """
        )
        async with await RawClient.connect(hub.second) as sender:
            for part in range(0, 40, 10):
                await _send(sender, page, range(part, part + 5))
                await _heard(page, part + 5)
                network.lose()
                await _send(sender, page, range(part + 5, part + 10))
                await eventually(network.has_lost)
                network.cut()
                await _heard(page, part + 10)

        assert sorted(await page.run("return heard")) == list(range(40))
        assert network.opened == 5
        assert await page.run("return await server.echo('still me')") == "still me"
        await client.close()


async def _send(sender: RawClient, page: Connection, numbers: range) -> None:
    envelope = {"type": "method", "to": page.address, "method": "services.log.note"}
    for number in numbers:
        await sender.send(envelope, {"args": [number]})


async def _heard(page: Connection, many: int) -> None:
    """Wait until the page has heard so many notes."""
    await page.run(
        """
        while (heard.length < many) await new Promise(done => setTimeout(done, 10));
        """,
        many=many,
    )


async def test_large_arrays_go_from_page_to_page(page: Connection, websocket: Connection) -> None:
    await websocket.register("websocket")

    sent, received = await page.run(
        """
        const tools = await server.getService("websocket");
        return [pattern(size), await tools.echo(pattern(size))];
        """,
        size=2 * MEGABYTE,
    )

    assert received == sent


async def test_a_page_that_comes_back_to_its_client_id_has_its_place(
    hub: Hub, javascript: BrowserClient, by_events: BrowserClient
) -> None:
    """As after it was loaded anew: that it left is not said by this transport."""
    host = await javascript.connect(hub.first)
    guest = await host.invite(by_events, hub.first, client_id="page")
    await guest.disconnect()

    again = await host.invite(by_events, hub.second, client_id="page")

    assert again.client_id == "page"
    assert await again.run("return await server.echo('here')") == "here"
