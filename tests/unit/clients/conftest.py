"""Fixtures of the unit tests of clients' lives."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.unit.clients.rig import Cluster, Node

LIMIT = 10.0  # seconds


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    cluster = Cluster()
    async with asyncio.timeout(LIMIT):
        yield cluster
        await cluster.stop()


@pytest.fixture
async def node(cluster: Cluster) -> Node:
    return cluster.node("here")
