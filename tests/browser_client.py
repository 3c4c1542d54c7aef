"""Drives one release of the JavaScript client in one page of the browser."""

import asyncio
import hashlib
import json
import re
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from playwright.async_api import ConsoleMessage, Page

from tests.gateways import SECOND

T = TypeVar("T")

SSE_RELEASES = ("0.5.44", "0.5.48", "0.5.59")  # that are tried by server-sent events

# What the page knows beside the client: a set of functions to register, and a way to tell Python,
# which only reads JSON, what a value is.
HARNESS = """
window.servers = {};

// A function belongs to one service only: the client remembers which.
window.functions = () => ({
  echo: async value => value,
  add: (a, b) => a + b,
  join: (separator, parts) => parts.join(separator),
  fail: async message => { throw new Error(message); },
  numbered: async (callback, count) => {
    const answers = [];
    for (let index = 0; index < count; index++) answers.push(await callback(index));
    return answers;
  },
  counter: async start => ({ next: async () => ++start }),
  context: async (...args) => args[args.length - 1],
  slow: seconds => new Promise(done => setTimeout(() => done("finished"), seconds * 1000)),
  describe: value => describe(value),
  pattern: async size => pattern(size),
});

window.connect = async config => {
  const client = window.hyphaWebsocketClient ?? window.hyphaSSEClient;
  const server = await client.connectToServer(config);
  servers[server.rpc._client_id] = server;
  // A client that leaves before it has its reconnection token comes back to fetch it.
  while (!server.rpc._connection_info) await new Promise(done => setTimeout(done, 5));
  return { workspace: server.config.workspace, client_id: server.rpc._client_id };
};

window.disconnect = async name => {
  await servers[name].disconnect();
  // Nobody will answer any more: let no timer complain of it in a later test.
  const forget = store => Object.values(store).forEach(item => {
    if (item?.constructor !== Object) return;
    item.timer?.clear();
    forget(item);
  });
  forget(servers[name].rpc._object_store);
  delete servers[name];
};

window.pattern = size => {
  const bytes = new Uint8Array(size);
  for (let index = 0; index < size; index++) bytes[index] = index % 251;
  return bytes;
};

window.describe = async value => {
  if (value === undefined || value === null) return null;
  if (["boolean", "string"].includes(typeof value) || Number.isFinite(value)) return value;
  const tagged = content => ({ "": value.constructor.name, content });
  if (typeof value === "number") return tagged(String(value));
  if (typeof value === "function") return tagged(null);
  if (value instanceof Error) return tagged(value.message);
  if (value instanceof Date) return tagged(value.toISOString());
  if (value instanceof Blob) return tagged([value.type, await binary(await value.arrayBuffer())]);
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return binary(value);
  if (value instanceof Set || value instanceof Map) return tagged(await describe([...value]));
  if (Array.isArray(value)) return Promise.all(value.map(describe));
  const entries = Object.entries(value).map(async ([key, item]) => [key, await describe(item)]);
  return Object.fromEntries(await Promise.all(entries));
};

const binary = async value => {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", value));
  const sha256 = Array.from(digest, byte => byte.toString(16).padStart(2, "0")).join("");
  return { "": value.constructor.name, length: value.length ?? value.byteLength, sha256 };
};

window.run = async ([body, names, values]) => {
  try {
    const AsyncFunction = (async () => {}).constructor;
    const result = await new AsyncFunction(...names, body)(...values);
    return JSON.stringify({ result: await describe(result) });
  } catch (error) {
    return JSON.stringify({ error: String(error?.message ?? error) });
  }
};
"""


class JavaScriptError(Exception):
    """What a rejected promise of the JavaScript client said."""


class Binary(NamedTuple):
    """A typed array or a buffer: its class, its length in elements, and a digest of its bytes."""

    type: str
    length: int
    sha256: str


class Tagged(NamedTuple):
    """Any other value that JSON has no word for: its class and what it holds."""

    type: str
    content: Any


