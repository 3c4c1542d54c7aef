"""Whose token is revoked goes, from whichever gateway that was said."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from hypha_cluster.clients import expulsion as module
from hypha_cluster.clients.expulsion import Expulsion
from hypha_cluster.clients.life import GOING_AWAY, ClientLife
from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.identity.access import Identity, Origin
from hypha_cluster.identity.tokens import APP
from hypha_cluster.registry.clients import Attachment
from hypha_cluster.registry.revocations import Revocations
from hypha_cluster.relay.connection import Connection
from hypha_cluster.relay.connections import Connections
from hypha_cluster.supervision import Supervisor
from tests.fakes import FakeSocket
from tests.unit.relay.test_connection import connection

LIMIT = 10.0  # seconds
PAGE = Identity("page", parent="ann", scopes=("ann",), origin=Origin(f"{APP}1", 5.0))


class FakeBook:
    """What is revoked, as the test says it."""

    def __init__(self) -> None:
        self.revoked: set[str] = set()
        self.kicked: set[str] = set()
        self.left: dict[str, Identity] = {}

    def is_revoked(self, identity: Identity) -> bool:
        return identity.id in self.revoked

    def is_kicked(self, address: str, since: float) -> bool:
        return address in self.kicked

    def admit(self, identity: Identity) -> Identity:
        return self.left.get(identity.id, identity)


class FakeRevocations:
    def __init__(self) -> None:
        self.book = FakeBook()
        self.version = 0
        self.loads = 0
        self.is_away = False
        self.looked = asyncio.Event()

    async def load(self) -> None:
        self.loads += 1
        self.looked.set()
        if self.is_away:
            raise RedisUnavailable("Redis is away.")


class FakeLife:
    def __init__(self) -> None:
        self.expelled: list[str] = []

    async def expel(self, connection: Connection) -> None:
        self.expelled.append(connection.address)


class Rig:
    def __init__(self) -> None:
        self.revocations, self.life = FakeRevocations(), FakeLife()
        self.connections = Connections(1_000, 10.0)
        self.mine = connection(FakeSocket())
        self.connections.attach(self.mine)
        self.over = set[str]()
        self.asked, self.is_redis_away, self.looked_at_pages = 0, False, asyncio.Event()
        self.expulsion = Expulsion(
            cast(Revocations, self.revocations),
            self.connections,
            cast(ClientLife, self.life),
            Supervisor(),
            self.is_over,
        )

    async def is_over(self, attachment: Attachment) -> bool:
        self.asked += 1
        self.looked_at_pages.set()
        if self.is_redis_away:
            raise RedisUnavailable("Redis is away.")
        return attachment.address in self.over

    async def looks_at_pages(self, times: int = 3) -> None:
        until = self.asked + times
        while self.asked < until:
            self.looked_at_pages.clear()
            await asyncio.wait_for(self.looked_at_pages.wait(), LIMIT)

    async def looks(self, times: int = 2) -> None:
        """Wait until it has looked so often, and has done what follows."""
        until = self.revocations.loads + times
        while self.revocations.loads < until:
            self.revocations.looked.clear()
            await asyncio.wait_for(self.revocations.looked.wait(), LIMIT)

    def closed(self) -> list[int]:
        assert isinstance(self.mine.socket, FakeSocket)
        return self.mine.socket.closed


@pytest.fixture
async def rig(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    monkeypatch.setattr(module, "LOOK_EVERY", 0.001)
    monkeypatch.setattr(module, "LOOK_AT_PAGES_EVERY", 0.001)
    rig = Rig()
    rig.expulsion.start()
    yield rig
    await rig.expulsion.stop()


async def test_whose_token_is_revoked_is_expelled(rig: Rig) -> None:
    rig.revocations.book.revoked.add("ann")
    rig.revocations.version += 1

    await rig.looks()

    assert rig.life.expelled[:1] == ["ann/me"]


async def test_who_is_told_to_by_an_operator_is_expelled(rig: Rig) -> None:
    rig.revocations.book.kicked.add("ann/me")
    rig.revocations.version += 1

    await rig.looks()

    assert rig.life.expelled[:1] == ["ann/me"]


async def test_the_page_of_an_app_that_is_over_is_expelled(rig: Rig) -> None:
    rig.mine.attachment = rig.mine.attachment._replace(identity=PAGE)
    await rig.looks_at_pages()
    assert rig.life.expelled == []
    rig.is_redis_away = True
    await rig.looks_at_pages()
    rig.over.add("ann/me")
    rig.is_redis_away = False

    await rig.looks_at_pages()

    assert rig.life.expelled[:1] == ["ann/me"]


async def test_nobody_is_looked_at_while_there_is_nothing_new(rig: Rig) -> None:
    rig.revocations.book.revoked.add("ann")

    await rig.looks()

    assert rig.life.expelled == []


async def test_redis_that_is_away_does_not_end_the_looking(rig: Rig) -> None:
    rig.revocations.is_away = True
    await rig.looks()
    rig.revocations.book.revoked.add("ann")
    rig.revocations.version += 1

    await rig.looks()

    assert rig.life.expelled[:1] == ["ann/me"]


@pytest.mark.parametrize(
    ("scopes", "left"), [(("ann", "lab"), ("ann",)), (("ann", "lab"), ("lab",))]
)
async def test_whose_token_is_revoked_in_part_comes_back_with_the_rest_unless_it_is_lost_here(
    rig: Rig, scopes: tuple[str, ...], left: tuple[str, ...]
) -> None:
    whole = Identity("ann", scopes=scopes)
    rig.mine.attachment = rig.mine.attachment._replace(identity=whole)
    rig.revocations.book.left["ann"] = Identity("ann", scopes=left)
    rig.revocations.version += 1

    await rig.looks()

    if "ann" in left:
        assert (rig.closed(), rig.life.expelled) == ([GOING_AWAY], [])
    else:
        assert (rig.closed(), rig.life.expelled[:1]) == ([], ["ann/me"])
