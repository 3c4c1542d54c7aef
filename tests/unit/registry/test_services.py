"""Services are put with what the listing needs to know, and found as their workspace has them."""

import json
from typing import Any

import pytest

from hypha_cluster.errors import ClientLeft, ClientNotFound
from hypha_cluster.identity.access import Identity, own_workspace
from hypha_cluster.registry.clients import Attachment
from hypha_cluster.registry.keys import Keys
from hypha_cluster.registry.public import PublicListing
from hypha_cluster.registry.services import (
    BUILT_IN,
    Provider,
    RecentlyFound,
    RecentServices,
    Services,
)
from tests.fake_redis import FakeRedis, Words

ANN = Identity("ann")
ME = Attachment("ann/me", "me", own_workspace(ANN), ANN, "node#1", "node")
PUBLIC = {"config": {"visibility": "public"}}
PROTECTED = {"config": {"visibility": "protected"}}


class Stage:
    """Services of one node; `changed` are the workspaces that it has announced."""

    def __init__(self, fake: FakeRedis, keys: Keys) -> None:
        self.changed: list[str] = []
        self.recent = RecentlyFound(self.changed.append)
        public = PublicListing(fake.client, keys)
        self.services = Services(fake.client, keys, public, self.recent)
        self.lately = RecentServices(self.services, self.recent)


@pytest.fixture
def stage(fake: FakeRedis, keys: Keys) -> Stage:
    return Stage(fake, keys)


async def test_a_registration_marks_what_is_public_and_settles_it(
    fake: FakeRedis, stage: Stage
) -> None:
    fake.answers["register"] = [b"open", b"gone"]
    put = {"open": json.dumps(PUBLIC), "shut": json.dumps(PROTECTED)}

    await stage.services.register(ME, put, ["gone"])

    (words,) = fake.words("register")
    marks = ("open", 1, put["open"], "shut", 0, put["shut"])
    assert words[5:] == ("me", "node#1", "p:{ann}:providers:", 1, "gone", *marks)
    assert fake.words("hset") == [("p:public:{open}", "ann/me:open", put["open"])]
    assert fake.words("hdel") == [("p:public:{gone}", "ann/me:gone")]
    assert stage.changed == ["ann"]


async def test_who_is_attached_elsewhere_registers_nothing(fake: FakeRedis, stage: Stage) -> None:
    fake.answers["register"] = None

    with pytest.raises(ClientLeft):
        await stage.services.register(ME, {"s": json.dumps(PUBLIC)})

    assert fake.names == ["register"]
    assert stage.changed == []


async def test_a_public_service_is_what_its_workspace_says(fake: FakeRedis, stage: Stage) -> None:
    """The listing only says where to look."""
    infos = {"a": PUBLIC, "b": PROTECTED, "c": None, "d": PUBLIC}
    states = {"a": b"online", "b": b"online", "c": b"online", "d": None}

    def read(words: Words) -> Any:
        key, field = words
        if field == "state":
            return states[key[-1]]
        info = infos[field[0]]
        return None if info is None else json.dumps(info).encode()

    fake.answers |= {"hkeys": [f"ws/{each}:s".encode() for each in "abcd"], "hget": read}

    assert await stage.services.public_providers("s") == [Provider("ws/a", "s", PUBLIC, True)]


async def test_providers_are_read_with_their_states(fake: FakeRedis, stage: Stage) -> None:
    info = json.dumps(PUBLIC).encode()
    fake.answers["providers"] = [b"a", b"online", info, b"b", b"suspended", info]

    found = await stage.services.providers("ws", "s")

    assert [(each.address, each.online) for each in found] == [("ws/a", True), ("ws/b", False)]


async def test_one_clients_service_is_found_if_it_offers_it(fake: FakeRedis, stage: Stage) -> None:
    fake.answers["hget"] = lambda words: b"online" if words[1] == "state" else None
    built_in = await stage.services.provider("ws/me", BUILT_IN)

    assert await stage.services.provider("ws/me", "s") is None
    assert built_in is not None
    assert built_in.is_public
    fake.answers["hget"] = None
    with pytest.raises(ClientNotFound):
        await stage.services.provider("ws/me", "s")


async def test_all_services_of_a_workspace_have_their_full_ids(
    fake: FakeRedis, stage: Stage
) -> None:
    fake.answers["hgetall"] = [b"me:s", b'{"name": "S"}']

    assert await stage.services.of_workspace("ws") == [{"name": "S", "id": "ws/me:s"}]


async def test_what_was_found_lately_is_not_asked_for_until_it_changes(
    fake: FakeRedis, stage: Stage
) -> None:
    fake.answers["providers"] = [b"a", b"online", b"{}"]
    await stage.lately.providers("ws", "s")
    await stage.lately.providers("ws", "s")
    assert fake.names == ["providers"]

    stage.recent.forget("ws")
    await stage.lately.providers("ws", "s")

    assert fake.names == ["providers"] * 2


async def test_whoever_watches_a_workspace_is_woken_by_its_changes(stage: Stage) -> None:
    with stage.recent.watching("ws") as mine, stage.recent.watching("other") as other:
        stage.recent.changed("ws")

        assert mine.is_set()
        assert not other.is_set()
    assert stage.changed == ["ws"]
