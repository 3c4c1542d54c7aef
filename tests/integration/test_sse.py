"""Clients with an event stream, as the hub meets them: on one gateway, and on several."""

import asyncio
import contextlib
import secrets
from functools import partial

import pytest

from hypha_cluster.protocol.limits import POSTED_BYTES
from hypha_cluster.settings import MIB
from tests.conftest import GatewayFactory
from tests.gateways import SECOND, Hub
from tests.http import ask
from tests.metrics import metric
from tests.raw_client import RawClient, frame
from tests.sse_client import EventSource, Refused, SseClient

LIMIT = 20 * SECOND


def note(to: str, name: str) -> bytes:
    return frame({"type": "method", "to": to, "method": f"services.log.{name}"}, {"args": []})


async def lose_stream(hub: Hub, client: SseClient) -> None:
    """Break a stream off; the hub knows it when this returns."""
    client.stream.source.close()
    await client.closed()
    async with asyncio.timeout(LIMIT):
        streams = partial(metric, hub.first, "hypha_event_streams")
        while await asyncio.to_thread(streams):  # noqa: ASYNC110  (only the gateway knows)
            await asyncio.sleep(0.02)


async def test_a_client_calls_and_is_called(hub: Hub) -> None:
    async with (
        await SseClient.connect(hub.first) as one,
        await RawClient.connect(
            hub.second, workspace=one.workspace, token=await one.manager("generate_token")
        ) as two,
    ):
        await one.offer("one", echo=lambda value: value)
        await two.offer("two", echo=lambda value: value)

        assert await two.call(one.address, "services.one.echo", b"\0" * 300_000) == b"\0" * 300_000
        assert await one.call(two.address, "services.two.echo", b"\1" * 300_000) == b"\1" * 300_000
        found = await two.manager("get_service", "one")
        assert found["id"] == f"{one.address}:one"


async def test_a_frame_may_be_posted_at_any_gateway(hub: Hub) -> None:
    async with await SseClient.connect(hub.first, posts=[hub.second, hub.first]) as client:
        assert [await client.manager("echo", number) for number in range(20)] == list(range(20))
        assert set(client.stream.answers) == {200}


async def test_posted_frames_are_routed_in_their_order(hub: Hub) -> None:
    async with (
        await RawClient.connect(hub.first) as target,
        await SseClient.connect(
            hub.first,
            posts=[hub.second, hub.first, hub.first, hub.second, hub.second],
            workspace=target.workspace,
            token=await target.manager("generate_token"),
        ) as client,
    ):
        for number in range(50):
            await client.send_raw(note(target.address, f"n{number}"))
        await target.until(lambda received: received.method == "services.log.n49")

        methods = [each.method for each in target.received if "services.log" in each.method]
        assert methods == [f"services.log.n{number}" for number in range(50)]


async def test_a_token_is_honoured(hub: Hub) -> None:
    async with await RawClient.connect(hub.first) as host:
        token = await host.manager("generate_token")
        async with await SseClient.connect(hub.second, workspace=host.workspace, token=token) as it:
            assert it.workspace == host.workspace
            assert it.user["scopes"] == [host.workspace]


async def test_a_token_may_be_in_a_header(hub: Hub) -> None:
    async with await RawClient.connect(hub.first) as host:
        token = f"Bearer {await host.manager('generate_token')}"
        query = {"client_id": "me", "session_id": "0123456789", "workspace": host.workspace}
        source = await EventSource.open(hub.first, query, Authorization=token)
        url = f"{hub.second}/sse?session_id=0123456789"

        answer = await ask(url, note(host.address, "hi"), Authorization=token)

        assert answer.value == {"success": True}
        received = await host.until(lambda got: got.method == "services.log.hi")
        assert received.source == f"{host.workspace}/me"
        source.close()


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ({"session_id": ""}, 400, "session_id"),
        ({"session_id": "short"}, 400, "session_id"),
        ({"session_id": "x" * 257}, 400, "session_id"),
        ({"client_id": "a/b"}, 400, "client id"),
        ({"client_id": "\0\n"}, 400, "client id"),
        ({"workspace": "nowhere"}, 404, "Workspace not found"),
        ({"workspace": "a b"}, 400, "workspace"),
        ({"token": "nonsense"}, 401, "token"),
        ({"reconnection_token": "nonsense"}, 401, "token"),
    ],
)
async def test_a_stream_is_refused_with_the_reason(
    hub: Hub, query: dict[str, str], status: int, says: str
) -> None:
    asked = {"session_id": "0123456789", "client_id": "me", **query}

    with pytest.raises(Refused, match=says) as refused:
        await EventSource.open(hub.first, asked)

    assert refused.value.status == status


