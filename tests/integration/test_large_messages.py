"""Messages in chunks: the hub knows of them what it knows of frames, and leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import pytest

from hypha_cluster.protocol.limits import HUB_MESSAGES
from tests.gateways import SECOND, Hub
from tests.metrics import metric
from tests.raw_client import (
    CACHE,
    LIMIT,
    MANAGER,
    RawClient,
    Rejected,
    call_envelope,
    frame,
    promise_of,
)

PART: Final = 500_000


class Provider:
    """Takes messages in chunks, as published clients do, and answers the call when told to."""

    def __init__(self, client: RawClient) -> None:
        self.client = client
        self.entries: dict[str, bytes] = {}
        self.came: list[bytes] = []
        for action in ("create", "append", "process", "remove"):
            client.functions[CACHE + action] = getattr(self, action)

    def create(self, key: str, heartbeat: bool = False, overwrite: bool = False) -> None:
        self.entries[key] = b""

    def append(self, key: str, data: bytes, heartbeat: bool = False) -> None:
        self.entries[key] += data

    def process(self, key: str, heartbeat: bool = False) -> None:
        self.came.append(self.entries.pop(key))

    def remove(self, key: str) -> None:
        self.entries.pop(key, None)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what the hub tells this client, also what it wants no answer to."""
        told = 0

        def holds() -> bool:
            nonlocal told
            for received in self.client.received[told:]:
                if received.method.startswith(CACHE) and "promise" not in received.body:
                    self.client.functions[received.method](*received.args)
            told = len(self.client.received)
            return condition()

        if not holds():
            await self.client.until(lambda _: holds())


@pytest.fixture
async def caller(hub: Hub) -> AsyncIterator[RawClient]:
    async with await RawClient.connect(hub.first) as client:
        yield client


@pytest.fixture
async def provider(hub: Hub) -> AsyncIterator[Provider]:
    async with await RawClient.connect(hub.second) as client:
        await client.offer("open", "public", work=lambda *_: None)
        yield Provider(client)


def message(size: int, envelope: dict[str, Any], **body: Any) -> list[bytes]:
    data = frame(envelope, {"args": [bytes(size)], **body})
    return [data[start : start + PART] for start in range(0, len(data), PART)]


async def send(client: RawClient, to: str, parts: list[bytes], key: str, *, hold: bool) -> None:
    await client.cache(to, "create", key, hold)
    for part in parts:
        await client.cache(to, "append", key, part, hold)
    await client.cache(to, "process", key, hold)


async def place(client: RawClient, to: str, session: str, size: int = 1_200_000) -> None:
    """Send a call that is too long for a frame, as published clients do."""
    envelope = call_envelope(to, "services.open.work", session=session)
    parts = message(size, envelope, promise=promise_of(client.client_id, session))
    await send(client, to, parts, f"key-{session}", hold=False)


async def pending(url: str) -> float:
    return await asyncio.to_thread(metric, url, "hypha_pending_calls")


async def settled(url: str, before: float) -> None:
    async with asyncio.timeout(LIMIT):
        while await pending(url) != before:  # noqa: ASYNC110  (only the gateway knows)
            await asyncio.sleep(0.05)


async def test_who_waits_for_a_large_call_is_told_when_its_provider_leaves(
    caller: RawClient, provider: Provider
) -> None:
    await place(caller, provider.client.address, "s1")

    async with asyncio.timeout(5 * SECOND):
        await provider.client.close()
        rejected = await caller.until(lambda r: r.method == "s1.reject")

    assert "left before it answered" in rejected.args[0]["_rvalue"]
    assert rejected.source == provider.client.address


async def test_a_large_answer_ends_its_call(
    hub: Hub, caller: RawClient, provider: Provider
) -> None:
    before, received = await pending(hub.first), Provider(caller)
    for number in range(3):
        session = f"large{number}"
        envelope = call_envelope(provider.client.address, "services.open.work", session=session)
        await caller.send(envelope, {"args": [], "promise": promise_of(caller.client_id, session)})
        parts = message(1_200_000, call_envelope(caller.address, f"{session}.resolve"))
        await send(provider.client, caller.address, parts, session, hold=False)

    await settled(hub.first, before)
    await provider.client.close()
    assert await caller.manager("echo", "all the same") == "all the same"
    assert len(received.came) == 3
    assert not [r for r in caller.received if r.method.endswith(".reject")]


