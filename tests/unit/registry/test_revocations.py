"""What is revoked anywhere is in every gateway's book, and stays there when Redis loses it."""

import asyncio
import json
import time
from typing import Any

import pytest

from hypha_cluster.audit import LOGGER
from hypha_cluster.errors import InvalidToken
from hypha_cluster.identity.access import Identity, Origin
from hypha_cluster.identity.revocation import Kind, Revocation
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.revocations import Revocations
from tests.fake_redis import FakeRedis, Words

NOW = time.time()
BOB = Revocation(Kind.USER, "bob", NOW, NOW + 86_400.0)
OVER = Revocation(Kind.USER, "eve", NOW - 99.0, NOW - 9.0)


class Store:
    """The one hash of revocations."""

    def __init__(self, fake: FakeRedis) -> None:
        self.version = 0
        self.entries: dict[str, str] = {}
        fake.answers |= {"hget": self._version, "hgetall": self._all, "revoke": self._revoke}

    def holds(self, *revocations: Revocation) -> None:
        self.entries = {each.key: json.dumps([each.before, each.until]) for each in revocations}
        self.version += 1

    def _version(self, words: Words) -> bytes | None:
        return str(self.version).encode() if self.version else None

    def _all(self, words: Words) -> list[Any]:
        fields = {**self.entries, "version": str(self.version)} if self.version else {}
        return [part.encode() for pair in fields.items() for part in pair]

    def _revoke(self, words: Words) -> int:
        _, name, value, *over = words
        if name:
            self.entries[name] = value
        for each in over:
            self.entries.pop(each, None)
        self.version += 1
        return self.version


@pytest.fixture
def store(fake: FakeRedis) -> Store:
    return Store(fake)


@pytest.fixture
def revocations(fake: FakeRedis, keys: Keys, store: Store) -> Revocations:
    return Revocations(fake.client, keys)


def is_revoked(revocations: Revocations, user: str) -> bool:
    return revocations.book.is_revoked(Identity(user, origin=Origin("t", NOW - 1.0)))


async def test_what_another_gateway_has_noted_is_known(
    store: Store, revocations: Revocations
) -> None:
    store.holds(BOB, OVER)

    await revocations.load()

    assert is_revoked(revocations, "bob")
    assert not is_revoked(revocations, "ann")
    assert revocations.version == 1


async def test_nothing_is_read_while_there_is_nothing_new(
    fake: FakeRedis, store: Store, revocations: Revocations
) -> None:
    store.holds(BOB)
    await revocations.load()

    await revocations.load()

    assert fake.names.count("hgetall") == 1


async def test_what_is_noted_holds_here_at_once(store: Store, revocations: Revocations) -> None:
    await revocations.note(BOB)

    assert is_revoked(revocations, "bob")
    assert set(store.entries) == {"user:bob"}


async def test_the_audit_log_says_what_was_revoked_elsewhere(
    store: Store, revocations: Revocations, caplog: pytest.LogCaptureFixture
) -> None:
    """Not what was revoked before this gateway started, nor what it has revoked itself."""
    caplog.set_level("INFO", LOGGER)
    store.holds(OVER)
    await revocations.load()

    await revocations.note(Revocation.of_user("ann", NOW, NOW))
    store.entries[BOB.key] = json.dumps([BOB.before, BOB.until])
    store.version += 1
    await revocations.load()

    said = [json.loads(record.getMessage()) for record in caplog.records if record.name == LOGGER]
    assert said == [
        {"event": "revoked", "what": "user", "name": "ann"},
        {"event": "revocation learned", "what": "user", "name": "bob"},
    ]


async def test_what_is_noted_already_and_is_later_stays(
    fake: FakeRedis, store: Store, revocations: Revocations
) -> None:
    await revocations.note(BOB)

    await revocations.note(BOB._replace(before=NOW - 50.0))

    assert fake.names.count("revoke") == 1


async def test_what_is_over_goes_with_the_next_that_is_noted(
    store: Store, revocations: Revocations
) -> None:
    short = Revocation(Kind.USER, "eve", NOW, time.time() + 0.001)
    await revocations.note(short)
    revocations._known[short.key] = OVER  # as some seconds later

    await revocations.note(BOB)

    assert set(store.entries) == {"user:bob"}


async def test_what_is_lifted_holds_no_more(store: Store, revocations: Revocations) -> None:
    await revocations.note(BOB)

    await revocations.lift(Kind.USER, "bob")

    assert not is_revoked(revocations, "bob")


async def test_what_redis_has_lost_is_noted_again(store: Store, revocations: Revocations) -> None:
    await revocations.note(BOB)
    store.version, store.entries = 0, {}

    await revocations.load()

    assert set(store.entries) == {"user:bob"}
    assert is_revoked(revocations, "bob")


# Those who do something for as long as their token holds.

ANN = Identity("ann", scopes=("lab",), origin=Origin("t", NOW - 1.0))


async def test_who_has_nothing_to_lose_goes_on(store: Store, revocations: Revocations) -> None:
    async with revocations.holding(ANN, "lab"):
        store.holds(BOB, Revocation(Kind.WORKSPACE, "another", NOW, NOW + 86_400.0))
        await revocations.load()
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("kind", "name"), [(Kind.USER, "ann"), (Kind.TOKEN, "t"), (Kind.WORKSPACE, "lab")]
)
async def test_who_loses_it_is_cut_off_meanwhile(
    store: Store, revocations: Revocations, kind: Kind, name: str
) -> None:
    async def go_on() -> None:
        async with revocations.holding(ANN, "lab"):
            store.holds(Revocation(kind, name, NOW, NOW + 86_400.0))
            await revocations.load()
            await asyncio.Event().wait()

    with pytest.raises(InvalidToken, match="has been revoked"):
        await asyncio.wait_for(go_on(), 5)


async def test_a_limit_of_time_is_told_as_what_it_is(revocations: Revocations) -> None:
    with pytest.raises(TimeoutError):
        async with revocations.holding(ANN, "lab"):
            raise TimeoutError
