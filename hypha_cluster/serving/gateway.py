"""One gateway process: the application under Hypercorn, from its first signal to its last."""

import asyncio
import contextlib
import ctypes
import gc
import importlib.util
import logging
import resource
import signal
import ssl
import sys
from collections.abc import Callable
from typing import Any

import hypercorn
from hypercorn.asyncio import serve as serve_with_hypercorn
from starlette.applications import Starlette

from hypha_cluster.config import Config
from hypha_cluster.errors import StartupError
from hypha_cluster.serving.http11.server import install
from hypha_cluster.serving.http11.websocket_connection import Timeouts
from hypha_cluster.serving.http11.websocket_upgrade import end_outliving
from hypha_cluster.serving.preflight import BACKLOG
from hypha_cluster.settings import KIB, MIB
from hypha_cluster.supervision import Supervisor, Tasks

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)

# Longer than balancers keep theirs: who closes last never meets a closed connection.
KEEP_ALIVE = 75.0
# After the drain there is nobody left to be patient with.
GRACE = 2.0
# In which Hypercorn closes its port, once it was told to.
CLOSING = 0.05

# mallopt's parameters in glibc, and what they are set to.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_MEMORY = 32 * MIB

MOST_FILES = 1 << 20

COLLECT_AFTER = (10_000, 20, 20)  # new objects, then collections of the younger generation


class Stop:
    """What the process was told: to stop, and whether to hurry."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()

    def ask(self) -> None:
        """Drain; asked twice, don't."""
        if self.asked.is_set():
            self.hurried.set()
        self.asked.set()

    def hurry(self) -> None:
        self.hurried.set()
        self.asked.set()

    def heed_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.ask)
        loop.add_signal_handler(signal.SIGINT, self.hurry)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # see workers.py


def run_gateway(config: Config, listener: int, on_ready: Callable[[], None]) -> None:
    """Serve on the file descriptor `listener` until a signal says to stop."""
    from hypha_cluster.app import create_app

    prepare_process(config)
    with asyncio.Runner(loop_factory=loop_factory(config.event_loop)) as runner:
        runner.get_loop().set_exception_handler(_log_loop_error)
        settings = hypercorn_settings(config, listener)
        runner.run(serve_app(create_app(config), settings, on_ready))


def prepare_process(config: Config) -> None:
    """Change what is common to the whole process: its allocator, its limits, its WebSockets."""
    keep_freed_memory()
    collect_less()
    allow_many_connections()
    install(Timeouts(ping=config.ping_timeout), fast=config.fast_websockets)


async def serve_app(
    app: Starlette, settings: hypercorn.Config, on_ready: Callable[[], None]
) -> None:
    """Start `app`, serve it until told to stop, let it drain, stop it."""
    stop = Stop()
    stop.heed_signals()
    closing = asyncio.Event()

    async def until_drained() -> None:
        on_ready()
        await stop.asked.wait()
        await _drain(app, stop)
        closing.set()

    # Not left to Hypercorn, which makes a traceback of a StartupError, and skips the end of the
    # lifespan when it is cancelled.
    async with app.router.lifespan_context(app):
        serving = serve_with_hypercorn(
            _without_lifespan(app), settings, shutdown_trigger=until_drained, mode="asgi"
        )
        await _until_closed(asyncio.create_task(serving), closing, app.state.node.dismiss)


async def _until_closed(
    serving: asyncio.Task[None], closing: asyncio.Event, dismiss: Callable[[], None]
) -> None:
    """Wait for Hypercorn, but don't let a connection keep it once it is closing."""
    closed = asyncio.create_task(closing.wait())
    await asyncio.wait({serving, closed}, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.wait({serving}, timeout=CLOSING)
    dismiss()
    await asyncio.wait({serving}, timeout=2 * GRACE)
    closed.cancel()
    if not serving.done():
        serving.cancel()
    # InvalidStateError: Hypercorn's, when it is cancelled while it waits for its connections.
    with contextlib.suppress(asyncio.CancelledError, asyncio.InvalidStateError):
        await serving
    await end_outliving(GRACE)


async def _drain(app: Starlette, stop: Stop) -> None:
    if stop.hurried.is_set():
        return
    tasks = Tasks(Supervisor())
    tasks.spawn("drain", app.state.node.drain())
    tasks.spawn("hurry", stop.hurried.wait())
    await asyncio.wait([*tasks], return_when=asyncio.FIRST_COMPLETED)
    await tasks.stop()


def _without_lifespan(app: Starlette) -> Any:
    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        for stage in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{stage}.complete"})

    return serve


def hypercorn_settings(config: Config, listener: int) -> hypercorn.Config:
    settings = hypercorn.Config()
    settings.bind = [f"fd://{listener}"]
    settings.backlog = BACKLOG
    settings.certfile = config.certfile or None
    settings.keyfile = config.keyfile or None
    settings.include_server_header = False
    settings.accesslog = None  # its lines would hold the tokens of query strings
    settings.errorlog = logging.getLogger("hypercorn.error")
    settings.keep_alive_timeout = KEEP_ALIVE
    settings.keep_alive_max_requests = sys.maxsize
    settings.graceful_timeout = GRACE
    settings.h11_max_incomplete_size = 64 * KIB  # tokens travel in queries and headers
    settings.websocket_max_message_size = config.max_frame_size
    settings.websocket_ping_interval = config.ping_interval
    return settings


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "uvloop" or (name == "auto" and importlib.util.find_spec("uvloop")):
        try:
            import uvloop
        except ImportError:
            raise StartupError("event_loop is uvloop, which is not installed") from None
        return uvloop.new_event_loop
    return asyncio.new_event_loop


def keep_freed_memory() -> None:
    """Stop glibc from giving a large frame's memory back only to fault it in again."""
    libc = ctypes.CDLL(None)
    with contextlib.suppress(AttributeError):  # another libc, with habits of its own
        libc.mallopt(M_MMAP_THRESHOLD, KEPT_MEMORY)
        libc.mallopt(M_TRIM_THRESHOLD, 2 * KEPT_MEMORY)


def collect_less() -> None:
    """Look for garbage in cycles, of which there is little, less often than for every 700 objects.

    What has been imported stays, and need not be looked at again at all.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def allow_many_connections() -> None:
    """Raise the number of open files from its usual 1024 to what the system lets us have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _log_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # Failed handshakes are the other side's; cancelled connections are those that we cut.
    if not isinstance(context.get("exception"), ssl.SSLError | asyncio.CancelledError):
        loop.default_exception_handler(context)