async def test_a_client_id_belongs_to_one_client(hub: Hub) -> None:
    async with await RawClient.connect(hub.first) as host:
        token = await host.manager("generate_token")
        with pytest.raises(Refused, match="is connected|another client") as refused:
            await SseClient.connect(
                hub.second, host.client_id, workspace=host.workspace, token=token
            )

        assert refused.value.status == 409
        assert await host.manager("echo", "still here") == "still here"


async def test_a_session_belongs_to_one_client(hub: Hub) -> None:
    """Else whoever guesses the session of a page would get what it posts."""
    async with await SseClient.connect(hub.first) as client:
        with pytest.raises(Refused, match="session_id is in use") as refused:
            await EventSource.open(hub.second, client.stream.query)

        assert refused.value.status == 409
        assert await client.manager("echo", "mine") == "mine"


# Who posts what.


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"session_id": "another-session"}, 404),
        ({"token": "another"}, 404),
        ({"client_id": "another"}, 403),
        ({"workspace": "another"}, 403),
        ({"session_id": ""}, 400),
    ],
)
async def test_nobody_posts_as_another_client(
    hub: Hub, change: dict[str, str], status: int
) -> None:
    async with await RawClient.connect(hub.first) as host:
        token = await host.manager("generate_token")
        async with await SseClient.connect(
            hub.first, workspace=host.workspace, token=token
        ) as client:
            answer = await client.stream.post(note(host.address, "evil"), hub.second, **change)
            assert answer.status == status, answer
            assert answer.value["success"] is False
            await client.send_raw(note(host.address, "honest"))

            await host.until(lambda got: got.method == "services.log.honest")
            assert not [got for got in host.received if got.method == "services.log.evil"]


async def test_who_a_frame_is_from_is_what_the_hub_says(hub: Hub) -> None:
    async with (
        await RawClient.connect(hub.first) as host,
        await SseClient.connect(
            hub.first,
            posts=[hub.second],
            workspace=host.workspace,
            token=await host.manager("generate_token"),
        ) as client,
    ):
        forged = {"type": "method", "to": host.address, "method": "services.log.x", "from": "a/b"}
        await client.send_raw(frame({**forged, "user": {"id": "root"}}, {"args": []}))

        received = await host.until(lambda got: got.method == "services.log.x")
        assert received.source == client.address
        assert received.envelope["user"]["id"] == client.user["id"]


async def test_what_is_no_frame_harms_nobody(gateway_factory: GatewayFactory) -> None:
    """As by WebSocket: who sends it is not cut off, and a larger one is not read."""
    gateway = gateway_factory(max_frame_size=MIB)
    async with await SseClient.connect(gateway.url) as client:
        empty = await client.stream.post(b"")
        nonsense = await client.stream.post(b"no frame")
        large = await client.stream.post(bytes(MIB + 1))

        assert (empty.status, nonsense.status, large.status) == (200, 200, 413)
        assert "at most 1048576 bytes" in large.body.decode()
        assert await client.manager("echo", 1) == 1


async def test_other_methods_are_not_allowed(hub: Hub) -> None:
    for method in ("PUT", "DELETE", "PATCH"):
        assert (await ask(f"{hub.first}/sse?session_id=0123456789", method=method)).status == 405
    head = await ask(f"{hub.first}/sse?session_id=0123456789&client_id=me", method="HEAD")
    assert (head.status, head.headers["content-type"][:17]) == (200, "text/event-stream")


async def test_pages_of_any_origin_may_post_as_for_http(hub: Hub) -> None:
    url = f"{hub.first}/sse?session_id=0123456789"
    asks = {
        "Access_Control_Request_Method": "POST",
        "Access_Control_Request_Headers": "content-type",
    }

    preflight = await ask(url, method="OPTIONS", Origin="http://page.example", **asks)

    assert preflight.status == 200
    assert preflight.headers["access-control-allow-origin"] == "http://page.example"
    async with await SseClient.connect(hub.first) as client:
        source = await EventSource.open(
            hub.first,
            {**client.stream.query, "client_id": "other", "session_id": secrets.token_hex(8)},
            Origin="http://page.example",
        )
        assert source.headers["access-control-allow-origin"] == "http://page.example"
        source.close()


