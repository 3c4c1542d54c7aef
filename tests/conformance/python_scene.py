"""What the Python conformance tests have in common: the parties, and what is said of them."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import pytest

from tests.gateways import SECOND, Hub
from tests.python_client import RELEASES, Connection, PythonClient, RemoteError

every_release = pytest.mark.parametrize("release", RELEASES)


class Clients(Protocol):
    def __call__(self, release: str) -> PythonClient: ...


class Connect(Protocol):
    async def __call__(self, release: str, url: str, **config: Any) -> Connection: ...


class Pair(Protocol):
    async def __call__(
        self, hub: Hub, release: str, other: str | None = None, **config: Any
    ) -> tuple[Connection, Connection]: ...


async def colleague(
    connect: Connect, host: Connection, release: str, url: str, **config: Any
) -> Connection:
    """Connect one more client to the workspace of another."""
    token = await host["generate_token"]()
    return await connect(release, url, workspace=host.workspace, token=token, **config)


async def refusal_of(attempt: Awaitable[Any], within: float = 30 * SECOND) -> str:
    """Return the text of the error that the attempt must end in, and in time."""
    with pytest.raises(RemoteError) as refused:
        await asyncio.wait_for(attempt, within)
    return refused.value.text


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    """Ask again and again until the answer is yes."""
    async with asyncio.timeout(seconds * SECOND):
        while not await condition():  # noqa: ASYNC110  (only the hub knows, and it must be asked)
            await asyncio.sleep(0.05)


def unique(name: str) -> str:
    """Return a name that no other test has, for what the whole hub can see."""
    return f"{name}-{uuid.uuid4().hex[:12]}"
