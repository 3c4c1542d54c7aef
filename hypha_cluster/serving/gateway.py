"""One gateway process: the application under Hypercorn, from its first signal to its last."""

import asyncio
import contextlib
import ctypes
import dataclasses
import gc
import importlib.util
import logging
import resource
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import hypercorn
from starlette.applications import Starlette

from hypha_cluster.config import Config
from hypha_cluster.errors import StartupError
from hypha_cluster.hub_settings import HubSettings
from hypha_cluster.protocol.limits import BACKLOG, HEAD, IDLE_CONNECTION, TLS_HANDSHAKE, TURNS
from hypha_cluster.serving.http11 import Timeouts, end_outliving, install
from hypha_cluster.serving.listening import Listening
from hypha_cluster.serving.preflight import listen
from hypha_cluster.serving.stop import Stop
from hypha_cluster.settings import MIB
from hypha_cluster.supervision import Supervisor, Tasks

log = logging.getLogger(__name__)

# Seconds for what is left after the drain: nobody is there any more for whom to wait longer.
GRACE = 2.0

# mallopt's parameters in glibc, and what they are set to.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_KEPT = 4 * MIB  # of one piece: more than a frame; larger ones go back to the system
KEPT_MEMORY = 64 * MIB

MOST_FILES = 1 << 20

COLLECT_AFTER = (10_000, 20, 20)  # new objects, then collections of the younger generation


class Port(NamedTuple):
    """What a gateway listens on."""

    descriptor: int
    is_held: bool = False
    """Whether somebody else keeps it open, such as systemd: for a successor, which serves there
    when this gateway has ended."""


def run_gateway(
    settings: HubSettings, port: Port, on_ready: Callable[[], None], stop: Stop | None = None
) -> None:
    """Serve on a port until a signal, or whoever has `stop`, says to stop."""
    from hypha_cluster.app import create_app

    config = settings.node
    prepare_process(config)
    with asyncio.Runner(loop_factory=loop_factory(config.event_loop)) as runner:
        runner.get_loop().set_exception_handler(_log_loop_error)
        inner, inner_url = _inner(settings)
        app = create_app(config, settings.features, inner_url=inner_url)
        listening = hypercorn_settings(config, port.descriptor)
        serving = Serving(app, listening, stop or Stop(), is_held=port.is_held, inner=inner)
        runner.run(serving.run(on_ready))


def _inner(settings: HubSettings) -> tuple[hypercorn.Config | None, str]:
    """A port for the programs of this gateway, open on this machine before its own; and its URL."""
    if not any(kind.needs_inner(chosen) for kind, chosen in settings.features):
        return None, ""
    listener = listen("127.0.0.1", 0)
    plain = dataclasses.replace(settings.node, certfile="", keyfile="")
    url = f"http://127.0.0.1:{listener.getsockname()[1]}{settings.node.base_path}"
    return hypercorn_settings(plain, listener.detach()), url


def prepare_process(config: Config) -> None:
    """Set what is common to the whole process: its allocator, its limits, its WebSockets."""
    keep_freed_memory()
    collect_less()
    allow_many_connections()
    install(Timeouts(ping=config.ping_timeout), fast=config.fast_websockets)


class Serving:
    """One application: started, served until it is told to stop, drained, stopped."""

    def __init__(
        self,
        app: Starlette,
        settings: hypercorn.Config,
        stop: Stop,
        *,
        is_held: bool = False,
        inner: hypercorn.Config | None = None,
    ) -> None:
        self._app = app
        self._stop = stop
        self._is_held = is_held
        self._listening = Listening(app, settings)
        self._inner = Listening(app, inner) if inner else None

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Serve until told to stop; StartupError if the application cannot start."""
        self._stop.heed_signals()
        async with self._app.router.lifespan_context(self._app), self._open_inside():
            if not await self._prepare():
                return
            await self._listening.start()
            log.info("Gateway %s is up.", self._app.state.node.name)
            on_ready()
            self._app.state.features.opened()
            await self._stop.asked.wait()
            if self._is_held or self._stop.is_replaced:
                self._listening.leave_port()
            await self._app.state.features.drain()
            await self._drain()
            self._listening.leave_port()
            self._app.state.node.dismiss()
            await self._listening.close(GRACE)
            await end_outliving(GRACE)

    @contextlib.asynccontextmanager
    async def _open_inside(self) -> AsyncIterator[None]:
        """Meanwhile the gateway's own programs reach it, before its port is open."""
        if self._inner is None:
            yield
            return
        await self._inner.start()
        try:
            yield
        finally:
            await self._inner.close(GRACE)

    async def _prepare(self) -> bool:
        """Prepare what has to be there before the port opens; False if told to stop meanwhile."""
        preparing = asyncio.ensure_future(self._app.state.features.prepare())
        stopping = asyncio.ensure_future(self._stop.asked.wait())
        await asyncio.wait([preparing, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not preparing.done():
            preparing.cancel()
            await asyncio.wait([preparing])
            return False
        preparing.result()
        return not self._stop.asked.is_set()

    async def _drain(self) -> None:
        if self._stop.hurried.is_set():
            return
        node, tasks = self._app.state.node, Tasks(Supervisor())
        for_successor = self._is_held and not self._stop.is_replaced
        tasks.spawn("drain", node.drain(for_successor=for_successor))
        tasks.spawn("hurry", self._stop.hurried.wait())
        await asyncio.wait([*tasks], return_when=asyncio.FIRST_COMPLETED)
        await tasks.stop()


def hypercorn_settings(config: Config, listener: int) -> hypercorn.Config:
    settings = hypercorn.Config()
    settings.bind = [f"fd://{listener}"]
    settings.backlog = BACKLOG
    settings.certfile = config.certfile or None
    settings.keyfile = config.keyfile or None
    settings.include_server_header = False
    settings.accesslog = None  # its lines would hold the tokens of query strings
    settings.errorlog = logging.getLogger("hypercorn.error")
    settings.keep_alive_timeout = IDLE_CONNECTION
    settings.keep_alive_max_requests = sys.maxsize
    settings.graceful_timeout = GRACE
    settings.ssl_handshake_timeout = TLS_HANDSHAKE
    settings.h11_max_incomplete_size = settings.h2_max_header_list_size = HEAD
    settings.h2_max_concurrent_streams = TURNS
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
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_MEMORY)


def collect_less() -> None:
    """Look for garbage in cycles less often than for every 700 objects, as there is little of it.

    What has been imported stays for good, and is not looked at again.
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
