"""What a stranger makes a gateway keep and do for each byte sent, by every route and function.

Frames, messages in chunks and arguments are in tests/unit/test_strangers.py. The routes are those
of the tables, so whoever adds one is told here too if it costs more than others; the functions are
those of all services that the hub offers. What lasts has tests of its own: event streams, and what
goes through the hub to web applications.
"""

import asyncio
import gc
import re
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import connect as open_websocket

from hypha_cluster.config import Config
from hypha_cluster.features.built_in import BUILT_IN
from hypha_cluster.features.launcher.terms import LauncherSettings
from hypha_cluster.identity.access import Identity
from tests.gateways import SECOND
from tests.http_optional_routes import OPTIONAL_ROWS, TOOLS
from tests.http_routes import ROWS
from tests.http_row import Row
from tests.in_process import served
from tests.raw_client import RawClient, Rejected, call_envelope, frame
from tests.sse_client import SseClient
from tests.token_rig import SECRET, token_of
from tests.webapps import Provider

ANN: Final = Identity("ann", is_anonymous=False, email="ann@example.org")
TIMES: Final = 4  # how often each is asked, with other names each time
TRIES: Final = 2
MORE_TRIES: Final = 10
KEPT: Final = 2.0  # bytes that stay for each that was sent
SLACK: Final = 60_000  # bytes that the interpreter itself moves
WORK: Final = 10.0  # times the work of an ordinary request or call
# A password is hashed, which takes 50 ms; wrong ones are counted (see ATTEMPTS).
COSTLY: Final = {("/login/sign-in", "POST"): 2_000.0}
# It starts an app, and looks until it runs, which it never does here.
COSTLY_FUNCTIONS: Final = {"server-apps.launch": 200.0}
NAME: Final = 250
LARGE: Final = 25_000  # bytes that may take as much work as a request of nothing
PATIENCE: Final = 2 * SECOND

# WebSockets have rows of their own here: to a request without an upgrade they are not there.
HANDSHAKES: Final = {"/ws", "/{workspace}/apps/{service}"}


class Lab(NamedTuple):
    """A gateway in this process, and somebody who offers services and an app there."""

    url: str
    provider: RawClient
    app: str


@pytest.fixture
async def lab(valkey_url: str, redis_prefix: str) -> AsyncIterator[Lab]:
    config = Config(port=0, jwt_secret=SECRET, redis_url=valkey_url, redis_prefix=redis_prefix)
    chosen = LauncherSettings(enable_server_apps=True, app_runners="elsewhere")
    features = [
        (kind, chosen if kind.Settings is LauncherSettings else kind.Settings())
        for kind in BUILT_IN
    ]
    async with (
        served(config, features) as (url, _),
        await RawClient.connect(url, token=token_of(ANN)) as provider,
    ):
        install = "services.server-apps.install"
        manager, source = "public/workspace-manager", "api.export({});"
        app = await provider.call(manager, install, source, config={"type": "window"})
        await offer(provider)
        yield Lab(url, provider, app["id"])


async def offer(provider: RawClient) -> None:
    """A service, and a web application."""
    await provider.offer("open", "public", echo=lambda kwargs=None: 1)
    opened = provider.functions["services.built-in.get_service"]("open")
    await provider.offer("site", "public", index=lambda event: {"body": "hello"})
    site = provider.functions["services.built-in.get_service"]("site")
    offered = {"open": opened, "site": site}
    provider.functions["services.built-in.get_service"] = offered.__getitem__
    infos = [
        {"id": name, "type": kind, "config": offered[name]["config"]}
        for name, kind in (("open", "generic"), ("site", "functions"))
    ]
    await provider.manager("update_client_info", {"id": provider.client_id, "services": infos})


def worth(sent: int, calls: int = 1) -> float:
    """How many ordinary requests something may take the work of, tenfold."""
    return calls + sent / LARGE


# What is sent.


class Asked(NamedTuple):
    """A kind of request. make: the bytes of one, by its number."""

    route: str
    method: str
    make: Callable[[int], bytes]


def named(number: int, size: int = NAME) -> str:
    return f"{number}-".ljust(size, "n")


def long_request(method: str, path: str, row: Row, number: int, *more: str) -> bytes:
    """A request with much in all that a request has."""
    query = f"x={named(number, 2_000)}&client_id={named(number)}&session_id={named(number)}"
    lines = [
        f"{method} {path}{'&' if '?' in path else '?'}{query} HTTP/1.1",
        *("Host: hub", "Connection: close", f"Cookie: hypha={named(number)}; x={named(number)}"),
        f"X-Forwarded-For: 198.51.{number % 256}.7, {named(number)}",
        *(f"Accept: {row.accept or '*/*'}", f"User-Agent: {named(number, 1_000)}", *more),
    ]
    body = b"" if row.body is None else row.body
    if row.body is not None:
        kind = row.content_type.encode("latin-1").decode("latin-1")
        lines += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


