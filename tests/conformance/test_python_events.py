"""Python clients send each other messages with `emit` and receive them with `on`."""

import pytest

from tests.conformance.python_scene import Pair, unique
from tests.gateways import Hub
from tests.python_client import Connection, Local, Recorder, releases_since

pytestmark = pytest.mark.clients

those_that_can = pytest.mark.parametrize("release", releases_since("0.5.57"))


@those_that_can
async def test_a_message_arrives_with_its_sender(hub: Hub, release: str, pair: Pair) -> None:
    receiver, sender = await pair(hub, release)
    notes = Recorder(unique("notes"))
    await receiver["on"]("note", notes)

    await send(sender, receiver, text="Dinner is ready.", courses=[1, 2])

    [[note]] = await receiver.client.recorded(notes, 1)
    info = await sender["get_connection_info"]()
    assert note["type"] == "note"
    assert note["text"] == "Dinner is ready."
    assert note["courses"] == [1, 2]
    assert note["from"] == await sender.address()
    assert note["to"] == await receiver.address()
    assert note["user"] == info["user_info"]


@those_that_can
async def test_a_message_crosses_workspaces(hub: Hub, release: str, strangers: Pair) -> None:
    receiver, sender = await strangers(hub, release)
    notes = Recorder(unique("notes"))
    await receiver["on"]("note", notes)

    await send(sender, receiver, text="Hello, stranger.")

    [[note]] = await receiver.client.recorded(notes, 1)
    assert note["from"] == await sender.address()


@those_that_can
async def test_nobody_can_pretend_to_be_somebody_else(
    hub: Hub, release: str, strangers: Pair
) -> None:
    receiver, sender = await strangers(hub, release)
    notes = Recorder(unique("notes"))
    await receiver["on"]("note", notes)
    root = {"id": "root", "roles": ["admin"]}

    await send(sender, receiver, **{"from": "public/workspace-manager", "user": root})

    [[note]] = await receiver.client.recorded(notes, 1)
    assert note["from"] == await sender.address()
    assert note["user"] == (await sender["get_connection_info"]())["user_info"]


@those_that_can
async def test_messages_keep_their_order(hub: Hub, release: str, pair: Pair) -> None:
    receiver, sender = await pair(hub, release)
    notes = Recorder(unique("notes"))
    await receiver["on"]("note", notes)

    for number in range(50):
        await send(sender, receiver, number=number)

    received = await receiver.client.recorded(notes, 50)
    assert [note["number"] for [note] in received] == list(range(50))


@those_that_can
async def test_a_message_may_nearly_fill_a_frame(hub: Hub, release: str, pair: Pair) -> None:
    receiver, sender = await pair(hub, release)
    notes = Recorder(unique("notes"))
    await receiver["on"]("note", notes)
    text = "x" * 512_000

    await send(sender, receiver, text=text)

    [[note]] = await receiver.client.recorded(notes, 1)
    assert note["text"] == text


@those_that_can
async def test_a_handler_that_fails_harms_nobody(hub: Hub, release: str, pair: Pair) -> None:
    receiver, sender = await pair(hub, release)
    await receiver["on"]("trap", Local("fail"))
    notes = Recorder(unique("notes"))
    await receiver["on"]("note", notes)

    await sender["emit"]({"type": "trap", "to": await receiver.address()})
    await send(sender, receiver, text="And now?")

    [[note]] = await receiver.client.recorded(notes, 1)
    assert note["text"] == "And now?"
    assert await receiver["echo"]("alive") == "alive"


@those_that_can
async def test_a_message_to_nobody_harms_nobody(hub: Hub, release: str, pair: Pair) -> None:
    _, sender = await pair(hub, release)

    await sender["emit"]({"type": "note", "to": f"{sender.workspace}/nobody"})
    await sender["emit"]({"type": "note", "to": "no-such-workspace/nobody"})

    assert await sender["echo"]("alive") == "alive"


async def send(sender: Connection, receiver: Connection, **content: object) -> None:
    await sender["emit"]({"type": "note", "to": await receiver.address(), **content})
