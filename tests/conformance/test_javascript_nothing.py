"""`null`, `undefined` and NaN among what pages pass and return, by either way in."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from tests.browser_client import BrowserClient, Connection
from tests.gateways import Hub

if TYPE_CHECKING:
    from tests.browser import Chromium

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.browser"]

BY_EVENTS = "hypha-rpc-sse.min.js"
WAYS = {
    **{
        release: (release, "hypha-rpc-websocket.min.js")
        for release in ("0.5.9", "0.5.44", "0.5.59")
    },
    **{f"{release} by events": (release, BY_EVENTS) for release in ("0.5.44", "0.5.59")},
}
NEWEST = "0.5.59"
NOTHING = {
    "no value": "[undefined]",
    "no value among others": "[1, undefined, 2]",
    "null in an object": "[{ a: null, b: [null, { c: null }] }]",
    "null in a list": "[[null, [null]]]",
    "no value in an object": "[{ a: undefined, b: [undefined] }]",
    "no number": "[NaN, { a: NaN, b: [-Infinity] }]",
}
TOOLS = """
    const tools = { id: "tools", same: (...args) => args, nothing: () => null };
    await server.registerService(tools);
"""


@pytest.fixture(params=WAYS)
async def page(
    request: pytest.FixtureRequest, chromium: "Chromium"
) -> AsyncIterator[BrowserClient]:
    page = await chromium.open(*WAYS[request.param])
    yield page
    await page.tidy()
    await page.close()


@pytest.fixture
async def caller(hub: Hub, chromium: "Chromium", page: BrowserClient) -> AsyncIterator[Connection]:
    """A client at the second node; a colleague at the first one has what it calls."""
    other = await chromium.open(NEWEST)
    provider = await other.connect(hub.first)
    await provider.run(TOOLS)
    yield await provider.invite(page, hub.second)
    await other.tidy()
    await other.close()


async def test_what_is_nothing_arrives_as_nothing(caller: Connection) -> None:
    for name, args in NOTHING.items():
        sent, received = await caller.run(
            f"""
            const make = () => ({args});
            const tools = await server.getService("tools");
            return [make(), await tools.same(...make())];
            """
        )
        assert received == sent, name


async def test_an_answer_may_be_null(caller: Connection) -> None:
    assert await caller.call("tools", "nothing") is None


async def test_null_by_itself_is_an_argument_but_for_the_newest_client(caller: Connection) -> None:
    """0.5.59 fails at it before it sends anything, and tells its console alone."""
    said, has_sent = await caller.run(
        """
        const tools = await server.getService("tools");
        const emit = server.rpc._emit_message;
        let sent = 0;
        server.rpc._emit_message = (...args) => { sent += 1; return emit.apply(server.rpc, args); };
        const failed = new Promise(done => {
          const told = event => { event.preventDefault(); done(String(event.reason)); };
          addEventListener("unhandledrejection", told, { once: true });
        });
        const answered = tools.same(null, 1).then(JSON.stringify);
        const said = await Promise.race([answered, failed]);
        server.rpc._emit_message = emit;
        return [said, sent > 0];
        """
    )

    if caller.page.release == NEWEST:
        assert (said, has_sent) == (
            "TypeError: Cannot read properties of null (reading '_rintf')",
            False,
        )
    else:
        assert (said, has_sent) == ("[null,1]", True)
