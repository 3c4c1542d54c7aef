"""The feature: --startup-functions."""

import asyncio
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from hypha_cluster.errors import StartupError
from hypha_cluster.features.feature import Feature, Grounds
from hypha_cluster.features.functions.post import Post
from hypha_cluster.features.functions.process import Process
from hypha_cluster.identity.access import PUBLIC, STARTUP, Identity
from hypha_cluster.registry.roles import Role
from hypha_cluster.settings import YEAR, items, setting
from hypha_cluster.supervision import Tasks


@dataclass(frozen=True, slots=True)
class FunctionSettings:
    """What the hub runs besides itself."""

    startup_functions: str = setting(
        "",
        "Functions of yours that one gateway of all runs, each as module:function or "
        "path.py:function.",
        many=True,
    )
    functions_python: str = setting(
        "", "Python that they run in, which has imjoy-rpc; empty = that of the hub."
    )


class Functions(Feature):
    """Runs functions of the operator's as clients of the workspace `public`."""

    name = "functions"
    title = "Startup functions"
    Settings = FunctionSettings

    def __init__(self, settings: FunctionSettings, grounds: Grounds) -> None:
        self._python = settings.functions_python
        self._grounds = grounds
        self._posts = [self._post(function) for function in functions_of(settings)]
        self._tasks = Tasks(grounds.supervisor)
        self._is_prepared = asyncio.Event()

    @classmethod
    def needs_inner(cls, settings: FunctionSettings) -> bool:
        return bool(functions_of(settings))

    async def prepare(self) -> None:
        for post in self._posts:
            await post.begin()
        self._is_prepared.set()

    async def run(self) -> None:
        try:
            await self._is_prepared.wait()
            for post in self._posts:
                self._tasks.keep("function", post.keep, post.function)
            await asyncio.Event().wait()
        finally:
            await self.drain()

    async def drain(self) -> None:
        await self._tasks.stop()
        for post in self._posts:
            await post.end()

    def _post(self, function: str) -> Post:
        role = Role(self._grounds.redis, self._grounds.keys, client_id(function))
        start = partial(self._start, function)
        return Post(function, role, start, self._grounds.supervisor)

    async def _start(self, function: str) -> Process:
        return await Process.start(self._python, orders(function, self._grounds))


def functions_of(settings: FunctionSettings) -> Sequence[str]:
    """The functions that the settings name; StartupError for one that is named twice."""
    found = items(settings.startup_functions)
    for function in found:
        if found.count(function) > 1:
            raise StartupError(f"startup_functions: {function} is there twice")
    return found


_OUTSIDE: Final = re.compile(r"[^A-Za-z0-9_-]+")


def client_id(function: str) -> str:
    """The id that a function has as a client, the same on every gateway."""
    digest = hashlib.sha256(function.encode()).hexdigest()[:8]
    return f"{_OUTSIDE.sub('-', function.rpartition(':')[2])[:40]}-{digest}"


def orders(function: str, grounds: Grounds) -> dict[str, Any]:
    """What the program of a function is told; it holds a secret, so it goes by standard input."""
    identity = Identity(STARTUP, is_anonymous=False, scopes=(PUBLIC,))
    return {
        "function": function,
        "connection": {
            "server_url": grounds.inner_url,
            "workspace": PUBLIC,
            "client_id": client_id(function),
            "token": grounds.tokens.issue(identity, YEAR),
        },
        # What functions find in `server.config` at the original.
        "config": {
            "workspace": PUBLIC,
            "require_context": True,
            "visibility": "public",
            "public_base_url": grounds.base_url,
            "local_base_url": grounds.inner_url,
        },
    }
