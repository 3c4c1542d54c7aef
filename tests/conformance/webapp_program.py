"""A provider of web applications: runs inside an environment with one release of imjoy-rpc.

Its only argument is its configuration as JSON; it says on its first line where it is, and on each
other line what its applications notice.
"""

import asyncio
import io
import json
import sys
from collections.abc import Callable
from types import AsyncGeneratorType
from typing import Any

from imjoy_rpc.hypha import connect_to_server

Json = dict[str, Any]
Way = Callable[..., Any]


def tell(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


# An ASGI application without a framework. Its paths say what it does.


async def application(scope: Json, receive: Way, send: Way) -> None:
    if scope["type"] == "websocket":
        await talk(scope, receive, send)
        return
    name = scope["path"].strip("/") or "index"
    await PAGES.get(name, missing)(scope, receive, send)


async def start(send: Way, status: int = 200, *headers: Any) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


async def body(send: Way, content: Any = b"", more: bool = False) -> None:
    await send({"type": "http.response.body", "body": content, "more_body": more})


async def missing(scope: Json, receive: Way, send: Way) -> None:
    await start(send, 404, [b"content-type", b"text/plain"])
    await body(send, b"the application has no such page")


async def index(scope: Json, receive: Way, send: Way) -> None:
    await start(send, 200, [b"content-type", b"text/plain"])
    await body(send, b"index of " + IDENTITY.encode())


async def show(scope: Json, receive: Way, send: Way) -> None:
    """Say what the scope is, bytes as `repr` has them."""
    await start(send, 200, [b"content-type", b"application/json"])
    await body(send, json.dumps(scope, default=repr).encode())


async def size(scope: Json, receive: Way, send: Way) -> None:
    """Read the whole body, slowly if `?slow` is asked for, and count it."""
    total, many, more = 0, 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            tell(event="disconnect", after=total)
            return
        total += len(message["body"])
        many += 1
        more = message["more_body"]
        if b"slow" in scope["query_string"]:
            await asyncio.sleep(0.01)
    await start(send)
    await body(send, json.dumps([total, many]).encode())


async def cookies(scope: Json, receive: Way, send: Way) -> None:
    await start(send, 200, [b"set-cookie", b"a=1"], [b"set-cookie", b"b=2"])
    await body(send, b"two cookies")


async def drip(scope: Json, receive: Way, send: Way) -> None:
    """Send pieces for ever, a few in a second, until nobody takes them."""
    await start(send, 200, [b"content-type", b"text/plain"])
    try:
        for number in range(1_000):
            await body(send, b"%d\n" % number, more=True)
            await asyncio.sleep(0.1)
    except Exception as error:  # noqa: BLE001  # whatever a release raises
        tell(event="send failed", error=str(error))


async def wait(scope: Json, receive: Way, send: Way) -> None:
    """Begin an answer, and wait for the browser to leave."""
    await start(send)
    await body(send, b"begun\n", more=True)
    while (await receive())["type"] != "http.disconnect":
        pass
    tell(event="disconnect")


async def large(scope: Json, receive: Way, send: Way) -> None:
    """Send what is asked for in one piece."""
    await start(send)
    await body(send, b"x" * int(scope["query_string"]))


async def pump(scope: Json, receive: Way, send: Way) -> None:
    """Send what is asked for in many pieces."""
    await start(send)
    for _ in range(int(scope["query_string"]) // 65_536):
        await body(send, b"x" * 65_536, more=True)
    await body(send)


async def nap(scope: Json, receive: Way, send: Way) -> None:
    await asyncio.sleep(float(scope["query_string"]))
    await start(send)
    await body(send, b"slept")


async def early(scope: Json, receive: Way, send: Way) -> None:
    raise ValueError("it fails before it answers")


async def late(scope: Json, receive: Way, send: Way) -> None:
    await start(send)
    await body(send, b"begun", more=True)
    raise ValueError("it fails after it has begun")


async def silent(scope: Json, receive: Way, send: Way) -> None:
    """Return without an answer."""


async def text(scope: Json, receive: Way, send: Way) -> None:
    """Answer with texts where bytes are usual."""
    await start(send, 200, ["Content-Type", "text/plain; charset=utf-8"])
    await body(send, "grüß")


async def split(scope: Json, receive: Way, send: Way) -> None:
    """Try to have two headers for one."""
    try:
        await start(send, 200, [b"x-a", b"1\r\nx-b: 2"])
    except Exception as error:  # noqa: BLE001  # whatever a release raises
        await start(send, 200)
        await body(send, str(error).encode())


async def die(scope: Json, receive: Way, send: Way) -> None:
    import os

    os._exit(1)


PAGES: dict[str, Way] = {
    page.__name__: page
    for page in (
        index, show, size, cookies, drip, wait, large, pump, nap, early, late, silent, text, split,
        die,
    )
}  # fmt: skip


async def talk(scope: Json, receive: Way, send: Way) -> None:
    """Echo what comes; `?deny` and `?fail` say otherwise."""
    assert (await receive())["type"] == "websocket.connect"
    if scope["query_string"] == b"deny":
        await send({"type": "websocket.close", "code": 4403})
        return
    subprotocol = (scope["subprotocols"] or [None])[0]
    await send({"type": "websocket.accept", "subprotocol": subprotocol})
    if scope["query_string"] == b"fail":
        raise ValueError("it fails after it has accepted")
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            tell(event="websocket closed", code=message["code"])
            return
        if message.get("text") == "close":
            await send({"type": "websocket.close", "code": 4000, "reason": "as you like"})
            return
        content = {key: message[key] for key in ("text", "bytes") if message.get(key) is not None}
        await send({"type": "websocket.send", **content})


async def serve(interface: Json) -> None:
    await application(interface["scope"], interface["receive"], interface["send"])


# Functions.


def functions() -> Json:
    async def hello(event: Json) -> Json:
        return {"status": 200, "headers": {"X-Name": "hello"}, "body": "hello"}

    async def show(event: Json) -> Json:
        return {"body": {key: plain(value) for key, value in event.items()}}

    async def length(event: Json) -> Json:
        return {"body": str(len(event["body"] or b""))}

    async def give(event: Json) -> Any:
        return RESULTS[event["query_string"]]

    async def fail(event: Json) -> Json:
        raise ValueError("the function fails")

    return {"index": hello, "show": show, "length": length, "give": give, "fail": fail, "n": 5}


def plain(value: Any) -> Any:
    return repr(value) if isinstance(value, bytes) else value


RESULTS: dict[str, Any] = {
    "nothing": None,
    "text": "text",
    "bad-status": {"status": "200"},
    "no-content": {"status": 204},
    "no-body": {"status": 200, "headers": {"x": "y"}},
    "dict": {"body": {"a": 1}},
    "bytes": {"body": b"\0\1"},
    "memoryview": {"body": memoryview(b"\0\1")},
    "page": {"body": "<!doctype html>"},
    "teapot": {"status": 418, "body": "teapot"},
}


def with_context() -> Json:
    async def who(event: Json, context: Any = None) -> Json:
        return {"body": {"context": context["user"], "event": event["context"]["user"]}}

    return {"who": who}


# Functions that return streams; clients have no codec for generators of their own.


def generator_codec() -> Json:
    def encode(generator: Any) -> Json:
        async def following() -> Json:
            try:
                return {"value": await generator.__anext__()}
            except StopAsyncIteration:
                return {"done": True}

        return {"next": following, "close": generator.aclose}

    return {"name": "generator", "type": AsyncGeneratorType, "encoder": encode}


def streams() -> Json:
    async def count(number: int, pause: float = 0.0) -> Any:
        async def numbers() -> Any:
            try:
                for each in range(number):
                    yield {"number": each}
                    await asyncio.sleep(pause)
            finally:
                tell(event="stream ended")

        return numbers()

    async def break_off() -> Any:
        async def numbers() -> Any:
            yield 1
            raise ValueError("no second one")

        return numbers()

    def file(size: int) -> Any:
        return io.BytesIO(b"x" * size)

    def text() -> Any:
        return io.StringIO("grüß\ndich")

    return {"count": count, "break_off": break_off, "file": file, "text": text}


IDENTITY = ""


def services() -> list[Json]:
    return [
        {"id": "plain", "type": "ASGI", "serve": serve},
        {"id": "funcs", "type": "functions", **functions()},
        {"id": "streams", "type": "generic", **streams()},
        {"id": "context", "type": "functions", "require_context": True, **with_context()},
    ]


async def main(config: Json, services: list[Json]) -> None:
    global IDENTITY  # of this process, which has one
    server = await connect_to_server(config["connect"])
    info = await server.get_connection_info()
    IDENTITY = info["client_id"]
    server.register_codec(generator_codec())
    offered = {service["id"]: service for service in services}
    for wanted, visibility in config["services"].items():
        service = offered[wanted]
        context = service.pop("require_context", False)
        flags = service.pop("flags", [])
        settings = {"visibility": visibility, "require_context": context, "flags": flags}
        await server.register_service({**service, "config": settings})
    token = await server.generate_token()
    tell(workspace=info["workspace"], client_id=IDENTITY, token=token, user=info["user_info"])
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1]), services()))
