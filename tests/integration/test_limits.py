"""Limits of users and addresses, counted over two gateways; whoever keeps to them goes on."""

import asyncio
import json
import re
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import InvalidStatus

from hypha_cluster.identity.access import Identity
from hypha_cluster.protocol.limits import CHUNK
from hypha_cluster.settings import MIB
from tests.conftest import GatewayFactory
from tests.gateways import SECOND, Gateway
from tests.http import Answer, ask
from tests.metrics import metric
from tests.raw_client import (
    LIMIT,
    NO_ANSWER,
    RawClient,
    Rejected,
    call_envelope,
    frame,
    promise_of,
)
from tests.sse_client import EventSource, Refused, SseClient
from tests.token_rig import SECRET, token_of

ANN = Identity("ann", False, "ann@example.org")
BOB = Identity("bob", False, "bob@example.org")


class Two(NamedTuple):
    """Gateways, and the token of somebody who goes on undisturbed."""

    first: Gateway
    second: Gateway


@pytest.fixture
def start(gateway_factory: GatewayFactory) -> Any:
    def gateways(**limits: int) -> Two:
        settings = {**limits, "jwt_secret": SECRET, "audit": True}
        return Two(gateway_factory(**settings), gateway_factory(**settings))

    return gateways


def from_(address: str) -> dict[str, str]:
    """As the proxy before the hub says it."""
    return {"X-Forwarded-For": address}


async def refusal(url: str, **query: str) -> str:
    with pytest.raises(InvalidStatus) as refused:
        await RawClient.connect(url, **query)
    response = refused.value.response
    assert response.status_code == 403
    assert int(response.headers["Retry-After"]) > 0
    return (response.body or b"").decode()


async def test_who_connects_too_often_is_refused_with_words(start: Any) -> None:
    first, second = start(max_admissions=6)
    token = token_of(ANN)
    for _ in range(6):
        await (await RawClient.connect(first.url, token=token)).close()

    text = await refusal(first.url, token=token)

    assert "this user may have 6 a minute" in text
    assert "try again in" in text
    async with asyncio.timeout(LIMIT):  # the other gateway is told within a second or two
        while True:
            try:
                await (await RawClient.connect(second.url, token=token)).close()
            except InvalidStatus:
                break
    async with await RawClient.connect(first.url, token=token_of(BOB)) as bob:
        assert await bob.manager("echo", 1) == 1
    assert await hits(first, "admissions") >= 1
    (line,) = [x for x in lines(first) if x["event"] == "limit hit"]
    assert (line["limit"], line["subject"]) == ("admissions", "user ann")


async def hits(gateway: Gateway, limit: str) -> float:
    return await asyncio.to_thread(metric, gateway.url, "hypha_limits_hit_total", limit=limit)


def lines(gateway: Gateway) -> list[dict[str, Any]]:
    return [json.loads(text) for text in re.findall(r"hypha_cluster\.audit: (.*)", gateway.log())]


async def test_an_address_counts_without_a_token_too_and_a_trusted_one_does_not(start: Any) -> None:
    first, _ = start(max_admissions=2)

    for _ in range(2):
        await (await RawClient.connect(first.url, forwarded_for="192.0.2.1")).close()
    with pytest.raises(InvalidStatus):
        await RawClient.connect(first.url, forwarded_for="192.0.2.1")

    await (await RawClient.connect(first.url, forwarded_for="192.0.2.2")).close()
    for _ in range(4):
        await (await RawClient.connect(first.url)).close()


async def test_who_comes_back_too_often_is_put_off_and_not_refused(start: Any) -> None:
    """A refusal would end a published client for good."""
    first, _ = start(max_admissions=1)
    async with await RawClient.connect(first.url, token=token_of(ANN)) as client:
        token = client.info["reconnection_token"]
        client.break_off()

    query = urlencode({"client_id": client.client_id, "reconnection_token": token})

    async with open_websocket(f"{first.url.replace('http', 'ws', 1)}/ws?{query}") as again:
        await asyncio.wait_for(again.wait_closed(), LIMIT)

    assert again.close_code == 1013
    assert re.fullmatch(r"too many; try again in \d+ s", again.close_reason or "")


