"""A page serves web applications, and functions that answer."""

import json
import urllib.parse
from typing import Any

import pytest
from websockets.asyncio.client import connect as open_websocket
from websockets.typing import Subprotocol

from tests.browser_client import BrowserClient, Connection
from tests.gateways import Hub
from tests.http import Answer, ask

pytestmark = pytest.mark.browser
pytest_plugins = ["tests.browser"]

SERVICES = """
    const bytes = text => new TextEncoder().encode(text);
    const header = (name, value) => [bytes(name), bytes(value)];
    const told = [];
    window.told = told;

    const start = (send, status, ...headers) =>
      send({ type: "http.response.start", status, headers });
    const body = (send, body, more_body = false) =>
      send({ type: "http.response.body", body, more_body });

    const pages = {
      async index(scope, receive, send) {
        await start(send, 200, header("content-type", "text/plain"));
        await body(send, bytes("from a page"));
      },
      async scope(scope, receive, send) {
        const text = JSON.stringify(scope, (key, value) =>
          value instanceof Uint8Array ? `b'${new TextDecoder().decode(value)}'` : value);
        await start(send, 200);
        await body(send, bytes(text));
      },
      async size(scope, receive, send) {
        let size = 0, message;
        do {
          message = await receive();
          size += message.body.length;
        } while (message.more_body);
        await start(send, 200);
        await body(send, bytes(String(size)));
      },
      // Everything in an unusual form.
      async odd(scope, receive, send) {
        await start(send, 201, ["X-Text", "text"]);
        await body(send, "text ", true);
        await body(send, bytes("bytes ").buffer, true);
        await body(send, new Uint16Array(bytes("words!").buffer), true);
        await body(send, null);
      },
      async large(scope, receive, send) {
        await start(send, 200);
        await body(send, new Uint8Array(5_000_000).fill(120));
      },
      async fail() { throw new Error("it fails"); },
      async left(scope, receive, send) {
        await start(send, 200);
        await body(send, bytes("begun"), true);
        while ((await receive()).type !== "http.disconnect");
        told.push("left");
      },
    };

    const serve = async ({ scope, receive, send }) => {
      if (scope.type === "http") {
        await pages[scope.path.replaceAll("/", "") || "index"](scope, receive, send);
        return;
      }
      await receive();
      await send({ type: "websocket.accept", subprotocol: scope.subprotocols[0] });
      for (let message; (message = await receive()).type === "websocket.receive"; )
        await send({ type: "websocket.send", text: message.text, bytes: message.bytes });
      told.push("closed");
    };
    const config = { visibility: "public" };
    await server.registerService({ id: "site", type: "ASGI", config, serve });
    await server.registerService({
      id: "tools",
      type: "functions",
      config,
      index: async event => ({ body: `hello ${event.method}` }),
      event: async event => ({ headers: { "Content-Type": "application/json" }, body:
        JSON.stringify({ ...event, body: event.body && new TextDecoder().decode(event.body) }) }),
      typed: async () => ({ body: new Uint8Array([1, 2, 3]) }),
      buffer: async () => ({ body: new Uint8Array([1, 2, 3]).buffer }),
      object: async () => ({ body: { a: [1] } }),
      empty: async () => ({ status: 200, headers: { "X-A": "b" } }),
      fail: async () => { throw new Error("it fails"); },
    });
"""


@pytest.fixture
async def site(hub: Hub, javascript: BrowserClient) -> tuple[Connection, str]:
    """A page that serves on one gateway; where to ask for what it serves: at the other."""
    connection = await javascript.connect(hub.first)
    await connection.run(SERVICES)
    return connection, f"{hub.second}/{connection.workspace}/apps"


Site = tuple[Connection, str]


async def get(site: Site, path: str, data: bytes | None = None, **headers: str) -> Answer:
    return await ask(f"{site[1]}/{path}", data, **headers)


async def test_a_page_is_an_asgi_application(site: Site) -> None:
    assert (await get(site, "site/")).body == b"from a page"
    assert (await get(site, "site/size", b"x" * 2_000_000)).body == b"2000000"
    assert (await get(site, "site/large")).body == b"x" * 5_000_000


async def test_it_is_told_all_of_a_request(site: Site) -> None:
    connection, base = site
    root = f"{urllib.parse.urlsplit(base).path}/site"

    scope: dict[str, Any] = (await get(site, "site/scope?a=b", X_One="1")).value

    assert ["b'x-one'", "b'1'"] in scope["headers"]
    assert scope["path"] == "/scope"
    assert scope["root_path"] == root
    assert scope["raw_path"] == f"b'{root}/scope'"
    assert scope["query_string"] == "b'a=b'"
    assert scope["context"]["ws"] == connection.workspace


async def test_it_may_answer_in_every_form_that_javascript_has(site: Site) -> None:
    answer = await get(site, "site/odd")

    assert (answer.status, answer.headers["x-text"]) == (201, "text")
    assert answer.body == b"text bytes words!"


async def test_its_failure_is_a_failure(site: Site, javascript: BrowserClient) -> None:
    javascript.tolerate("it fails")
    assert (await get(site, "site/fail")).status == 500
    assert (await get(site, "tools/fail")).status == 500


async def test_a_websocket_goes_to_the_page(site: Site) -> None:
    url = f"{site[1]}/site/".replace("http", "ws", 1)
    async with open_websocket(url, subprotocols=[Subprotocol("chat")]) as socket:
        await socket.send("text")
        await socket.send(b"bytes")
        assert [await socket.recv(), await socket.recv()] == ["text", b"bytes"]
        assert socket.subprotocol == "chat"

    while await site[0].run("return told") != ["closed"]:
        pass


async def test_a_page_offers_functions(site: Site) -> None:
    assert (await get(site, "tools/")).body == b"hello GET"
    assert (await get(site, "tools/typed")).body == b"\1\2\3"
    assert (await get(site, "tools/buffer")).body == b"\1\2\3"
    assert (await get(site, "tools/object")).value == {"a": [1]}
    empty = await get(site, "tools/empty")
    assert (empty.status, empty.body, empty.headers["x-a"]) == (200, b"", "b")


async def test_its_functions_get_an_event(site: Site) -> None:
    answer = await get(site, "tools/event?a=b", b"content")

    event = json.loads(answer.body)
    assert event["body"] == "content"
    assert event["query_string"] == "a=b"
    assert event["context"]["user"] is None