async def test_a_large_call_that_is_answered_waits_no_more(
    hub: Hub, caller: RawClient, provider: Provider
) -> None:
    before = await pending(hub.first)
    await place(caller, provider.client.address, "s2")
    assert await pending(hub.first) == before + 1

    await provider.client.send(call_envelope(caller.address, "s2.resolve"), {"args": [1]})

    await settled(hub.first, before)


async def test_a_large_call_that_could_not_be_sent_does_not_wait(
    hub: Hub, caller: RawClient, provider: Provider
) -> None:
    before = await pending(hub.first)
    failures = iter([ValueError("no")])
    provider.client.functions[CACHE + "process"] = lambda *_: next(failures)
    envelope = call_envelope(provider.client.address, "services.open.work", session="s3")
    parts = message(600_000, envelope, promise=promise_of(caller.client_id, "s3"))
    await caller.cache(provider.client.address, "create", "k", False)
    for part in parts:
        await caller.cache(provider.client.address, "append", "k", part, False)
    del provider.client.functions[CACHE + "process"]

    processing = asyncio.create_task(caller.cache(provider.client.address, "process", "k", False))
    await provider.client.until(lambda r: r.method == CACHE + "process")
    await provider.client.close()
    with pytest.raises(Rejected):
        await processing

    await settled(hub.first, before)


# What is broken off.


async def test_nothing_is_left_of_a_message_whose_sender_left(hub: Hub, provider: Provider) -> None:
    async with await RawClient.connect(hub.first) as sender:
        await sender.cache(provider.client.address, "create", "one", False)
        begun = frame(call_envelope(provider.client.address, "services.open.work"))[:10]
        await sender.cache(provider.client.address, "append", "one", begun, False)
        await sender.cache(provider.client.address, "create", "two", False)
        assert len(provider.entries) == 2
        sender.break_off()

        await provider.until(lambda: provider.entries == {})


async def test_nothing_is_left_of_a_message_that_was_refused(
    caller: RawClient, provider: Provider
) -> None:
    to = provider.client.address
    bad = frame(call_envelope(to, "services.open.work"), {"args": [], "from": "forged"})
    foreign = {"_rtype": "method", "_rtarget": "a/b", "_rmethod": "services.s.f", "_rpromise": True}
    led = frame(call_envelope(to, "services.open.work"), {"args": [foreign]})

    for message_ in (bad, led):
        await caller.cache(to, "create", "key", False)
        await caller.cache(to, "append", "key", message_[:40], False)
        with pytest.raises(Rejected):
            await caller.cache(to, "append", "key", message_[40:], False)
        await provider.until(lambda: provider.entries == {})

    assert provider.came == []


async def test_nothing_is_left_of_the_session_that_an_answer_was_for(
    hub: Hub, provider: Provider
) -> None:
    async with await RawClient.connect(hub.first) as sender:
        await sender.cache(provider.client.address, "create", "their-session", True)
        await provider.until(lambda: "their-session" in provider.entries)
        sender.break_off()

        await provider.until(lambda: provider.entries == {})


# To the hub itself.


async def test_the_hub_keeps_no_more_of_messages_than_a_registration_needs(
    caller: RawClient,
) -> None:
    await caller.cache(MANAGER, "create", "k", False)
    parts = HUB_MESSAGES // PART

    for _ in range(parts):
        await caller.cache(MANAGER, "append", "k", bytes(PART), False)
    with pytest.raises(Rejected, match="at most 8388608 bytes"):
        await caller.cache(MANAGER, "append", "k", bytes(PART), False)


async def test_an_answer_that_the_hub_waits_for_may_be_longer(
    hub: Hub, caller: RawClient, provider: Provider
) -> None:
    size = HUB_MESSAGES + 2_000_000

    del provider.client.functions["services.built-in.get_service"]
    fetching = asyncio.create_task(caller.manager("get_service", f"{provider.client.address}:open"))
    asked = await provider.client.until(lambda r: r.method == "services.built-in.get_service")
    reference = asked.body["promise"]["resolve"]
    session = asked.envelope["session"]
    target = reference["_rtarget"]
    target = target if "/" in target else f"{provider.client.workspace}/{target}"
    data = frame(
        call_envelope(target, reference["_rmethod"]), {"args": [{"id": "open", "x": bytes(size)}]}
    )
    parts = [data[start : start + PART] for start in range(0, len(data), PART)]

    receiving = Provider(caller)
    await send(provider.client, target, parts, session, hold=True)
    await receiving.until(lambda: len(receiving.came) == 1)

    assert len(receiving.came[0]) > size
    fetching.cancel()
