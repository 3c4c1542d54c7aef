"""A gateway in the process of the test, into which faults can be put."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypercorn.asyncio import serve

from hypha_cluster.app import create_app
from hypha_cluster.config import Config
from hypha_cluster.node import Node
from hypha_cluster.serving.gateway import hypercorn_settings
from hypha_cluster.serving.http11 import end_outliving, install, uninstall
from hypha_cluster.serving.preflight import listen
from hypha_cluster.wiring import Chosen


class Flaw:
    """Makes a method fail once; unless it is told otherwise, as nobody expects it to."""

    def __init__(self, owner: type, method: str, error: Exception | None = None) -> None:
        self.owner, self.method = owner, method
        self.error = error or KeyError("nobody expects this")
        self.has_failed = False

    def put_into(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sound = getattr(self.owner, self.method)

        async def flawed(*args: Any, **kwargs: Any) -> Any:
            if not self.has_failed:
                self.has_failed = True
                raise self.error
            return await sound(*args, **kwargs)

        monkeypatch.setattr(self.owner, self.method, flawed)


@asynccontextmanager
async def served(config: Config, features: Chosen | None = None) -> AsyncIterator[tuple[str, Node]]:
    """Serve a gateway; give its URL and its node."""
    ready, stop = asyncio.Event(), asyncio.Event()

    async def until_stopped() -> None:
        ready.set()
        await stop.wait()

    install(fast=config.fast_websockets)
    app: Any = create_app(config, features)
    with listen(config.host, config.port) as listener:
        settings = hypercorn_settings(config, os.dup(listener.fileno()))
        serving = asyncio.create_task(serve(app, settings, shutdown_trigger=until_stopped))
        try:
            await ready.wait()
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", app.state.node
        finally:
            stop.set()
            await serving
            await end_outliving(1.0)  # sockets that were closing when the server ended
            uninstall()