def binary(content: bytes, type_: str = "Uint8Array", item_size: int = 1) -> Binary:
    """What a page says of these bytes."""
    return Binary(type_, len(content) // item_size, hashlib.sha256(content).hexdigest())


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Nobody should wait longer than this."""
    started = time.monotonic()
    yield
    elapsed = time.monotonic() - started
    if elapsed > seconds * SECOND:
        raise AssertionError(f"it took {elapsed:.1f} s, not {seconds * SECOND:g}")


class LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def start(self) -> None:
        self._thread.start()

    def wait(self, step: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(step, self._loop).result(60 * SECOND)

    async def run(self, step: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(step, self._loop))

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class BrowserClient:
    """One page with one release loaded; it may have several connections."""

    def __init__(self, loop: LoopThread, page: Page, release: str) -> None:
        self.release = release
        self.errors: list[str] = []
        self._loop = loop
        self._page = page
        self._tolerated: list[str] = []
        self._connections: list[Connection] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    @property
    def page(self) -> Page:
        """For what a test does by itself, in the browser's event loop."""
        return self._page

    async def prepare(self) -> None:
        """Add the harness to the page, now and whenever it is loaded again."""
        await self._page.add_script_tag(content=HARNESS)
        await self._page.add_init_script(HARNESS)

    async def connect(self, server_url: str, **config: Any) -> "Connection":
        """Connect with what `connectToServer` takes: client_id, workspace, token and more."""
        config["server_url"] = server_url
        connected = await self.run("return await connect(config)", config=config)
        connection = Connection(self, connected["client_id"], connected["workspace"])
        self._connections.append(connection)
        return connection

    async def run(self, body: str, time_limit: float = 30, **values: Any) -> Any:
        """Run the body of an async function, with the values as its variables."""
        call = [body, list(values), list(values.values())]
        async with asyncio.timeout(time_limit * SECOND):
            answer = await self._loop.run(self._page.evaluate("call => run(call)", call))
        outcome = json.loads(answer, object_hook=_untagged)
        if "error" in outcome:
            raise JavaScriptError(outcome["error"])
        return outcome["result"]

    def tolerate(self, pattern: str) -> None:
        """Let the page write such errors to its console until the test ends."""
        self._tolerated.append(pattern)

    async def tidy(self) -> None:
        """Leave the page as it was, and complain of the errors that it showed meanwhile."""
        for connection in self._connections:
            await connection.disconnect()
        self._connections.clear()
        unexpected = [
            error
            for error in self.errors
            if not any(re.search(pattern, error) for pattern in self._tolerated)
        ]
        self.errors.clear()
        self._tolerated.clear()
        if unexpected:
            raise AssertionError(f"{self.release} wrote to the console: {unexpected}")

    async def reload(self) -> None:
        """Load the page again, which ends the connections that it had."""
        self._connections.clear()
        await self._loop.run(self._reload())

    async def _reload(self) -> None:
        await self._page.reload()

    async def close(self) -> None:
        """Close the page as a person closes a tab."""
        self._connections.clear()
        await self._loop.run(self.shut())

    async def shut(self) -> None:
        """The same, from the browser's own loop."""
        await self._page.close()

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)


class Connection:
    """A client in a page, as its user sees it."""

    def __init__(self, page: BrowserClient, client_id: str, workspace: str) -> None:
        self.page = page
        self.client_id = client_id
        self.workspace = workspace
        self._connected = True

    @property
    def address(self) -> str:
        return f"{self.workspace}/{self.client_id}"

    async def run(self, body: str, time_limit: float = 30, **values: Any) -> Any:
        """Run JavaScript in which `server` is what `connectToServer` returned."""
        body = f"const server = servers[client_id];\n{body}"
        return await self.page.run(body, time_limit, client_id=self.client_id, **values)

    async def register(self, service_id: str, overwrite: bool | None = None, **more: Any) -> Any:
        """Register the functions of the harness as a service."""
        body = """
            const service = { id: service_id, ...functions(), ...more };
            if (overwrite === null) return await server.registerService(service);
            return await server.registerService(service, { overwrite, _rkwargs: true });
        """
        return await self.run(body, service_id=service_id, overwrite=overwrite, more=more)

    async def unregister(self, service_id: str) -> None:
        await self.run("await server.rpc.unregister_service(service_id)", service_id=service_id)

    async def list(self, query: Any = None) -> Any:
        # The client adds no argument of its own, and some releases cannot send null.
        return await self.run("return await server.listServices(...query)", query=_given(query))

    async def get(self, query: Any) -> Any:
        return await self.run("return await server.getService(query)", query=query)

    async def call(self, query: Any, function: str, *arguments: Any, time_limit: float = 30) -> Any:
        body = """
            const service = await server.getService(query);
            return await service[name](...args);
        """
        return await self.run(body, time_limit, query=query, name=function, args=arguments)

    async def token(self) -> str:
        """A token for the connection's workspace."""
        return str(await self.run("return await server.generateToken()"))

    async def invite(self, page: BrowserClient, server_url: str, **config: Any) -> "Connection":
        """Let a page join this connection's workspace."""
        token = await self.token()
        return await page.connect(server_url, workspace=self.workspace, token=token, **config)

    async def disconnect(self) -> None:
        if self._connected:
            self._connected = False
            await self.run("await disconnect(client_id)")


def _given(argument: Any) -> list[Any]:
    return [] if argument is None else [argument]


def _untagged(value: dict[str, Any]) -> Any:
    if "" not in value:
        return value
    if "sha256" in value:
        return Binary(value[""], value["length"], value["sha256"])
    return Tagged(value[""], value["content"])