@pytest.mark.parametrize(
    "said",
    [
        {"reconnection_token": ""},
        {"xreconnection_token": "x"},
        {"reconnection_token": "x.y.z"},
    ],
)
async def test_who_only_says_to_come_back_is_refused_as_newcomers_are(
    start: Any, said: dict[str, str]
) -> None:
    first, _ = start(max_admissions=1)
    address = from_("192.0.2.1")
    await (await RawClient.connect(first.url, forwarded_for="192.0.2.1")).close()

    query = urlencode({"client_id": "me", **said})
    url = f"{first.url.replace('http', 'ws', 1)}/ws?{query}"
    with pytest.raises(InvalidStatus) as refused:
        await open_websocket(url, additional_headers=address)

    assert refused.value.response.status_code == 403
    assert b"try again in" in (refused.value.response.body or b"")


async def test_who_is_put_off_counts_as_a_connection(start: Any) -> None:
    """As many as may be connected may wait; else anybody with one token could hold any number."""
    first, _ = start(max_admissions=1, max_connections=1)
    client = await RawClient.connect(first.url, token=token_of(ANN))
    query = {"client_id": client.client_id, "reconnection_token": client.info["reconnection_token"]}
    url = f"{first.url.replace('http', 'ws', 1)}/ws?{urlencode(query)}"

    async with open_websocket(url) as waiting:
        with pytest.raises(InvalidStatus) as refused:
            await open_websocket(url)
        await asyncio.wait_for(waiting.wait_closed(), LIMIT)

    assert refused.value.response.status_code == 403
    assert waiting.close_code == 1013
    async with open_websocket(url) as waiting:
        await asyncio.wait_for(waiting.wait_closed(), LIMIT)
    await client.close()


async def test_connections_are_counted_on_all_gateways(start: Any) -> None:
    first, second = start(max_connections=2)
    token = token_of(ANN)
    one = await RawClient.connect(first.url, token=token)
    async with await RawClient.connect(first.url, token=token):
        assert "This user may have 2 connections" in await refusal(first.url, token=token)
        async with asyncio.timeout(LIMIT):
            while not await is_refused(second, token):
                pass
        await one.close()
        async with asyncio.timeout(LIMIT):
            while await is_refused(second, token):
                pass


async def test_a_stream_that_comes_back_over_the_limit_is_put_off_and_not_refused(
    start: Any,
) -> None:
    """A browser never comes back by itself after a refusal."""
    first, _ = start(max_connections=1)
    async with await SseClient.connect(first.url, token=token_of(ANN)) as client:
        query, last = client.stream.query, client.stream.last_id

        again = await EventSource.open(first.url, query, Last_Event_ID=last)

        async with asyncio.timeout(LIMIT):
            assert [event.data async for event in again.events() if event.data] == []
        again.close()
        with pytest.raises(Refused) as refused:
            await EventSource.open(first.url, {**query, "client_id": "new", "session_id": "s" * 9})
        assert refused.value.status == 429


async def is_refused(gateway: Gateway, token: str) -> bool:
    try:
        await (await RawClient.connect(gateway.url, token=token)).close()
    except InvalidStatus:
        return True
    return False


async def test_services_and_workspaces_have_an_end(start: Any) -> None:
    first, _ = start(max_services=2, max_workspaces=2)
    async with await RawClient.connect(first.url, token=token_of(ANN)) as ann:
        infos: list[dict[str, Any]] = [{"id": name, "config": {}} for name in "abc"]
        with pytest.raises(Rejected, match="This user may have 2 services"):
            await ann.manager("update_client_info", {"id": ann.client_id, "services": infos})
        await ann.manager("update_client_info", {"id": ann.client_id, "services": infos[:2]})
        for name in ("x", "y"):
            await ann.manager("create_workspace", workspace(name))
        with pytest.raises(Rejected, match="may have 2 a day"):
            await ann.manager("create_workspace", workspace("z"))


