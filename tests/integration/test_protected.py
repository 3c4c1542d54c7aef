"""What is protected is kept by the hub itself: these providers would answer everybody."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.gateways import Hub
from tests.raw_client import RawClient, Received, Rejected, call_envelope, frame

GET = "services.built-in.get_service"


@pytest.fixture(params=["on one gateway", "on two"])
async def stranger(hub: Hub, request: pytest.FixtureRequest) -> AsyncIterator[RawClient]:
    url = hub.second if request.param == "on one gateway" else hub.first
    async with await RawClient.connect(url) as client:
        yield client


@pytest.fixture
async def victim(hub: Hub) -> AsyncIterator[RawClient]:
    async with await RawClient.connect(hub.second) as client:
        await offer(client, open="public", closed="protected")
        client.take_chunks()
        yield client


async def offer(client: RawClient, **visibilities: str) -> None:
    """Offer services of which each does the same."""
    infos = []
    for service, visibility in visibilities.items():
        config = {"visibility": visibility}
        infos.append({"id": f"{client.client_id}:{service}", "config": config})
        client.functions[f"services.{service}.work"] = lambda *values: list(values)
    client.functions[GET] = lambda service: {"id": service}
    await client.manager("update_client_info", {"id": client.client_id, "services": infos})


def calls_of(stranger: RawClient, victim: RawClient) -> list[Received]:
    return [each for each in victim.received if each.source == stranger.address]


@pytest.mark.parametrize("service", ["closed", "unheard-of", ""])
async def test_a_call_from_another_workspace_is_refused(
    stranger: RawClient, victim: RawClient, service: str
) -> None:
    with pytest.raises(Rejected, match="Permission denied|Service not found"):
        await stranger.call(victim.address, f"services.{service}.work", 1)
    await stranger.send(call_envelope(victim.address, f"services.{service}.work"), {"args": [1]})

    assert await stranger.call(victim.address, "services.open.work", 2) == [2]
    assert [each.args for each in calls_of(stranger, victim)] == [[2]]


@pytest.mark.parametrize(
    "asked", [{"args": ["closed"]}, {"args": [{"service_id": "closed"}], "with_kwargs": True}]
)
async def test_it_is_not_looked_at_from_there_either(
    stranger: RawClient, victim: RawClient, asked: dict[str, Any]
) -> None:
    with pytest.raises(Rejected, match="Permission denied"):
        await stranger.place(call_envelope(victim.address, GET), asked)
    for odd in ([["closed"]], [None], []):
        with pytest.raises(Rejected, match="as text"):
            await stranger.place(call_envelope(victim.address, GET), {"args": odd})

    assert await stranger.call(victim.address, GET, "open") == {"id": "open"}
    assert len(calls_of(stranger, victim)) == 1


@pytest.mark.parametrize(
    "method", ["services.closed.work", "services.unheard-of.work", GET], ids=str
)
@pytest.mark.parametrize("cut", [7, 100_000, None])
async def test_nor_is_it_called_in_chunks(
    stranger: RawClient, victim: RawClient, method: str, cut: int | None
) -> None:
    """None: so that what is called is known only when all has come."""
    envelope = call_envelope(victim.address, method)
    message = frame(envelope, {"args": ["closed"]})

    with pytest.raises(Rejected, match="Permission denied|not found|in one frame"):
        await send_in_chunks(stranger, victim, message, cut or len(frame(envelope)) - 1)

    assert not [each for each in victim.received if each.method.endswith("process")]
    assert await stranger.call(victim.address, "services.open.work", 2) == [2]


async def test_what_is_public_is_called_in_chunks(stranger: RawClient, victim: RawClient) -> None:
    taken = asyncio.Event()
    victim.functions["services.built-in.message_cache.process"] = lambda *_: taken.set()
    message = frame(call_envelope(victim.address, "services.open.work"), {"args": [1]})

    await send_in_chunks(stranger, victim, message, 7)

    async with asyncio.timeout(10):
        await taken.wait()


async def send_in_chunks(stranger: RawClient, victim: RawClient, message: bytes, cut: int) -> None:
    to = victim.address
    await stranger.cache(to, "create", "k", False)
    for start in range(0, len(message), cut):
        await stranger.cache(to, "append", "k", message[start : start + cut], False)
    await stranger.cache(to, "process", "k", False)


async def test_what_was_public_is_refused_when_it_is_no_longer(
    stranger: RawClient, victim: RawClient
) -> None:
    assert await stranger.call(victim.address, "services.open.work", 1) == [1]

    await offer(victim, open="protected")

    async with asyncio.timeout(10):  # another gateway is told, a moment later
        while not await is_refused(stranger, victim):
            pass


async def is_refused(stranger: RawClient, victim: RawClient) -> bool:
    try:
        await stranger.call(victim.address, "services.open.work", 2)
    except Rejected as error:
        return "Permission denied" in str(error)
    return False


async def test_what_is_sent_arrives_in_its_order_though_some_is_refused(
    stranger: RawClient, victim: RawClient
) -> None:
    for number in range(60):
        service = "closed" if number % 3 == 0 else "open"
        envelope = call_envelope(victim.address, f"services.{service}.work")
        await stranger.send(envelope, {"args": [number]})
    await victim.until(lambda each: each.args == [59])

    assert [each.args[0] for each in calls_of(stranger, victim)] == [
        number for number in range(60) if number % 3
    ]


async def test_callbacks_and_answers_come_back_from_anywhere(
    stranger: RawClient, victim: RawClient
) -> None:
    done = {"_rtype": "method", "_rtarget": stranger.client_id, "_rmethod": "3jNv.done"}
    stranger.functions["3jNv.done"] = lambda value: value + 1

    await stranger.call(victim.address, "services.open.work", done)

    assert await victim.call(stranger.address, "3jNv.done", 1) == 2


async def test_a_client_that_is_not_there_is_said_to_be_so(
    stranger: RawClient, victim: RawClient
) -> None:
    with pytest.raises(Rejected, match="Client not found"):
        await stranger.call(f"{victim.workspace}/nobody", "services.closed.work")
