"""What a stranger makes a gateway keep and do for each byte sent, by every route and function.

Frames, messages in chunks and arguments are in tests/unit/test_strangers.py. The routes are those
of the tables, so whoever adds one is told here too if it costs more than others; the functions are
those that the hub offers.
"""

import asyncio
import gc
import re
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import pytest

from hypha_cluster.config import Config
from hypha_cluster.features.built_in import BUILT_IN
from hypha_cluster.features.launcher.terms import LauncherSettings
from hypha_cluster.identity.access import Identity
from tests.gateways import SECOND
from tests.http_optional_routes import OPTIONAL_ROWS, TOOLS
from tests.http_routes import ROWS
from tests.http_row import Row
from tests.in_process import served
from tests.raw_client import RawClient, Rejected, call_envelope
from tests.token_rig import SECRET, token_of

ANN: Final = Identity("ann", is_anonymous=False, email="ann@example.org")
TIMES: Final = 4  # how often each is asked, with other names each time
TRIES: Final = 2
KEPT: Final = 2.0  # bytes that stay for each that was sent
SLACK: Final = 60_000  # bytes that the interpreter itself moves
WORK: Final = 10.0  # times the work of an ordinary request or call
# A password is hashed, which takes 50 ms; wrong ones are counted (see ATTEMPTS).
COSTLY: Final = {("/login/sign-in", "POST"): 2_000.0}
NAME: Final = 250
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


async def kept_by(do: Do) -> int:
    """Bytes that stay when all has been done."""
    await do(0)
    gc.collect()
    tracemalloc.start()
    for number in range(1, TIMES + 1):
        await do(number)
    for _ in range(20):
        await asyncio.sleep(0)
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return kept


async def work_of(do: Do) -> float:
    """The least CPU time of one of some attempts."""
    best = float("inf")
    for number in range(TRIES):
        start = time.process_time()
        await do(1_000 + number)
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.timeout(600)  # some thousand requests, half of them with each byte counted
async def test_no_route_keeps_or_does_more_than_was_sent(lab: Lab) -> None:
    ordinary = await work_of(
        lambda number: send(lab.url, maker(Row("", "GET", "", 0), "/public/services")(number))
    )
    found = {}
    for asked in all_asked(lab):
        do = sending(lab, asked)
        kept, work = await kept_by(do), await work_of(do)
        sent = sum(len(asked.make(number)) for number in range(1, TIMES + 1))
        if kept > KEPT * sent + SLACK:
            found[asked.route, asked.method] = f"keeps {kept} of {sent} bytes"
        if work > COSTLY.get((asked.route, asked.method), WORK) * ordinary:
            found[asked.route, asked.method] = f"takes {work / ordinary:.0f} times as long"

    assert found == {}


def sending(lab: Lab, asked: Asked) -> Do:
    return lambda number: send(lab.url, asked.make(number))


def test_every_way_in_is_tried(lab: Lab) -> None:
    """Whoever adds a route adds rows for it; see test_every_route_is_in_a_table."""
    tried = {asked.route for asked in all_asked(lab)}

    assert tried == {row.route for row in (*ROWS, *OPTIONAL_ROWS) if row.route} - {TOOLS}


@pytest.mark.timeout(600)
async def test_no_function_of_the_hub_keeps_or_does_more_than_was_sent(lab: Lab) -> None:
    async with await RawClient.connect(lab.url) as stranger:
        ordinary = await work_of(lambda number: attempt(stranger, "default.echo", number))
        functions = await functions_of(stranger)
        found = {}
        for function in functions:

            def do(number: int, function: str = function) -> Awaitable[None]:
                return attempt(stranger, function, number)

            kept, work = await kept_by(do), await work_of(do)
            if kept > KEPT * TIMES * SENT + SLACK:
                found[function] = f"keeps {kept} bytes"
            if work > WORK * ordinary:
                found[function] = f"takes {work / ordinary:.0f} times as long"

    assert len(functions) > 20
    assert found == {}


SENT: Final = 8_000


async def attempt(stranger: RawClient, function: str, number: int) -> None:
    """Call a function with much that makes no sense."""
    text = named(number, SENT // 2)
    config = {"name": named(number), "id": named(number), "type": "window", "text": text}
    body = {"args": [text, {"config": config, "timeout": 0}], "with_kwargs": True}
    home = stranger.workspace if function.startswith("default.") else "public"
    envelope = call_envelope(f"{home}/workspace-manager", f"services.{function}")
    with suppress(Rejected, TimeoutError):
        await stranger.place(envelope, body, PATIENCE)


async def functions_of(stranger: RawClient) -> list[str]:
    """All functions of all services of the hub, as it describes them."""
    found = []
    for service in ("default", "hypha-login", "server-apps"):
        home = stranger.workspace if service == "default" else "public"
        described: dict[str, Any] = await stranger.manager(
            "get_service", f"{home}/workspace-manager:{service}"
        )
        found += [
            f"{service}.{name}" for name, value in described.items() if "_rmethod" in str(value)
        ]
    return found
