"""Which server has a slot, however they move, and what is said when none can be asked."""

from typing import Any

import pytest

from hypha_cluster.errors import RedisUnavailable
from hypha_cluster.links import servers as module
from hypha_cluster.links.link import Access, Endpoint
from hypha_cluster.links.servers import (
    SLOTS,
    ClusterServers,
    OneServer,
    SentinelServers,
    Servers,
    slot_of,
)
from hypha_cluster.supervision import Supervisor
from tests.unit.links.net import A, B, soon


class Asked:
    """What servers answer to whoever looks; an exception is raised."""

    def __init__(self) -> None:
        self.answer: Any = None
        self.questions: list[tuple[list[Endpoint], tuple[str, ...], bool]] = []

    def install(self, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = self

        class FakeInquiry:
            async def ask(
                self, addresses: list[Endpoint], *command: str, elsewhere: bool
            ) -> tuple[Endpoint, Any]:
                asked.questions.append((addresses, command, elsewhere))
                if isinstance(asked.answer, Exception):
                    raise asked.answer
                return addresses[0], asked.answer

            def close(self) -> None:
                """There is nothing to close."""

        monkeypatch.setattr(servers, "_inquiry", FakeInquiry())


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
async def cluster(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> ClusterServers:
    servers = ClusterServers(Access(), Supervisor(), [A])
    asked.answer = [[0, 99, [b"a", 1]], [100, SLOTS - 1, [b"b", 2], [b"c", 3]]]
    asked.install(servers, monkeypatch)
    return servers


@pytest.fixture
async def sentinels(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> SentinelServers:
    servers = SentinelServers(Access(), Supervisor(), [A], "main", Access())
    asked.answer = [b"m", b"7"]
    asked.install(servers, monkeypatch)

    async def listen(self: SentinelServers, sentinel: Endpoint) -> None:
        """Nobody has news."""

    monkeypatch.setattr(SentinelServers, "_listen", listen)
    return servers


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        (b"123456789", 0x31C3),
        (b"foo", 12182),
        (b"{foo}:bar", 12182),
        (b"a{foo}{bar}", 12182),
        (b"", 0),
    ],
)
def test_the_slot_of_a_key_is_that_of_its_tag(key: bytes, slot: int) -> None:
    assert slot_of(key) == slot


def test_an_empty_tag_is_none() -> None:
    assert slot_of(b"{}foo") != slot_of(b"foo")


async def test_one_server_has_everything() -> None:
    servers = OneServer(Access(), Supervisor(), A)

    assert (servers.slot("k"), servers.server_of(0), list(servers.in_use())) == (0, A, [A])
    assert list(servers.some_slots()) == [0]
    with pytest.raises(RedisUnavailable, match=r"write redis\+cluster://"):
        servers.moved(0, B)


async def test_slots_are_where_the_cluster_says(cluster: ClusterServers) -> None:
    changed = cluster.changed
    await cluster.look()

    assert [cluster.server_of(slot) for slot in (0, 99, 100, SLOTS - 1)] == [A, A, B, B]
    assert list(cluster.in_use()) == [A, B]
    assert list(cluster.some_slots()) == [0, 100]
    assert cluster.slot("foo") == cluster.slot(b"foo") == 12182
    assert changed.is_set()


async def test_nothing_has_changed_when_all_is_where_it_was(cluster: ClusterServers) -> None:
    await cluster.look()
    changed = cluster.changed

    await cluster.look()

    assert not changed.is_set()


async def test_slots_without_a_server_are_nobodys(cluster: ClusterServers, asked: Asked) -> None:
    asked.answer = [[0, 99, [b"a", 1]]]

    await cluster.look()

    assert cluster.server_of(100) is None


async def test_a_server_that_does_not_know_its_name_is_the_one_that_was_asked(
    cluster: ClusterServers, asked: Asked
) -> None:
    asked.answer = [[0, SLOTS - 1, [b"", 6379]]]

    await cluster.look()

    assert cluster.server_of(5) == Endpoint("a", 6379)


async def test_who_is_told_that_a_slot_moved_uses_it_at_once(cluster: ClusterServers) -> None:
    await cluster.look()
    changed, new = cluster.changed, Endpoint("new", 9)

    cluster.moved(3, new)

    assert cluster.server_of(3) == new
    assert new in cluster.in_use()
    assert changed.is_set()


async def test_the_master_is_whom_the_sentinels_name(
    sentinels: SentinelServers, asked: Asked
) -> None:
    assert list(sentinels.in_use()) == []
    await sentinels.look()
    assert sentinels.server_of(5) == Endpoint("m", 7)
    assert list(sentinels.in_use()) == [Endpoint("m", 7)]

    asked.answer = [b"n", b"8"]
    changed = sentinels.changed
    await sentinels.look()

    assert sentinels.server_of(5) == Endpoint("n", 8)
    assert changed.is_set()


async def test_sentinels_that_know_no_master_say_so(
    sentinels: SentinelServers, asked: Asked
) -> None:
    asked.answer = None

    with pytest.raises(RedisUnavailable, match="Sentinel a:1 knows no master 'main'"):
        await sentinels.look()


async def test_looking_in_vain_is_told_once_and_goes_on_elsewhere(
    cluster: ClusterServers,
    asked: Asked,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_LOOK_PAUSE", 0.0)
    monkeypatch.setattr(module, "_LOOK_INTERVAL", 0.001)
    await cluster.start()
    asked.answer = RedisUnavailable("Redis at a:1 hung up.")
    cluster.doubt()
    await soon(lambda: len(asked.questions) > 5)

    await cluster.aclose()

    assert caplog.messages == ["Redis at a:1 hung up."]
    assert True in [elsewhere for _, _, elsewhere in asked.questions]
