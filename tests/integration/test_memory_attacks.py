"""Who wants to have all of a gateway's memory: their connections go, and others go on."""

import asyncio
import os
from contextlib import AsyncExitStack
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import ClientConnection, connect as open_websocket

from hypha_cluster.config import Config
from hypha_cluster.hub import answering, calling, replies
from hypha_cluster.web.middleware import holding
from tests.conformance.python_scene import eventually
from tests.gateways import SECOND
from tests.http import ask
from tests.in_process import served
from tests.raw_client import MANAGER, RawClient, Rejected, call_envelope, frame, promise_of

LIMIT = 20 * SECOND
MEGABYTE = 1_000_000


def begun(size: int, of: int) -> bytes:
    """So much of a binary frame of another length, as a client sends it."""
    return b"\x82\xff" + of.to_bytes(8) + bytes(4) + bytes(size)


async def hold(url: str, size: int) -> ClientConnection:
    """Begin a message, and do not end it."""
    address = f"{url.replace('http', 'ws', 1)}/ws?client_id=x{os.urandom(4).hex()}"
    socket = await open_websocket(address, compression=None, ping_interval=None)
    socket.transport.write(begun(size, 16 * MEGABYTE))
    return socket


async def test_messages_that_do_not_end_give_way_to_those_that_do(
    valkey_url: str, redis_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = "hypha_cluster.serving.http11.connection.UNFINISHED_MESSAGES"
    monkeypatch.setattr(bound, 10 * MEGABYTE)
    config = Config(port=0, redis_url=valkey_url, redis_prefix=redis_prefix)
    async with served(config) as (url, _), await RawClient.connect(url) as victim:
        await victim.offer("sink", "public", take=len)
        attackers = [await hold(url, 3 * MEGABYTE) for _ in range(8)]

        for _ in range(5):  # each comes in several pieces
            assert await victim.call(victim.address, "services.sink.take", bytes(900_000))

        async with asyncio.timeout(LIMIT):
            for socket in attackers[:5]:
                await socket.wait_closed()
                assert socket.close_code == 1013
        assert attackers[-1].close_code is None
        for socket in attackers:
            socket.transport.abort()
        assert await victim.manager("echo", "still here") == "still here"


BLOB = bytes(900_000)
LISTS: list[list[Any]] = [[] for _ in range(100_000)]


@pytest.mark.parametrize("value", [BLOB, LISTS], ids=["large", "of many small ones"])
async def test_a_client_that_says_nothing_has_the_hub_keep_some_arguments_and_others_go_on(
    valkey_url: str, redis_prefix: str, monkeypatch: pytest.MonkeyPatch, value: Any
) -> None:
    monkeypatch.setattr(replies, "HUB_CALL_BYTES", 40 * MEGABYTE)
    config = Config(port=0, redis_url=valkey_url, redis_prefix=redis_prefix)
    async with (
        served(config) as (url, _),
        await RawClient.connect(url) as attacker,
        await RawClient.connect(url) as victim,
    ):
        attacker.functions.clear()  # so it answers no call
        service = {"id": "x", "kept": value}

        sessions = [await begin(attacker, "register_service", service) for _ in range(30)]

        rejected = await rejections(attacker, sessions, 30 - 20 * MEGABYTE // 1_800_000)
        assert all("wait for the answers to some of them" in each for each in rejected)
        victim.take_chunks()
        assert await victim.manager("echo", BLOB) == BLOB


async def test_a_client_that_takes_nothing_has_the_hub_keep_some_answers_and_others_go_on(
    valkey_url: str, redis_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calling, "LONG_MESSAGES", 10 * MEGABYTE)
    config = Config(port=0, redis_url=valkey_url, redis_prefix=redis_prefix)
    async with (
        served(config) as (url, _),
        await RawClient.connect(url) as attacker,
        await RawClient.connect(url) as victim,
    ):
        service = {"description": "x" * 60_000, "config": {"visibility": "public"}}
        services = [{"id": f"s{number}", **service} for number in range(15)]
        for part in (services[:8], services):
            info = {"id": attacker.client_id, "services": part}
            await attacker.manager("update_client_info", info)
        attacker.functions.clear()

        sessions = [await begin(attacker, "list_services", None) for _ in range(12)]

        rejected = await rejections(attacker, sessions, 12 - 5)
        assert all("Too much is on its way" in each for each in rejected)
        victim.take_chunks()
        found = await victim.manager("list_services", "public")
        assert len([each for each in found if each["description"] == "x" * 60_000]) == 15


async def test_messages_to_the_hub_that_nobody_ends_leave_room_to_others(
    valkey_url: str, redis_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "PARTS", 16 * MEGABYTE)
    config = Config(port=0, redis_url=valkey_url, redis_prefix=redis_prefix)
    async with AsyncExitStack() as stack:
        url, _ = await stack.enter_async_context(served(config))
        refused: list[str] = []
        held: list[RawClient] = []
        for _ in range(6):
            client = await stack.enter_async_context(await RawClient.connect(url))
            await client.cache(MANAGER, "create", "k", False)
            try:
                for _ in range(8):
                    await client.cache(MANAGER, "append", "k", BLOB, False)
                held.append(client)
            except Rejected as error:
                refused.append(str(error))
        assert len(refused) >= 4
        assert all("Too many messages in chunks" in each for each in refused)

        held[-1].break_off()
        victim = await stack.enter_async_context(await RawClient.connect(url))
        session = victim.new_session()
        call = call_envelope(MANAGER, "services.default.echo", session=session)
        promise = promise_of(victim.client_id, session)
        message = frame(call, {"args": [bytes(400_000)], "promise": promise})
        await victim.cache(MANAGER, "create", "k", False)
        await victim.cache(MANAGER, "append", "k", message, False)
        await victim.cache(MANAGER, "process", "k", False)
        answer = await victim.until(lambda each: each.method == f"{session}.resolve")
        assert answer.args == [bytes(400_000)]


async def test_who_reads_no_answer_over_http_has_some_of_them_and_others_go_on(
    valkey_url: str, redis_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "LONG_ANSWERS", 40 * MEGABYTE)
    config = Config(port=0, redis_url=valkey_url, redis_prefix=redis_prefix)
    async with AsyncExitStack() as stack:
        url, _ = await stack.enter_async_context(served(config))
        owner = await stack.enter_async_context(await RawClient.connect(url))
        token = await owner.manager("generate_token")
        service = {"description": "x" * 60_000, "config": {"visibility": "public"}}
        for _ in range(10):  # together 8 MB
            query = {"workspace": owner.workspace, "token": token}
            one = await stack.enter_async_context(await RawClient.connect(url, **query))
            services = [{"id": f"s{number}", **service} for number in range(14)]
            info = {"id": one.client_id, "services": services}
            await one.manager("update_client_info", info)
        listing = f"{url}/{owner.workspace}/services"

        unread = [await ask_and_read_nothing(listing, "192.0.2.1") for _ in range(5)]
        heads = [await reader.readuntil(b"\r\n") for reader, _ in unread]

        assert [head.split()[1] for head in heads] == [b"200"] * 2 + [b"503"] * 3
        for _ in range(3):
            found = await ask(listing, X_Forwarded_For="192.0.2.2")
            assert len(found.value) == 140
        for _, writer in unread:
            writer.transport.abort()
        await eventually(partial(is_answered, listing, "192.0.2.1"))


async def ask_and_read_nothing(
    url: str, address: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for something, and take the beginning of the answer only."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=1_000)
    head = f"GET {place.path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {address}\r\n\r\n"
    writer.write(head.encode())
    return reader, writer


async def is_answered(url: str, address: str) -> bool:
    return (await ask(url, X_Forwarded_For=address)).status == 200


async def begin(client: RawClient, function: str, *args: Any) -> str:
    """Call the hub, and do not wait; the session of the call."""
    session = client.new_session()
    envelope = call_envelope(MANAGER, f"services.default.{function}", session=session)
    await client.send(envelope, {"args": args, "promise": promise_of(client.client_id, session)})
    return session


async def rejections(client: RawClient, sessions: list[str], at_least: int) -> list[str]:
    """The reasons for which at least so many of the calls were rejected."""
    wanted = {f"{session}.reject" for session in sessions}

    def reasons() -> list[str]:
        return [each.args[0]["_rvalue"] for each in client.received if each.method in wanted]

    await client.until(lambda _: len(reasons()) >= at_least)
    return reasons()