async def test_nobody_fills_redis_and_every_listing_by_large_services(start: Any) -> None:
    _, second = start(max_services=100)
    async with await RawClient.connect(second.url, token=token_of(ANN)) as ann:
        service = {"description": "x" * 60_000, "config": {"visibility": "public"}}
        infos = [{"id": str(number), **service} for number in range(2)]
        with pytest.raises(Rejected, match="may have 100 services of 1,024 bytes"):
            await ann.manager("update_client_info", {"id": ann.client_id, "services": infos})
        await ann.manager("update_client_info", {"id": ann.client_id, "services": infos[:1]})
        assert len(await ann.manager("list_services", ann.workspace)) == 1


async def test_services_count_until_the_place_of_their_client_is_given_up(start: Any) -> None:
    first, second = start(max_services=2, reconnect_grace=60)
    async with await RawClient.connect(first.url, token=token_of(ANN)) as other:
        one = await RawClient.connect(first.url, token=token_of(ANN))
        query = {"reconnection_token": one.info["reconnection_token"]}
        await one.manager("update_client_info", services_of(one.client_id, "ab"))
        one.break_off()
        async with asyncio.timeout(LIMIT):
            while await asyncio.to_thread(metric, first.url, "hypha_connections") != 1:  # noqa: ASYNC110  (only the gateway knows)
                await asyncio.sleep(0.02)

        with pytest.raises(Rejected, match="This user may have 2 services"):
            await other.manager("update_client_info", services_of(other.client_id, "c"))

        back = await RawClient.connect(second.url, one.client_id, **query)
        await back.close()
        async with asyncio.timeout(LIMIT):  # until the first is told
            while not await offers(other, "cd"):  # noqa: ASYNC110  (only the gateway knows)
                await asyncio.sleep(0.1)


async def offers(client: RawClient, names: str) -> bool:
    try:
        await client.manager("update_client_info", services_of(client.client_id, names))
    except Rejected:
        return False
    return True


def services_of(client_id: str, names: str) -> dict[str, Any]:
    return {"id": client_id, "services": [{"id": name, "config": {}} for name in names]}


def workspace(name: str) -> dict[str, Any]:
    return {"name": name, "owners": [], "visibility": "protected"}


async def test_frames_beyond_the_limit_come_later_and_all_of_them(start: Any) -> None:
    first, _ = start(max_frames=100)
    async with (
        await RawClient.connect(first.url, token=token_of(ANN)) as flooder,
        await RawClient.connect(first.url, token=token_of(BOB)) as bob,
    ):
        await flooder.offer("open", "public", note=lambda *_: None)
        envelope = {"type": "method", "to": flooder.address, "method": "services.open.note"}
        for number in range(1_500):  # of which 1,000 may come at once
            await flooder.send(envelope, {"args": [number]})
        assert await bob.manager("echo", 1) == 1

        async with asyncio.timeout(30 * SECOND):
            await flooder.until(lambda frame: frame.args == [1_499])
        numbers = [frame.args[0] for frame in flooder.received if "note" in frame.method]
        assert numbers == list(range(1_500))
    assert await hits(first, "frames") >= 1


async def test_bytes_are_counted_on_all_gateways_and_none_is_lost(start: Any) -> None:
    first, second = start(max_traffic=1_000_000)
    async with (
        await RawClient.connect(first.url, token=token_of(ANN)) as here,
        await RawClient.connect(second.url, token=token_of(ANN)) as there,
        await RawClient.connect(second.url, token=token_of(BOB)) as bob,
    ):
        await here.offer("open", "public", note=lambda *_: None)
        envelope = {"type": "method", "to": here.address, "method": "services.open.note"}

        async def send(sender: RawClient, number: int) -> None:
            await sender.send(envelope, {"args": [number, bytes(500_000)]})

        for number in range(16):  # 20 may come at once
            await send(here, number)
        sent = 16
        async with asyncio.timeout(LIMIT):
            while not await hits(second, "traffic"):  # it is told of the others within a second
                await send(there, sent)
                sent += 1
                await asyncio.sleep(0.15)  # so that it is not too much there alone until then
        assert sent < 36  # as many as would be too much there alone
        assert await bob.manager("echo", 1) == 1

        last = sent - 1
        async with asyncio.timeout(30 * SECOND):
            await here.until(lambda frame: frame.args[:1] == [last])
        came = [frame.args[0] for frame in here.received if "note" in frame.method]
        assert sorted(came) == list(range(sent))


