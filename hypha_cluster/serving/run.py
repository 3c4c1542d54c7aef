"""Runs a hub: its port, its store, its gateway processes."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import FrameType

from hypha_cluster.config import IN_MEMORY, Config, masked_url
from hypha_cluster.serving.embedded import embedded_store
from hypha_cluster.serving.gateway import run_gateway
from hypha_cluster.serving.logs import configure_logging
from hypha_cluster.serving.preflight import check_certificate, check_redis, listen
from hypha_cluster.serving.workers import run_workers


def serve(config: Config) -> None:
    """Run a hub until SIGTERM or Ctrl-C; raise StartupError when it cannot start."""
    configure_logging(config.log_level, config.log_format)
    check_certificate(config.certfile, config.keyfile)
    with _leaving_on_sigterm(), listen(config.host, config.port) as listener:
        config = replace(config, port=listener.getsockname()[1])
        with _store(config) as redis_url:
            asyncio.run(check_redis(redis_url))
            announce = _announcement(config)
            _run(replace(config, redis_url=redis_url), listener, announce)


def _run(config: Config, listener: socket.socket, announce: Callable[[], None]) -> None:
    if config.workers > 1:
        run_workers(config, listener, announce)
    else:
        run_gateway(config, listener.detach(), announce)


@contextlib.contextmanager
def _leaving_on_sigterm() -> Iterator[None]:
    """Until the event loop listens to signals, one of them still has to stop the store."""

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


def _announcement(config: Config) -> Callable[[], None]:
    def announce() -> None:
        sys.stdout.write(_banner(config))
        sys.stdout.flush()

    return announce


def _banner(config: Config) -> str:
    """What to know about a hub that has just started."""
    gateways = f", {config.workers} gateways" if config.workers > 1 else ""
    return (
        f"hypha-cluster {version('hypha-cluster')}{gateways}\n"
        f"Listening on {config.local_url}\n"
        f"Store: {_store_name(config)}\n"
        f'Connect with: await connect_to_server({{"server_url": "{config.base_url}"}})\n'
    )


def _store_name(config: Config) -> str:
    if config.redis_url:
        return f"Redis at {masked_url(config.redis_url)}, prefix {config.redis_prefix}"
    if config.data_dir == IN_MEMORY:
        return "embedded, in memory"
    return f"embedded, in {Path(config.data_dir).expanduser()}"