UPGRADE: Final = (
    *("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"),
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)


def all_asked(lab: Lab) -> list[Asked]:
    """Each route by each of its methods: as its table has it, and with names of nobody."""
    asked: dict[tuple[str, str, str], Asked] = {}
    for row in (*ROWS, *OPTIONAL_ROWS):
        if row.route and row.route != TOOLS and len(row.path) < 1_000:
            for way, path in (("known", known(row.path, lab)), ("unknown", row.route)):
                make = maker(row, path)
                asked.setdefault((row.route, row.method, way), Asked(row.route, row.method, make))
    for route in HANDSHAKES:
        for path in (route, route.format(workspace=lab.provider.workspace, service="site")):
            asked[path, "UPGRADE", ""] = Asked(route, "UPGRADE", handshake(path))
    return list(asked.values())


def known(path: str, lab: Lab) -> str:
    names = {"ws": lab.provider.workspace, "client": lab.provider.client_id, "app": lab.app}
    for name, value in names.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def maker(row: Row, path: str) -> Callable[[int], bytes]:
    return lambda number: long_request(row.method, filled(path, number), row, number)


def handshake(path: str) -> Callable[[int], bytes]:
    row = Row("", "GET", "", 0)
    return lambda number: long_request("GET", filled(path, number), row, number, *UPGRADE)


def filled(path: str, number: int) -> str:
    return re.sub(r"\{[^}]+\}", named(number), path)


async def send(url: str, request: bytes) -> None:
    """Ask, and go when the answer has come, or has begun if it is one that lasts."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(request)
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 101 " not in head and b"text/event-stream" not in head:
                await reader.read()
    writer.transport.abort()


# How it is measured.


Do = Callable[[int], Awaitable[object]]


@pytest.fixture(scope="module", autouse=True)
def _frozen() -> Iterator[None]:
    """Collections do not look at what was there before: at all tests of the run, for seconds."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


async def kept_by(do: Do, allowed: float) -> int:
    """Bytes that stay when all has been done; the least of some attempts, if that is too much.

    What the interpreter or a library keeps once for all is in one of them alone.
    """
    kept = await _kept_by(do, 1)
    for number in range(1, TRIES + 1):
        if kept > allowed:
            kept = min(kept, await _kept_by(do, 1 + number * TIMES))
    return kept


async def _kept_by(do: Do, first: int) -> int:
    await do(0)
    gc.collect()
    tracemalloc.start()
    for number in range(first, first + TIMES):
        await do(number)
    for _ in range(20):
        await asyncio.sleep(0)
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return kept


async def work_of(do: Do, allowed: float = 0.0) -> float:
    """The least CPU time of one of some attempts; of more of them, if it is more than is allowed.

    A page of memory that the machine itself has to find first can take long, at times.
    """
    best = float("inf")
    for number in range(MORE_TRIES if allowed else TRIES):
        if number >= TRIES and best <= allowed:
            break
        gc.collect()
        gc.disable()  # it would look at all that the tests have
        start = time.process_time()
        await do(1_000 + number)
        best = min(best, time.process_time() - start)
        gc.enable()
    return best


@pytest.mark.timeout(600)  # some thousand requests, half of them with each byte counted
async def test_no_route_keeps_or_does_more_than_was_sent(lab: Lab) -> None:
    ordinary = await work_of(
        lambda number: send(lab.url, maker(Row("", "GET", "", 0), "/public/services")(number))
    )
    found = {}
    for asked in all_asked(lab):
        do = sending(lab, asked)
        sent = sum(len(asked.make(number)) for number in range(1, TIMES + 1))
        allowed = KEPT * sent + SLACK
        most = COSTLY.get((asked.route, asked.method), WORK) * ordinary
        kept, work = await kept_by(do, allowed), await work_of(do, most)
        if kept > allowed:
            found[asked.route, asked.method] = f"keeps {kept} of {sent} bytes"
        if work > most:
            found[asked.route, asked.method] = f"takes {work / ordinary:.0f} times as long"

    assert found == {}


def sending(lab: Lab, asked: Asked) -> Do:
    return lambda number: send(lab.url, asked.make(number))


def test_every_way_in_is_tried(lab: Lab) -> None:
    """Whoever adds a route adds rows for it; see test_every_route_is_in_a_table."""
    tried = {asked.route for asked in all_asked(lab)}

    assert tried == {row.route for row in (*ROWS, *OPTIONAL_ROWS) if row.route} - {TOOLS}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("token", ["", token_of(ANN)], ids=["anybody", "somebody known"])
