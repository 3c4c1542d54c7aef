"""Answers and calls that may not pass: whoever waits is told why, and at once."""

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from tests.gateways import SECOND, Hub
from tests.python_client import NEWEST, OLDEST, Local, Map, PythonClient, RemoteError
from tests.raw_client import CACHE, RawClient, Rejected, call_envelope, frame

# What Python programs return, and what no client may be sent (protocol.md 2.1).
ODD: Final[dict[str, Any]] = {
    "a number for a key": {1: "a"},
    "nothing for a key": {None: "a"},
    "true for a key": {True: "a"},
    "deep down": [{"x": [{1.5: "a"}]}],
    "the key that JavaScript refuses": {"__proto__": 1},
    "text that is none": b"\x81\xa4args\x91\xa2\xff\xfe",
    "a list for a key": b"\x81\xa4args\x91\x81\x92\x01\x02\xa1a",
    "more than a client reads": bytes(1_000_000),
}
LIMIT: Final = 10 * SECOND  # much less than the 30 s that clients wait


@pytest.fixture
async def caller(hub: Hub) -> AsyncIterator[RawClient]:
    async with await RawClient.connect(hub.first) as client:
        yield client


@pytest.fixture
async def provider(hub: Hub) -> AsyncIterator[RawClient]:
    async with await RawClient.connect(hub.second) as client:
        await client.offer("open", "public", work=lambda: None)
        del client.functions["services.open.work"]  # it answers when the test says so
        yield client


def answer(to: str, method: str, value: Any) -> bytes:
    envelope = call_envelope(to, method)
    if isinstance(value, bytes) and value.startswith(b"\x81\xa4args"):
        return frame(envelope) + value
    return frame(envelope, {"args": [value]})


@pytest.mark.parametrize("oddity", ODD)
async def test_who_waits_for_an_answer_that_may_not_pass_is_told(
    caller: RawClient, provider: RawClient, oddity: str
) -> None:
    calling = asyncio.create_task(caller.call(provider.address, "services.open.work"))
    call = await provider.until(lambda r: r.method == "services.open.work")

    reply = answer(caller.address, f"{call.envelope['session']}.resolve", ODD[oddity])
    await provider.send_raw(reply)

    async with asyncio.timeout(LIMIT):
        with pytest.raises(Rejected, match=f"answer of {provider.address} was refused: "):
            await calling


@pytest.mark.parametrize("oddity", ODD)
async def test_who_makes_a_call_that_may_not_pass_is_told(
    caller: RawClient, provider: RawClient, oddity: str
) -> None:
    session, odd = caller.new_session(), ODD[oddity]
    promise = {
        name: {"_rtype": "method", "_rtarget": caller.client_id, "_rmethod": f"{session}.{name}"}
        for name in ("resolve", "reject")
    }
    envelope = call_envelope(provider.address, "services.open.work", session=session)
    data = frame(envelope, {"args": [odd], "promise": promise})
    if isinstance(odd, bytes) and odd.startswith(b"\x81"):
        data = frame(envelope) + b"\x82" + odd[1:] + frame({"promise": promise})[1:]

    await caller.send_raw(data)

    async with asyncio.timeout(LIMIT):
        rejected = await caller.until(lambda r: r.method == f"{session}.reject")
    assert rejected.source == provider.address
    assert rejected.args[0]["_rvalue"]


async def test_who_waits_for_an_answer_in_chunks_that_is_refused_is_told(
    caller: RawClient, provider: RawClient
) -> None:
    for action in ("create", "append", "process", "remove"):
        caller.functions[CACHE + action] = lambda *_: None
    calling = asyncio.create_task(caller.call(provider.address, "services.open.work"))
    call = await provider.until(lambda r: r.method == "services.open.work")
    envelope = call_envelope(caller.address, f"{call.envelope['session']}.resolve")
    forged = frame(envelope, {"args": [bytes(1_000)], "from": "forged/forged"})

    await provider.cache(caller.address, "create", "key", False)
    with pytest.raises(Rejected, match="has no 'from'"):
        await provider.cache(caller.address, "append", "key", forged, False)

    async with asyncio.timeout(LIMIT):
        with pytest.raises(Rejected, match=f"answer of {provider.address} was refused"):
            await calling


async def test_over_http_too(hub: Hub, provider: RawClient) -> None:
    path = f"/{provider.workspace}/services/{provider.client_id}:open/work"

    def ask() -> tuple[int, str]:
        try:
            urllib.request.urlopen(hub.first + path, timeout=LIMIT)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())["detail"]
        return 200, ""

    asking = asyncio.create_task(asyncio.to_thread(ask))
    call = await provider.until(lambda r: r.method == "services.open.work")
    reject = call.body["promise"]["resolve"]
    await provider.send_raw(answer(reject["_rtarget"], reject["_rmethod"], {1: "a"}))

    status, detail = await asking
    assert status == 500
    assert "was refused" in detail


async def test_an_answer_that_nobody_waits_for_tells_nobody_anything_new(
    caller: RawClient, provider: RawClient
) -> None:
    for method in ("made-up.resolve", "x.__class__.resolve", "_x.reject", "services.s.resolve"):
        await provider.send_raw(answer(caller.address, method, {1: "a"}))
    await provider.call(caller.address, "services.built-in.ping", "ping")

    told = [
        r for r in caller.received if r.source == provider.address and not r.body.get("promise")
    ]
    assert {r.method for r in told} <= {"made-up.reject"}
    assert all(r.envelope["user"] == provider.user for r in told)


@pytest.mark.clients
@pytest.mark.parametrize("release", [OLDEST, NEWEST])
async def test_published_clients_get_the_reason(hub: Hub, release: str) -> None:
    with PythonClient(release) as client:
        provider, caller = await client.connect(hub.first), await client.connect(hub.second)
        service = {"id": "odd", "config": {"visibility": "public"}, "echo": Local("echo")}
        await provider["register_service"](service)
        odd = await caller["get_service"](f"{await provider.address()}:odd")

        async with asyncio.timeout(LIMIT):
            with pytest.raises(RemoteError, match="not valid msgpack"):
                await odd["echo"](Map(((1, "a"),)))
