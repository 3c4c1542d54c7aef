"""What comes to the hub itself is answered, and what is wrong with it is said."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from hypha_cluster.errors import HubError
from tests.unit.hub.peers import FakeClient, FakeHub

MANAGER = "home/workspace-manager"


@pytest.fixture
async def hub() -> AsyncIterator[FakeHub]:
    made = FakeHub()
    yield made
    await made.client.stop()


@pytest.fixture
def client(hub: FakeHub) -> FakeClient:
    return hub.connect("home/c")


def method(path: str) -> dict[str, Any]:
    return {"_rtarget": MANAGER, "_rmethod": path}


async def test_it_says_that_it_is_there(client: FakeClient) -> None:
    assert await client.begin(method("services.built-in.ping"), "ping") == "pong"


async def test_it_describes_what_every_peer_has(client: FakeClient) -> None:
    service = await client.begin(method("services.built-in.get_service"), "built-in")

    assert service["id"] == "built-in"
    assert service["ping"]["_rtarget"] == MANAGER


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("services.built-in.register_service", "no function built-in.register_service"),
        ("services.default.echo", "no longer attached"),
        ("services.built-in.get_service", "no longer attached"),
        ("nothing.receive", "Parent session was closed: nothing"),
    ],
)
async def test_what_it_cannot_do_is_said(client: FakeClient, path: str, reason: str) -> None:
    with pytest.raises(HubError, match=reason):
        await client.begin(method(path), "default")


async def test_answers_to_nothing_are_ignored(hub: FakeHub, client: FakeClient) -> None:
    client.say(MANAGER, "nothing.resolve", {"args": [1]})
    client.say(MANAGER, "nothing.reject", {"args": []})

    assert client.received == []
    assert not hub.client.is_serving("home/c")