async def test_a_large_array_in_chunks_meets_no_limit(start: Any) -> None:
    """16 MB in chunks, between two gateways, at a tenth of what is allowed by default."""
    first, second = start(max_frames=5_000, max_traffic=25 * MIB, max_mail=50 * MIB)
    sizes: asyncio.Queue[int] = asyncio.Queue()

    def take(array: bytes) -> object:
        sizes.put_nowait(len(array))
        return NO_ANSWER

    async with (
        await RawClient.connect(first.url, token=token_of(ANN)) as sender,
        await RawClient.connect(second.url, token=token_of(ANN)) as receiver,
    ):
        await receiver.offer("sink", take=take)
        receiver.take_chunks()
        session, to = sender.new_session(), receiver.address
        body = {"args": [bytes(16 * MIB)], "promise": promise_of(sender.client_id, session)}
        message = frame(call_envelope(to, "services.sink.take", session=session), body)
        await sender.cache(to, "create", "array", False)
        for begin in range(0, len(message), CHUNK):
            await sender.cache(to, "append", "array", message[begin : begin + CHUNK], False)
        await sender.cache(to, "process", "array", False)

        assert await asyncio.wait_for(sizes.get(), LIMIT) == 16 * MIB
    for gateway in (first, second):
        assert "The limit of" not in gateway.log()


# What waits for clients that are suspended.


async def suspended(gateway: Gateway, client: RawClient) -> RawClient:
    """A client whose connection has broken, as its gateway knows."""
    before = await asyncio.to_thread(metric, gateway.url, "hypha_connections")
    client.break_off()
    async with asyncio.timeout(LIMIT):
        while await asyncio.to_thread(metric, gateway.url, "hypha_connections") >= before:  # noqa: ASYNC110  (only the gateway knows)
            await asyncio.sleep(0.02)
    return client


def filled(target: RawClient) -> tuple[dict[str, Any], dict[str, Any]]:
    """A frame of 100 kB that nobody waits for."""
    envelope = {"type": "method", "to": target.address, "method": "services.open.note"}
    return envelope, {"args": [bytes(100_000)]}


async def test_nobody_fills_redis_by_mailboxes_of_suspended_clients(start: Any) -> None:
    """By how many clients of one's own ever, and from whichever gateway."""
    first, second = start(max_mail=1_000_000, reconnect_grace=100)
    token = token_of(ANN)
    away = [await RawClient.connect(first.url, token=token) for _ in range(4)]
    async with (
        await RawClient.connect(first.url, token=token) as here,
        await RawClient.connect(second.url, token=token) as there,
        await RawClient.connect(second.url, token=token_of(BOB), workspace="bob") as bob,
    ):
        target = await RawClient.connect(first.url, token=token_of(BOB), workspace="bob")
        back = target.info["reconnection_token"]
        for client in (*away, target):
            await suspended(first, client)

        mailed = 0.0
        for number in range(60):
            sender, other = ((here, there), (there, here))[number % 2]
            await sender.send(*filled(away[number % 4]))
            # It takes the same way to Redis, which has said by then what became of the frame.
            assert await sender.call(other.address, "services.built-in.ping", "ping") == "pong"
        for gateway in (first, second):
            mailed += await asyncio.to_thread(metric, gateway.url, "hypha_mailed_frames_total")
        assert 10 <= mailed < 40  # those that each gateway lets pass until it is told of the other

        late = await suspended(first, await RawClient.connect(first.url, token=token))
        with pytest.raises(Rejected, match=r"This user has put too much .* try again in \d+ s"):
            await here.call(late.address, "services.open.note", bytes(100_000))
        assert await here.call(there.address, "services.built-in.ping", "ping") == "pong"
        assert await hits(first, "mail") >= 1

        await bob.send(*filled(target))  # whoever keeps to the limit is not concerned
        async with await RawClient.connect(
            second.url, target.client_id, workspace="bob", reconnection_token=back
        ) as again:
            await again.until(lambda got: got.args == [bytes(100_000)])