# Between two streams.


async def test_a_client_comes_back_with_its_services_and_its_mail(hub: Hub) -> None:
    async with await SseClient.connect(hub.first) as client:
        token = await client.manager("generate_token")
        await client.offer("tool", double=lambda value: 2 * value)
        async with await RawClient.connect(
            hub.second, workspace=client.workspace, token=token
        ) as caller:
            await lose_stream(hub, client)
            call = asyncio.create_task(caller.call(client.address, "services.tool.double", 21))
            for number in range(5):
                await caller.send_raw(note(client.address, f"n{number}"))
            back = await client.come_back(hub.second)
            back.functions |= client.functions

            assert back.address == client.address
            await back.until(lambda got: got.method == "services.log.n4")
            methods = [got.method for got in back.received if "services.log" in got.method]
            assert methods == [f"services.log.n{number}" for number in range(5)]
            await back.until(lambda got: got.method == "services.tool.double")
            call.cancel()
            assert await caller.call(client.address, "services.tool.double", 4) == 8
            await back.close()


async def test_without_its_last_id_an_anonymous_client_is_somebody_else(hub: Hub) -> None:
    """The query alone says nothing that nobody could have read somewhere."""
    async with await SseClient.connect(hub.first) as client:
        await lose_stream(hub, client)

        with pytest.raises(Refused, match="session_id is in use"):
            await client.come_back_with(hub.second, "")

        await (await client.come_back(hub.second)).close()


async def test_what_is_posted_between_two_streams_is_routed_afterwards(hub: Hub) -> None:
    async with (
        await RawClient.connect(hub.first) as target,
        await SseClient.connect(
            hub.first,
            workspace=target.workspace,
            token=await target.manager("generate_token"),
        ) as client,
    ):
        await lose_stream(hub, client)

        for number in range(4):
            url = hub.second if number % 2 else hub.first
            answer = await client.stream.post(note(target.address, f"n{number}"), url)
            assert answer.status in (200, 202), answer
        back = await client.come_back(hub.second, posts=[hub.first])
        await back.send_raw(note(target.address, "n4"))

        await target.until(lambda got: got.method == "services.log.n4")
        methods = [got.method for got in target.received if "services.log" in got.method]
        assert methods == [f"services.log.n{number}" for number in range(5)]
        await back.close()


async def test_all_that_was_kept_is_routed_though_more_may_not_wait_otherwise(hub: Hub) -> None:
    async with (
        await RawClient.connect(hub.first) as target,
        await SseClient.connect(
            hub.first,
            workspace=target.workspace,
            token=await target.manager("generate_token"),
        ) as client,
    ):
        await lose_stream(hub, client)
        large = POSTED_BYTES // 8

        for number in range(12):
            posted = frame(
                {"type": "method", "to": target.address, "method": f"services.log.n{number}"},
                {"args": [bytes(large)]},
            )
            assert (await client.stream.post(posted, hub.second)).status in (200, 202)
        back = await client.come_back(hub.first)

        await target.until(lambda got: got.method == "services.log.n11")
        methods = [got.method for got in target.received if "services.log" in got.method]
        assert methods == [f"services.log.n{number}" for number in range(12)]
        await back.close()


async def test_a_new_stream_takes_over_one_that_is_still_open(hub: Hub) -> None:
    async with await SseClient.connect(hub.first) as client:
        back = await client.come_back(hub.second, posts=[hub.first, hub.second])

        await client.closed()
        assert [await back.manager("echo", number) for number in range(6)] == list(range(6))
        await back.close()


async def test_an_older_program_does_not_come_back_to_the_place_of_a_newer(hub: Hub) -> None:
    """Else two pages with one id would oust each other for ever."""
    async with await RawClient.connect(hub.first) as host:
        asked = {"workspace": host.workspace, "token": await host.manager("generate_token")}
        old = await SseClient.connect(hub.first, "page", **asked)
        old.stream.source.close()
        await old.closed()
        new = await _connected_anew(hub.second, asked)

        with pytest.raises(Refused) as refused:
            await old.come_back(hub.first)

        assert refused.value.status == 409
        assert await new.manager("echo", 1) == 1
        await new.close()


async def _connected_anew(url: str, asked: dict[str, str]) -> SseClient:
    """As soon as it is known that the old stream is over."""
    async with asyncio.timeout(LIMIT):
        while True:
            with contextlib.suppress(Refused):
                return await SseClient.connect(url, "page", **asked)
