"""Fixtures of the Python conformance tests: clients of every release, and connections of theirs."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.conformance.python_scene import Clients, Connect, Pair, colleague
from tests.gateways import Hub
from tests.python_client import Connection, PythonClient


@pytest.fixture(scope="session")
def clients() -> Iterator[Clients]:
    """One process for each release, started when a test first asks for it."""
    running: dict[str, PythonClient] = {}
    with ExitStack() as stack:

        def client(release: str) -> PythonClient:
            if release not in running:
                running[release] = stack.enter_context(PythonClient(release))
            return running[release]

        yield client

        for release, client_of_release in running.items():
            log = client_of_release.log()
            assert "Connection is broken" not in log, f"{release} lost a connection:\n{log}"


@pytest.fixture
async def connect(clients: Clients) -> AsyncIterator[Connect]:
    """Connect a client, and disconnect it when the test is over."""
    opened: list[Connection] = []

    async def connect(release: str, url: str, **config: Any) -> Connection:
        connection = await clients(release).connect(url, **config)
        opened.append(connection)
        return connection

    yield connect
    await asyncio.gather(*(connection["disconnect"]() for connection in opened))


@pytest.fixture
def pair(connect: Connect) -> Pair:
    """Connect two clients to one workspace, a provider and a caller."""

    async def pair(
        hub: Hub, release: str, other: str | None = None, **config: Any
    ) -> tuple[Connection, Connection]:
        provider = await connect(release, hub.first, **config)
        return provider, await colleague(connect, provider, other or release, hub.second, **config)

    return pair


@pytest.fixture
def strangers(connect: Connect) -> Pair:
    """Connect two clients to a workspace each, a provider and a caller."""

    async def strangers(
        hub: Hub, release: str, other: str | None = None, **config: Any
    ) -> tuple[Connection, Connection]:
        provider, caller = await asyncio.gather(
            connect(release, hub.first, **config), connect(other or release, hub.second, **config)
        )
        return provider, caller

    return strangers