async def test_nor_by_what_is_posted_for_streams_that_broke(start: Any) -> None:
    first, second = start(max_mail=1_000_000, reconnect_grace=100)
    token = token_of(ANN)
    streams = [await SseClient.connect(first.url, token=token) for _ in range(3)]
    for client in streams:
        await suspended(first, client)

    answers = []
    for number in range(30):
        client = streams[number % 3]
        answers.append(await client.stream.post(bytes(100_000), second.url))

    assert [answer.status for answer in answers[:10]] == [202] * 10
    assert {answer.status for answer in answers[13:]} == {429}
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert "This user has put too much" in answers[-1].value["detail"]
    async with await SseClient.connect(second.url, token=token_of(BOB)) as bob:
        assert await bob.manager("echo", 1) == 1


@pytest.mark.parametrize(
    ("path", "kind"), [("services/open/note", "generic"), ("apps/open/note", "functions")]
)
async def test_nor_by_calls_over_http(start: Any, path: str, kind: str) -> None:
    first, second = start(max_mail=300_000, reconnect_grace=100, call_timeout=2)
    headers = {"Authorization": f"Bearer {token_of(ANN)}", "Content_Type": "application/json"}
    body = b'{"text": "%b"}' % (b"x" * 60_000)
    target = await RawClient.connect(first.url, token=token_of(ANN))
    await target.offer("open", "public", kind=kind, note=lambda *_: {"body": "noted"})
    for gateway in (first, second):  # which remember what it offers
        assert (await ask(f"{gateway.url}/ann/{path}", b"{}", **headers)).status == 200
    await suspended(first, target)

    refused: list[Answer] = []
    while not refused:  # what is spent comes back while a slow machine asks
        urls = [f"{(first, second)[number % 2].url}/ann/{path}" for number in range(30)]
        answers = await asyncio.gather(*(ask(url, body, **headers) for url in urls))
        refused = [each for each in answers[1::2] if each.status == 429]

    assert int(refused[0].headers["retry-after"]) >= 1
    assert "This user has put too much into mailboxes" in refused[0].body.decode()


async def test_whatever_is_asked_counts(start: Any) -> None:
    """Else whoever wants to load the hub asks for what does not."""
    first, _ = start(max_requests=1)
    asked = [
        ("POST", "/sse?session_id=0123456789"),
        ("GET", "/nobody/apps/application/"),
        ("GET", "/apps/nobody/app/"),
        ("GET", "/nobody/openapi.json"),
        ("GET", "/"),
        ("GET", "/nothing/at/all"),
    ]
    for number, (method, path) in enumerate(asked, 1):
        headers = from_(f"192.0.2.{number}")
        body = (b"frame",) if method == "POST" else ()

        answers = await asyncio.gather(
            *(ask(f"{first.url}{path}", *body, **headers) for _ in range(30))
        )

        statuses = [answer.status for answer in answers]
        assert statuses.count(429) < 21, path  # ten may come at once
        assert 429 in statuses, path
    url = f"{first.url.replace('http', 'ws', 1)}/nobody/apps/application/"
    opened = (refused_by(url, "192.0.2.100") for _ in range(30))
    assert 429 in await asyncio.gather(*opened)


async def refused_by(url: str, address: str) -> int:
    """The status by which a WebSocket is refused."""
    with pytest.raises(InvalidStatus) as refused:
        await open_websocket(url, additional_headers=from_(address))
    return refused.value.response.status_code


async def test_requests_beyond_the_limit_are_answered_429(start: Any) -> None:
    first, _ = start(max_requests=1)
    url, headers = f"{first.url}/public/services", from_("192.0.2.1")

    answers = [await ask(url, **headers) for _ in range(12)]

    assert [answer.status for answer in answers[:10]] == [200] * 10
    assert answers[-1].status == 429
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert "try again in" in answers[-1].value["detail"]
    assert (await ask(url, **from_("192.0.2.2"))).status == 200
    assert (await ask(f"{first.url}/health/live", **headers)).status == 200
