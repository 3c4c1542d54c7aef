"""One gateway process, with a small application in the place of the hub."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from hypha_cluster.config import Config
from hypha_cluster.errors import StartupError
from hypha_cluster.features.feature import Features
from hypha_cluster.serving import gateway
from hypha_cluster.serving.gateway import Serving, hypercorn_settings, loop_factory
from hypha_cluster.serving.preflight import listen
from hypha_cluster.serving.stop import Stop
from hypha_cluster.supervision import Supervisor
from tests.gateways import SECOND

Application = Callable[[], Starlette]


class Node:
    """Keeps a diary of what it was told."""

    name = "g"

    def __init__(self, diary: list[str]) -> None:
        self.diary = diary
        self.draining = asyncio.Event()
        self.draining_takes = 0.0

    async def drain(self, *, for_successor: bool) -> None:
        self.diary.append("drain for a successor" if for_successor else "drain")
        self.draining.set()
        await asyncio.sleep(self.draining_takes)
        self.diary.append("drained")

    def dismiss(self) -> None:
        self.diary.append("dismiss")


@pytest.fixture
def diary() -> list[str]:
    return []


@pytest.fixture
def app(diary: list[str]) -> Starlette:
    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        diary.append("start")
        yield
        diary.append("stop")

    async def greet(request: Request) -> Response:
        return PlainTextResponse("hello")

    async def stall(request: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError("nobody sets this event")

    app = Starlette(routes=[Route("/", greet), Route("/stall", stall)], lifespan=lifespan)
    app.state.node = Node(diary)
    app.state.features = Features([], Supervisor())
    return app


async def serve(
    app: Starlette,
    visit: Callable[[int], Awaitable[None]],
    stop: Stop | None = None,
    *,
    is_held: bool = False,
) -> None:
    """Serve `app` while `visit` is told the port, then until it has stopped by itself."""
    config = Config(host="127.0.0.1", port=0)
    listener = listen(config.host, config.port)
    port = listener.getsockname()[1]
    ready = asyncio.Event()
    settings = hypercorn_settings(config, listener.detach())
    serving = Serving(app, settings, stop or Stop(), is_held=is_held)
    running = asyncio.create_task(serving.run(ready.set))
    async with asyncio.timeout(20 * SECOND):
        await ready.wait()
        await visit(port)
        await running


async def get(port: int, path: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nhost: hub\r\nconnection: close\r\n\r\n".encode())
    try:
        return (await reader.read()).decode()
    finally:
        writer.close()


def signal_us(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


async def test_sigterm_drains_before_the_node_stops(app: Starlette, diary: list[str]) -> None:
    async def visit(port: int) -> None:
        assert (await get(port, "/")).endswith("hello")
        signal_us(signal.SIGTERM)

    await serve(app, visit)

    assert diary == ["start", "drain", "drained", "dismiss", "stop"]


async def test_requests_are_served_while_the_node_drains(app: Starlette) -> None:
    app.state.node.draining_takes = 0.5

    async def visit(port: int) -> None:
        signal_us(signal.SIGTERM)
        await app.state.node.draining.wait()
        assert (await get(port, "/")).endswith("hello")

    await serve(app, visit)


@pytest.mark.parametrize("is_held", [True, False])
async def test_who_leaves_its_port_to_others_takes_nobody_while_it_drains(
    app: Starlette, is_held: bool
) -> None:
    stop = Stop()
    app.state.node.draining_takes = 0.5

    async def visit(port: int) -> None:
        if is_held:
            signal_us(signal.SIGTERM)
        else:
            stop.retire()
        await app.state.node.draining.wait()
        with pytest.raises(ConnectionRefusedError):  # for in this test nobody holds it
            await get(port, "/")

    await serve(app, visit, stop, is_held=is_held)

    assert ("drain for a successor" in app.state.node.diary) is is_held


async def test_ctrl_c_does_not_wait_for_a_drain(app: Starlette, diary: list[str]) -> None:
    async def visit(port: int) -> None:
        signal_us(signal.SIGINT)

    await serve(app, visit)

    assert diary == ["start", "dismiss", "stop"]


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_the_drain(
    app: Starlette, diary: list[str], second: signal.Signals
) -> None:
    app.state.node.draining_takes = 600.0

    async def visit(port: int) -> None:
        signal_us(signal.SIGTERM)
        await app.state.node.draining.wait()
        signal_us(second)

    await serve(app, visit)

    assert diary == ["start", "drain", "dismiss", "stop"]


async def test_a_drain_that_fails_does_not_keep_the_node(
    app: Starlette, diary: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(**_: object) -> None:
        raise RuntimeError("no way out")

    app.state.node.drain = fail

    async def visit(port: int) -> None:
        signal_us(signal.SIGTERM)

    await serve(app, visit)

    assert diary == ["start", "dismiss", "stop"]
    assert "no way out" in caplog.text


async def test_a_request_that_never_ends_does_not_keep_the_node(
    app: Starlette, diary: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "GRACE", 0.1)
    stalled: list[asyncio.Task[str]] = []

    async def visit(port: int) -> None:
        stalled.append(asyncio.create_task(get(port, "/stall")))
        await get(port, "/")
        signal_us(signal.SIGTERM)

    await serve(app, visit)
    await asyncio.wait(stalled)

    assert diary[-1] == "stop"


async def test_what_stops_a_node_from_starting_is_passed_on() -> None:
    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if not app.routes:
            raise StartupError("another cluster has this prefix")
        yield

    listener = listen("127.0.0.1", 0)
    settings = hypercorn_settings(Config(), listener.detach())

    with pytest.raises(StartupError, match="another cluster has this prefix"):
        await Serving(Starlette(lifespan=lifespan), settings, Stop()).run(lambda: None)


async def test_a_response_does_not_name_the_server(app: Starlette) -> None:
    async def visit(port: int) -> None:
        answer = await get(port, "/")
        assert "\r\nserver:" not in answer.lower()
        assert answer.lower().count("\r\ndate:") == 1
        signal_us(signal.SIGINT)

    await serve(app, visit)


async def test_no_log_line_has_a_query_string(
    app: Starlette, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")

    async def visit(port: int) -> None:
        await get(port, "/?token=hush")
        await get(port, "/nowhere?token=hush")
        signal_us(signal.SIGINT)

    await serve(app, visit)

    assert "hush" not in caplog.text


@pytest.mark.parametrize(
    ("name", "module"), [("auto", "uvloop"), ("uvloop", "uvloop"), ("asyncio", "asyncio")]
)
def test_the_event_loop_can_be_chosen(name: str, module: str) -> None:
    loop: Any = loop_factory(name)()

    assert type(loop).__module__.startswith(module)
    loop.close()
