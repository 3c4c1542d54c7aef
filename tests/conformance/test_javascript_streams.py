"""What functions of a page return bit by bit, read over HTTP."""

import json

import pytest

from tests.browser_client import BrowserClient, Connection
from tests.gateways import Hub
from tests.http import Answer, ask

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.browser"]

STREAMS = """
    const asStream = generator => ({
      _rtype: "generator",
      next: () => generator.next(),
      close: () => generator.return(),
    });
    window.told = [];
    await server.registerService({
      id: "streams",
      config: { visibility: "public" },
      count({ number }) {
        return asStream((async function* () {
          try {
            for (let item = 0; item < number; item++) yield { number: item };
          } finally {
            window.told.push("ended");
          }
        })());
      },
      fail() {
        return asStream((async function* () { yield 1; throw new Error("it fails"); })());
      },
      file: ({ size }) => new Blob(["x".repeat(size)]),
    });
"""


@pytest.fixture
async def page(hub: Hub, javascript: BrowserClient) -> Connection:
    connection = await javascript.connect(hub.first)
    await connection.run(STREAMS)
    return connection


async def get(hub: Hub, page: Connection, path: str, accept: str = "*/*") -> Answer:
    return await ask(f"{hub.second}/{page.workspace}/services/streams/{path}", Accept=accept)


async def test_a_generator_is_sent_in_the_form_that_is_asked_for(
    hub: Hub, page: Connection
) -> None:
    lines = await get(hub, page, "count?number=3")
    events = await get(hub, page, "count?number=2", "text/event-stream")

    assert lines.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["number"] for line in lines.body.splitlines()] == [0, 1, 2]
    assert events.body == b'data: {"number":0}\n\ndata: {"number":1}\n\n'
    assert await page.run("return window.told") == ["ended", "ended"]


async def test_a_failure_in_the_middle_is_an_event(
    hub: Hub, page: Connection, javascript: BrowserClient
) -> None:
    javascript.tolerate("it fails")

    events = await get(hub, page, "fail", "text/event-stream")

    assert events.body.startswith(b"data: 1\n\nevent: error\ndata: ")
    assert b"it fails" in events.body


async def test_a_blob_is_sent_as_it_is(hub: Hub, page: Connection) -> None:
    answer = await get(hub, page, "file?size=1000000")

    assert answer.body == b"x" * 1_000_000
