"""Runs a hub: its port, its store, its gateway processes."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from types import FrameType

from hypha_cluster import audit
from hypha_cluster.config import IN_MEMORY, Config, masked_url
from hypha_cluster.hub_settings import HubSettings
from hypha_cluster.serving.embedded import embedded_store
from hypha_cluster.serving.gateway import Port, run_gateway
from hypha_cluster.serving.logs import configure_logging
from hypha_cluster.serving.preflight import check_certificate, check_redis, listen
from hypha_cluster.serving.runner import runner_beside
from hypha_cluster.serving.systemd import READY, STOPPING, notify, passed_listener
from hypha_cluster.serving.workers import run_workers

log = logging.getLogger(__name__)


def serve(settings: HubSettings) -> None:
    """Run a hub until SIGTERM or Ctrl-C; raise StartupError when it cannot start."""
    config = settings.node
    configure_logging(config.log_level, config.log_format)
    audit.switch(on=config.audit)
    check_certificate(config.certfile, config.keyfile)
    held = passed_listener()
    with _leaving_on_sigterm(), held or listen(config.host, config.port) as listener:
        host, number = listener.getsockname()[:2]
        settings = settings.with_node(port=number, host=host if held else config.host)
        announce = _announcement(settings.node, is_held=held is not None)
        with _store(config) as redis_url:
            asyncio.run(check_redis(redis_url))
            port = Port(listener.detach(), is_held=held is not None)
            settings = settings.with_node(redis_url=redis_url)
            with runner_beside(settings):
                _run(settings, port, announce)
            notify(STOPPING)
    log.info("The hub has stopped.")


def _run(settings: HubSettings, port: Port, announce: Callable[[], None]) -> None:
    run = run_workers if settings.node.workers > 1 else run_gateway
    run(settings, port, announce)


@contextlib.contextmanager
def _leaving_on_sigterm() -> Iterator[None]:
    """Leave by an exception on SIGTERM, so that the store is stopped, until the loop handles it."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        sys.exit(0)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _store(config: Config) -> Iterator[str]:
    if config.redis_url:
        yield config.redis_url
        return
    with embedded_store(config.data_dir) as url:
        yield url


def _announcement(config: Config, *, is_held: bool) -> Callable[[], None]:
    def announce() -> None:
        with contextlib.suppress(BrokenPipeError):  # else nobody reads it any more
            sys.stdout.write("".join(f"{line}\n" for line in banner(config, is_held=is_held)))
            sys.stdout.flush()
        notify(READY)

    return announce


def banner(config: Config, *, is_held: bool) -> Iterator[str]:
    """The lines that tell the operator about a hub that has just started."""
    gateways = f", {config.workers} gateways" if config.workers > 1 else ""
    yield f"hypha-cluster {version('hypha-cluster')}{gateways}"
    yield f"Listening on {config.local_url}"
    if is_held:
        yield "The port is held open from outside, and stays open when this hub ends"
    elif config.is_open:
        yield "Other machines reach it too; --host 127.0.0.1 keeps it to this one"
    yield f"Store: {_store_name(config)}"
    yield f'Connect with: await connect_to_server({{"server_url": "{config.base_url}"}})'


def _store_name(config: Config) -> str:
    if config.redis_url:
        return f"Redis at {masked_url(config.redis_url)}, prefix {config.redis_prefix}"
    if config.data_dir == IN_MEMORY:
        return "embedded, in memory"
    return f"embedded, in {Path(config.data_dir).expanduser()}"
