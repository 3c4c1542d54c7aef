"""What was on its way when an event stream broke comes by the next one: in order, none twice."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from functools import partial

import pytest

from tests.conformance.python_scene import eventually
from tests.conftest import GatewayFactory
from tests.gateways import Hub
from tests.metrics import metric
from tests.raw_client import RawClient, Received, frame
from tests.sse_client import EventSource, SseClient

MANY = 20

Pair = tuple[RawClient, SseClient]


@pytest.fixture
async def pair(hub: Hub) -> AsyncIterator[Pair]:
    """Who sends, and who gets it by a stream; both at the first gateway."""
    async with await RawClient.connect(hub.first) as sender:
        token = await sender.manager("generate_token")
        client = await SseClient.connect(hub.first, workspace=sender.workspace, token=token)
        yield sender, client
        client.stream.source.close()
        await client.closed()


async def send(sender: RawClient, client: SseClient, numbers: Iterable[int], size: int = 0) -> None:
    """Send some frames; the hub has written them, as far as the network takes them."""
    for number in numbers:
        envelope = {"type": "method", "to": client.address, "method": f"services.log.{number}"}
        await sender.send_raw(frame(envelope, {"args": [bytes(size)]}))
    await sender.manager("echo", "after them")


def got(*clients: SseClient) -> list[int]:
    """What came, one after the other."""
    received = [each.method for client in clients for each in client.received]
    return [int(name.removeprefix("services.log.")) for name in received if "services.log" in name]


async def all_of(*clients: SseClient) -> list[int]:
    """What came, once the last frame has come to the last client, which is closed then."""
    await clients[-1].until(partial(is_number, MANY))
    await clients[-1].close()
    return got(*clients)


def is_number(number: int, received: Received) -> bool:
    return received.method == f"services.log.{number}"


async def stop_reading(sender: RawClient, client: SseClient, after: int) -> None:
    """Have a client take so many frames, and no more."""
    await send(sender, client, range(after))
    if after:
        await client.until(partial(is_number, after - 1))
    client.stream.transport.pause_reading()


async def break_off(url: str, client: SseClient) -> None:
    """Break a stream off; its gateway knows it when this returns."""
    client.stream.source.close()
    await client.closed()
    await eventually(partial(has_no_streams, url))


async def has_no_streams(url: str) -> bool:
    return not await asyncio.to_thread(metric, url, "hypha_event_streams")


@pytest.mark.parametrize("size", [0, 200_000], ids=["small", "more than sockets take"])
@pytest.mark.parametrize("seen", [0, 7])
@pytest.mark.parametrize("back", ["first", "second"])
async def test_what_was_on_its_way_when_a_stream_broke_comes_by_the_next(
    hub: Hub, pair: Pair, back: str, seen: int, size: int
) -> None:
    sender, client = pair
    await stop_reading(sender, client, seen)
    await send(sender, client, range(seen, MANY), size)

    await break_off(hub.first, client)
    await send(sender, client, [MANY])  # waits in the mailbox
    returned = await client.come_back(getattr(hub, back))

    assert await all_of(client, returned) == list(range(MANY + 1))


@pytest.mark.parametrize("back", ["first", "second"])
async def test_a_client_that_is_back_before_its_gateway_has_noticed_gets_it_too(
    hub: Hub, pair: Pair, back: str
) -> None:
    """As after a change of the network, when nobody ends the old connection."""
    sender, client = pair
    await stop_reading(sender, client, 3)
    await send(sender, client, range(3, MANY))

    returned = await client.come_back(getattr(hub, back))
    await send(sender, client, [MANY])

    assert await all_of(client, returned) == list(range(MANY + 1))


async def test_it_waits_though_the_next_stream_breaks_before_it_has_come(
    hub: Hub, pair: Pair
) -> None:
    sender, client = pair
    await stop_reading(sender, client, 5)
    await send(sender, client, range(5, MANY))
    await break_off(hub.first, client)

    for url in (hub.second, hub.first):
        unread = await EventSource.open(
            url, client.stream.query, Last_Event_ID=client.stream.last_id
        )
        unread.transport.pause_reading()
        await send(sender, client, [])
        unread.close()
        await eventually(partial(has_no_streams, url))
    returned = await client.come_back(hub.second)
    await send(sender, client, [MANY])

    assert await all_of(client, returned) == list(range(MANY + 1))


async def test_each_stream_of_many_goes_on_where_the_one_before_has_broken(
    hub: Hub, pair: Pair
) -> None:
    sender, client = pair
    clients = [client]
    for number in range(6):
        await stop_reading(sender, clients[-1], 0)
        await send(sender, client, range(10 * number, 10 * number + 10))
        await break_off((hub.first, hub.second)[number % 2], clients[-1])
        clients.append(await clients[-1].come_back((hub.second, hub.first)[number % 2]))
        await clients[-1].until(partial(is_number, 10 * number + 9))

    assert got(*clients) == list(range(60))
    await clients[-1].close()


async def test_a_call_that_was_lost_is_answered_when_its_callee_is_back(
    hub: Hub, pair: Pair
) -> None:
    sender, client = pair
    await stop_reading(sender, client, 0)
    call = asyncio.create_task(sender.call(client.address, "services.built-in.ping", "ping"))
    await send(sender, client, [])
    await break_off(hub.first, client)

    returned = await client.come_back(hub.second)

    assert await call == "pong"
    await returned.close()


async def test_another_program_of_the_same_name_does_not_get_what_the_one_before_may_have_got(
    hub: Hub, pair: Pair
) -> None:
    """A page that is loaded anew would do once more what was done before."""
    sender, client = pair
    await stop_reading(sender, client, 0)
    await send(sender, client, range(MANY))
    await break_off(hub.first, client)
    await send(sender, client, [MANY])

    fresh = await client.come_back_with(hub.second, "")

    assert await all_of(fresh) == [MANY]


async def test_what_a_gateway_has_written_before_it_stopped_comes_from_another(
    gateway_factory: GatewayFactory,
) -> None:
    first, second = gateway_factory(drain_time=3), gateway_factory()
    async with await RawClient.connect(second.url) as sender:
        token = await sender.manager("generate_token")
        client = await SseClient.connect(first.url, workspace=sender.workspace, token=token)
        await stop_reading(sender, client, 3)
        await send(sender, client, range(3, MANY))

        assert await asyncio.to_thread(first.terminate) == 0
        client.stream.source.close()
        await client.closed()
        returned = await client.come_back(second.url)
        await send(sender, client, [MANY])

        await returned.until(partial(is_number, MANY))
        assert got(client, returned) == list(range(MANY + 1))
        await returned.close()
