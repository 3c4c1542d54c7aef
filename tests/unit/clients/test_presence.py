"""What Redis is told of clients: at once, or later, and again when it has forgotten."""

from typing import cast

import pytest

from hypha_cluster.clients.presence import Presence, departure
from hypha_cluster.errors import ClientLeft, Conflict
from hypha_cluster.registry.clients import Attachment, ClientRegistry
from hypha_cluster.registry.services import Services
from hypha_cluster.relay.events import LEFT, MISJUDGED, Event, read_event
from tests.unit.clients.rig import ME, Cluster, Node


@pytest.fixture
async def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
async def node(cluster: Cluster) -> Node:
    return Node(cluster, "here")


def test_a_departure_is_an_event() -> None:
    assert read_event(departure(ME)) == Event(LEFT, [ME])


async def test_what_redis_could_not_be_told_is_told_later(cluster: Cluster, node: Node) -> None:
    mine = await node.attach()
    cluster.registry.is_away = True
    await node.presence.suspend(mine.attachment)
    await node.presence.tell_again()
    assert cluster.registry.states[ME] == "online"

    cluster.registry.is_away = False
    await node.presence.tell_again()

    assert cluster.registry.states[ME] == "suspended"
    assert node.counts.suspended == 1
    await node.presence.tell_again()
    assert node.counts.suspended == 1


async def test_the_last_that_is_said_of_a_connection_counts(cluster: Cluster, node: Node) -> None:
    mine = await node.attach()
    cluster.registry.is_away = True
    await node.presence.suspend(mine.attachment)
    await node.presence.leave(mine.attachment)
    cluster.registry.is_away = False

    await node.presence.tell_again()

    assert ME not in cluster.registry.states
    assert (node.counts.suspended, node.counts.left) == (0, 1)


async def test_a_node_that_was_taken_for_dead_is_told(cluster: Cluster, node: Node) -> None:
    heard: list[bytes] = []
    node.listener.receivers = node.listener.receivers._replace(event=heard.append)

    node.presence.announce_misjudgement("there")
    await cluster.bus.settled()

    assert [read_event(each) for each in heard] == [Event(MISJUDGED, ["there"])]


async def test_it_is_noticed_that_redis_has_forgotten_a_client(
    cluster: Cluster, node: Node
) -> None:
    mine = await node.attach()
    assert await node.presence.are_known(node.connections)

    cluster.registry.records.clear()

    assert not await node.presence.are_known(node.connections)
    await node.places.set_aside(mine)  # which need not be known any more
    assert await node.presence.are_known(node.connections)


async def test_an_address_is_not_taken_from_another_connection(
    cluster: Cluster, node: Node
) -> None:
    mine = await node.attach()
    cluster.registry.records[ME] = mine.attachment._replace(holder="there#1")

    with pytest.raises((Conflict, ClientLeft)):
        await node.presence.assert_again(mine)


async def test_who_does_not_come_again_leaves_for_good(cluster: Cluster, node: Node) -> None:
    mine = await node.attach()

    async def comes_again(attachment: Attachment) -> bool:
        return attachment is not mine.attachment

    node.presence = Presence(
        cast(ClientRegistry, cluster.registry),
        cast(Services, cluster.registry),
        node.publisher,
        node.counts,
        60.0,
        comes_again,
    )

    await node.presence.suspend(mine.attachment)

    assert ME not in cluster.registry.states
    assert (node.counts.suspended, node.counts.left) == (0, 1)
