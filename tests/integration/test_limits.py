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
from tests.conftest import GatewayFactory
from tests.gateways import SECOND, Gateway
from tests.http import ask
from tests.metrics import metric
from tests.raw_client import LIMIT, RawClient, Rejected
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

    assert (again.close_code, again.close_reason) == (1013, "too many; come again")


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