async def test_no_function_of_the_hub_keeps_or_does_more_than_was_sent(
    lab: Lab, token: str
) -> None:
    async with await RawClient.connect(lab.url, token=token) as caller:
        ordinary = await work_of(lambda number: attempt(caller, "default.echo", number))
        functions = await functions_of(caller)
        found = {}
        for function in functions:

            def do(number: int, function: str = function) -> Awaitable[None]:
                return attempt(caller, function, number)

            allowed = KEPT * TIMES * SENT + SLACK
            most = COSTLY_FUNCTIONS.get(function, WORK) * ordinary
            kept, work = await kept_by(do, allowed), await work_of(do, most)
            if kept > allowed:
                found[function] = f"keeps {kept} bytes"
            if work > most:
                found[function] = f"takes {work / ordinary:.0f} times as long"

    assert len(functions) > 20
    assert found == {}


SENT: Final = 8_000


async def attempt(caller: RawClient, function: str, number: int) -> None:
    """Call a function with much that makes no sense."""
    text = named(number, SENT // 2)
    config = {"name": named(number), "id": named(number), "type": "window", "text": text}
    body = {"args": [text, {"config": config, "timeout": 0}], "with_kwargs": True}
    home = caller.workspace if function.startswith("default.") else "public"
    envelope = call_envelope(f"{home}/workspace-manager", f"services.{function}")
    with suppress(Rejected, TimeoutError):
        await caller.place(envelope, body, PATIENCE)


async def functions_of(caller: RawClient) -> list[str]:
    """All functions of all services of the hub, as it lists and describes them."""
    listed = await caller.manager("list_services", "public")
    ids = {str(each["id"]) for each in listed if "/workspace-manager:" in str(each["id"])}
    ids.add(f"{caller.workspace}/workspace-manager:default")
    assert {id_.rpartition(":")[2] for id_ in ids} >= {"default", "hypha-login", "server-apps"}
    found = []
    for service in sorted(ids):
        described: dict[str, Any] = await caller.manager("get_service", service)
        found += [
            f"{service.rpartition(':')[2]}.{name}"
            for name, value in described.items()
            if "_rmethod" in str(value)
        ]
    return found


# Bodies of what takes one.


FORM, JSON, MULTIPART = (
    "application/x-www-form-urlencoded",
    "application/json",
    "multipart/form-data; boundary=b",
)
MUCH: Final = 150_000  # bytes
PART: Final = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
REFUSED: Final = b"\x91\x91\x81\xa9__proto__\x01"
BODIES: Final[dict[str, tuple[str, bytes]]] = {
    "many fields": (FORM, b"a=1&" * (MUCH // 4)),
    "a long field": (FORM, b"user=" + b"x" * MUCH),
    "many parts": (MULTIPART, PART * (MUCH // len(PART)) + b"--b--\r\n"),
    "a part that goes on": (MULTIPART, PART[:-2] + b"x" * MUCH),
    "lists in lists": (JSON, b'{"args": ' + b"[" * MUCH),
    # What is refused at its end, as the work of whom it would be passed on to is not the hub's.
    "empty lists": (JSON, b'{"args": [' + b"[]," * (MUCH // 3) + b'[[[{"__proto__": 1}]]]]}'),
    "packed lists": (
        "application/msgpack",
        b"\x81\xa4args\xdd" + (MUCH + 1).to_bytes(4) + b"\x90" * MUCH + REFUSED,
    ),
}


@pytest.mark.timeout(600)  # each of some twenty routes, with each byte counted
@pytest.mark.parametrize("name", BODIES)
async def test_no_body_keeps_or_takes_more_than_was_sent(lab: Lab, name: str) -> None:
    kind, body = BODIES[name]
    ordinary = await ordinary_work(lab)
    found = {}
    for asked in all_posts(lab, kind, body):
        do = sending(lab, asked)
        allowed = KEPT * TIMES * len(body) + SLACK
        most = COSTLY.get((asked.route, "POST"), WORK) * worth(len(body)) * ordinary
        kept, work = await kept_by(do, allowed), await work_of(do, most)
        if kept > allowed:
            found[asked.route] = f"keeps {kept} bytes"
        if work > most:
            found[asked.route] = f"takes {work / ordinary:.0f} times as long"

    assert found == {}


def all_posts(lab: Lab, kind: str, body: bytes) -> list[Asked]:
    """Each route that takes a body, once, with another one."""
    rows = {row.route: row for row in (*ROWS, *OPTIONAL_ROWS) if row.method == "POST" and row.route}
    rows.pop(TOOLS, None)
    sent = [row._replace(body=body, content_type=kind) for row in rows.values()]
    return [Asked(row.route, "POST", maker(row, known(row.path, lab))) for row in sent]


async def ordinary_work(lab: Lab) -> float:
    make = maker(Row("", "GET", "", 0), "/public/services")
    return await work_of(lambda number: send(lab.url, make(number)))


# What lasts.


class Burden(NamedTuple):
    """Something that is sent. sent: its bytes. calls: how many calls it is worth."""

    do: Do
    sent: int
    calls: int = 1


async def excesses(burdens: dict[str, Burden], ordinary: float) -> dict[str, str]:
    """What of these keeps or takes too much, and how much."""
    found = {}
    for name, burden in burdens.items():
        allowed = KEPT * TIMES * burden.sent + SLACK
        most = WORK * ordinary * worth(burden.sent, burden.calls)
        kept, work = await kept_by(burden.do, allowed), await work_of(burden.do, most)
        if kept > allowed:
            found[name] = f"keeps {kept} of {burden.sent} bytes"
        if work > most:
            found[name] = f"takes {work / ordinary:.0f} times as long"
    return found


@pytest.mark.timeout(300)
async def test_no_event_stream_keeps_or_takes_more_than_is_posted(lab: Lab) -> None:
    async with await SseClient.connect(lab.url) as stranger:

        def posting(*frames: bytes) -> Burden:
            async def post(number: int) -> None:
                for each in frames:
                    await stranger.stream.post(each)
                await asyncio.sleep(0.05)  # what comes back is ours, and forgotten
                stranger.received.clear()
                stranger.stream.events.clear()

            return Burden(post, sum(map(len, frames)), len(frames))

        absent = f"{stranger.workspace}/nobody"
        call = {"type": "method", "to": absent, "method": "services.nothing.run"}
        burdens = {
            "a large frame": posting(frame(call, {"args": [bytes(300_000)]})),
            "a frame of empty lists": posting(frame(call, {"args": [[]] * 150_000})),
            "calls of nobody": posting(*[frame(call, {"args": []})] * 20),
            "what is no frame": posting(b"hello " * 50_000),
        }
        found = await excesses(burdens, await ordinary_work(lab))

    assert found == {}


@pytest.mark.clients
@pytest.mark.timeout(300)
async def test_nothing_for_a_web_application_keeps_or_takes_more_than_was_sent(lab: Lab) -> None:
    async with Provider(lab.url) as provider:
        base = f"/{provider.workspace}/apps"
        burdens = {**bodies_for(lab, base), **messages_for(f"{lab.url}{base}")}
        found = await excesses(burdens, await ordinary_work(lab))

    assert found == {}


def bodies_for(lab: Lab, base: str) -> dict[str, Burden]:
    """Requests to applications of a program that is there."""

    def request(path: str, body: bytes, *lines: str) -> Burden:
        head = [f"POST {base}/{path} HTTP/1.1", "Host: hub", "Connection: close", *lines]
        whole = "\r\n".join([*head, "", ""]).encode() + body
        return Burden(lambda number: send(lab.url, whole), len(whole))

    def plain(path: str, body: bytes) -> Burden:
        return request(path, body, f"Content-Length: {len(body)}")

    chunked = "Transfer-Encoding: chunked"
    return {
        "a body": plain("plain/size", bytes(500_000)),
        "a body that nobody reads": plain("plain/early", bytes(500_000)),
        "a body of a byte a chunk": request(
            "plain/size", b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n", chunked
        ),
        "a body for a function": plain("funcs/length", bytes(500_000)),
        "a path of no function": plain(f"funcs/{'x' * 8_000}", b""),
    }


def messages_for(base: str) -> dict[str, Burden]:
    """What goes through a WebSocket of an application, which answers with the same."""

    def talk(*messages: Any, pings: int = 0) -> Do:
        async def do(number: int) -> None:
            async with open_websocket(f"{base}/plain/socket".replace("http", "ws", 1)) as socket:
                for message in messages:
                    await socket.send(message)
                answered = [await socket.ping() for _ in range(pings)]
                for answer in answered:
                    await answer
                for _ in messages:
                    await socket.recv()

        return do

    few, many = 200, 2_000  # many pings: of few, what the interpreter moves would be the most
    return {
        "messages of a byte": Burden(talk(*["x"] * few), 7 * few, 1 + few),
        "a large message": Burden(talk(bytes(500_000)), 500_000, 2),
        "a message in many fragments": Burden(talk([b"x"] * 2_000), 14_000, 2),
        "pings": Burden(talk(pings=many), 6 * many, 2 + many // 10),
    }
